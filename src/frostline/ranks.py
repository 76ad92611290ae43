"""Several processes that train one run: whether this is one of them.

torchrun and SLURM start them, each by the same command, and tell each its rank in the environment; `runs/together.py`
starts them where nobody has.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from frostline.errors import FrostlineError

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Member:
    """One of several processes of a run. rank: among `size`. by: who started them."""

    rank: int
    size: int
    by: Literal["torchrun", "slurm"]


def by_torchrun(env: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or what speaks as it does, has started this process."""
    return all(name in env for name in TORCHRUN)


def member(devices: int, num_nodes: int = 1, env: Mapping[str, str] = os.environ) -> Member | None:
    """Which process of a run that wants these this is; None where nobody has started any: it is alone, or starts them.

    A run of one process is itself wherever it is called, also in an allocation of SLURM that is somebody else's.
    Raises FrostlineError where processes were started, but not as many as the run wants: each would train on its share
    of pictures of a larger whole, without a word.
    """
    wanted, asked = devices * num_nodes, "trainer.devices x trainer.num_nodes"
    if by_torchrun(env):
        started = int(env["WORLD_SIZE"])
        if started != wanted:
            raise FrostlineError(
                f"torchrun began {started} process(es), and {asked} is {wanted}: give it --nnodes={num_nodes} "
                f"--nproc-per-node={devices}, or the run trainer.devices={started}."
            )
        return Member(int(env["RANK"]), started, "torchrun") if wanted > 1 else None
    if wanted == 1:
        return None
    tasks = env.get("SLURM_STEP_NUM_TASKS") or env.get("SLURM_NTASKS")
    srun = f"srun --nodes={num_nodes} --ntasks={wanted} --ntasks-per-node={devices}"
    if tasks is not None and int(tasks) != wanted:
        raise FrostlineError(
            f"SLURM began {tasks} task(s) here, and {asked} is {wanted}: start the command by `{srun}`, or by "
            f"`torchrun --standalone --nproc-per-node={devices} -m frostline ...` on one node."
        )
    if tasks is not None and "SLURM_STEP_ID" in env and "SLURM_PROCID" in env:
        return Member(int(env["SLURM_PROCID"]), wanted, "slurm")
    if num_nodes > 1:
        raise FrostlineError(
            f"trainer.num_nodes is {num_nodes}, and this command is on one: start it by `{srun}`, or by "
            f"`torchrun --nnodes={num_nodes} --nproc-per-node={devices} --rdzv-backend=c10d --rdzv-endpoint=HOST:PORT "
            "-m frostline ...` on each."
        )
    return None
