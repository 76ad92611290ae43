"""What a process that trains runs is set to: its random numbers, threads and memory, and how much libraries say."""

import logging
import signal
import sys
import threading
import warnings
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only

from frostline.environment import keep_memory
from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.parallel import threads
from frostline.runs.preflight import no_accelerator
from frostline.shares import rank_of_world


def settle(seed: int, own_threads: int | None) -> None:
    """Before a run is built. own_threads: None for all that this process was given."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*is deprecated.*", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # and of no use to a run outside a job
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    # The metrics do that themselves.
    warnings.filterwarnings("ignore", message=r".*It is recommended to use .self\.log\(.*sync_dist.*")
    pl.seed_everything(seed, verbose=False)
    cast(Any, rank_zero_only).rank = rank_of_world()[0]  # Lightning takes SLURM's, whoever has started this process
    torch.set_num_threads(own_threads or threads())
    keep_memory()


def device_named(name: str | None) -> str:
    """The device of torch's that is meant; None: the fastest that there is. Raises FrostlineError where it is not."""
    there = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name is not None and name.partition(":")[0] not in there:
        raise FrostlineError(f"There is no device '{name}' here; {', '.join(there)} can be had.")
    return name or there[0]


def precision_of(chosen: str, accelerator: str) -> Any:
    """As Lightning has it; of `auto` sixteen bits where a GPU computes them natively."""
    if chosen != "auto":
        return chosen
    native = accelerator != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported(False)
    return "bf16-mixed" if native else "32-true"


def check_accelerator(name: str, devices: int = 1) -> None:
    """Raise FrostlineError where this machine has none, or too few, of the kind that a run asks for."""
    count = torch.cuda.device_count() if name in ("auto", "gpu") and torch.cuda.is_available() else None
    if count is not None and devices > count:
        raise FrostlineError(
            f"trainer.devices is {devices}, and this machine has {count} GPU(s): set it to {count}, or "
            "trainer.accelerator=cpu."
        )
    mps = torch.backends.mps.is_available()
    if (name == "mps" and not mps) or (name == "gpu" and not mps and not torch.cuda.is_available()):
        raise no_accelerator(name)


def check_below(engine: str, accelerator: str, backbone: Backbone) -> None:
    """Raise FrostlineError where another engine than torch would compute below the line, and the run's device is no
    processor; say so where there is nothing that it could compute."""
    if engine == "torch":
        return
    if accelerator != "cpu" and device_named(None) != "cpu":
        raise FrostlineError(
            f"trainer.below is '{engine}', which computes on processors, and this machine has a GPU: set "
            "trainer.accelerator=cpu, or trainer.below=torch."
        )
    if not backbone.pieces(1) and rank_of_world()[0] == 0:
        print(
            f"frostline: {backbone.name} is no chain of pieces, so torch computes it below the line, too: "
            f"trainer.below={engine} changes nothing.",
            file=sys.stderr,
            flush=True,
        )


class OwnSigterm(pl.Callback):
    """SIGTERM does what it did before Lightning's own handler, which has all processes of a run meet in a broadcast:
    one that it reaches between two steps then waits for ever for one that it reaches in another exchange.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread() and self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    on_test_start = on_train_start
