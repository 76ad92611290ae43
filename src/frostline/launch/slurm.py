"""SLURM, by its commands: what is sent to its queue, what that holds, and what is taken back.

Not by submitit, whose jobs are pickles, and which loses elements that are killed: see docs/design.md.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.words import one_line

PATIENCE = 60.0  # seconds that a command may take
# What another job, or a run of several processes, has said of itself: the processes of a run would find each other by
# it, and take those of another run for their own.
OTHERS = ("SLURM_", "SRUN_", "PMI_", "PMIX_", "OMPI_", "TORCHELASTIC_", "GROUP_", "ROLE_", "MASTER_", "LOCAL_WORLD_")
OTHER = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "SBATCH_WAIT", "SBATCH_ARRAY_INX"}
KEPT = {"SLURM_CONF"}  # where the cluster is
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}


@dataclass(frozen=True)
class Element:
    """One element of an array, as the queue has it. name: of its array."""

    array: str
    index: int
    state: str
    reason: str
    name: str

    @property
    def id(self) -> str:
        return f"{self.array}_{self.index}"

    @property
    def alive(self) -> bool:
        return self.state not in ENDED

    @property
    def waits(self) -> bool:
        return self.state in WAITING


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what other jobs and runs have left in it."""
    return {
        name: value
        for name, value in environment.items()
        if name in KEPT or not (name.startswith(OTHERS) or name in OTHER)
    }


def call(*command: str, hold: int | None = None) -> str:
    """What a command of SLURM's prints. hold: a descriptor that stays open as long as the command lives.

    Raises FrostlineError where there is no such command, it fails, or nobody answers.
    """
    if shutil.which(command[0]) is None:
        raise FrostlineError(
            f"There is no {command[0]} on this machine: give the command where the cluster's own work (a login node), "
            "or take launcher=local."
        )
    try:
        done = subprocess.run(
            command,
            env=clean(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            pass_fds=() if hold is None else (hold,),
        )
    except subprocess.TimeoutExpired:
        raise FrostlineError(f"SLURM's {command[0]} has not answered for {PATIENCE:.0f} s: try again later.") from None
    if done.returncode:
        told = one_line(done.stderr or done.stdout or "no reason given")[-400:].rstrip(".")
        raise FrostlineError(f"SLURM's {command[0]} failed: {told}.")
    return done.stdout


def send(script: Path, options: Sequence[str], hold: int) -> str:
    """Queue a script; the number of its job. hold: see `call`."""
    return call("sbatch", "--parsable", "--export=ALL", *options, str(script), hold=hold).strip().split(";")[0]


def queue() -> list[Element]:
    """Every element of the user's arrays that the queue knows; for some minutes also of those that have ended."""
    form = "--format=%F|%K|%T|%j|%r"
    lines = call("squeue", f"--user={os.getuid()}", "--noheader", "--array", "--states=all", form).splitlines()
    parts = [line.split("|", 4) for line in lines]
    return [
        Element(array, int(index), state, reason, name)
        for array, index, state, name, reason in (part for part in parts if len(part) == 5)
        if index.isdigit()
    ]


def state_of(job: str) -> str:
    """Of one job or element; empty where the queue does not know it."""
    try:
        return call("squeue", f"--jobs={job}", "--noheader", "--states=all", "--format=%T").strip()
    except FrostlineError:
        return ""


def requeue(job: str) -> None:
    """Have a job that runs begin again. SLURM then ends it."""
    call("scontrol", "requeue", job)


def cancel(arrays: Collection[str]) -> None:
    call("scancel", *sorted(arrays))


def most() -> int:
    """How many elements an array may have."""
    for line in call("scontrol", "show", "config").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdigit():
            return max(1, int(value) - 1)
    return 1000
