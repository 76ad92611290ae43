"""What a process that trains runs is set to: its random numbers, threads and memory, and how much libraries say."""

import logging
import warnings

import pytorch_lightning as pl
import torch

from frostline.environment import keep_memory
from frostline.errors import FrostlineError
from frostline.parallel import threads
from frostline.runs.beforehand import no_accelerator


def settle(seed: int, own_threads: int | None) -> None:
    """Before a run is built. own_threads: None for all that this process was given."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*is deprecated.*", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    pl.seed_everything(seed, verbose=False)
    torch.set_num_threads(own_threads or threads())
    keep_memory()


def device_named(name: str | None) -> str:
    """The device of torch's that is meant; None: the fastest that there is. Raises FrostlineError where it is not."""
    there = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name is not None and name.partition(":")[0] not in there:
        raise FrostlineError(f"There is no device '{name}' here; {', '.join(there)} can be had.")
    return name or there[0]


def check_accelerator(name: str) -> None:
    """Raise FrostlineError where this machine has none of the kind that a run asks for."""
    mps = torch.backends.mps.is_available()
    if (name == "mps" and not mps) or (name == "gpu" and not mps and not torch.cuda.is_available()):
        raise no_accelerator(name)
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
