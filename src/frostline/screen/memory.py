"""How much memory a network takes: to compute what lies below its head, and to be trained whole."""

from collections.abc import Mapping
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.freezing.groups import count
from frostline.tasks.base import Task

BYTES = 4  # of a number in single precision
STATES = 4  # numbers for each parameter that trains: itself, its gradient, and two of Adam's
PICTURES = 2  # that are measured


class TooLarge(FrostlineError):
    """For the memory that is free now: another time it may fit."""


def available() -> int:
    """Bytes that this machine has left."""
    return int(psutil.virtual_memory().available)


def check_weights(parameters: int, share: int) -> None:
    """Raise TooLarge where a backbone of so many parameters does not fit beside the file that it is read from.
    share: how many processes share the memory."""
    _check("its weights", 2 * BYTES * parameters, share)


def parameters_of(node: Mapping[str, Any]) -> int:
    """Of a model of timm, which is built without values for that; 0 for what cannot be built so."""
    import timm

    name = str(node.get("name"))
    if not timm.is_model(name.partition(".")[0]):
        return 0
    try:
        with torch.device("meta"):
            return count(timm.create_model(name, pretrained=False, num_classes=0).parameters())
    except Exception:  # of whatever kind: building it in earnest will tell
        return 0


def measured(task: Task, size: int, batch: int) -> tuple[int, int]:
    """Bytes to compute what lies below the head for `batch` pictures of `size` px, and to train the whole network on
    them: what autograd holds for the way back (torch's saved tensors), and STATES numbers a parameter.

    Measured on two pictures. Afterwards all parameters train, as those of a fresh task do.
    """
    picture = torch.zeros(PICTURES, 3, size, size, dtype=torch.uint8, device=task.device)
    own = {one.untyped_storage().data_ptr() for one in [*task.parameters(), *task.buffers()]}
    held: dict[int, int] = {}
    largest = [0]

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    def look(_: nn.Module, taken: Any, given: Any) -> None:
        both = [*(taken if isinstance(taken, tuple) else [taken]), given]
        largest[0] = max(largest[0], sum(one.nbytes for one in both if isinstance(one, Tensor)))

    leaves = [module for module in task.model.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(look) for module in leaves]
    task.eval()
    task.model.forget_line()  # other heads stood on this backbone while it was frozen
    task.model.requires_grad_(True)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.enable_grad():
            task(picture)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = count(task.parameters())
    below = BYTES * parameters + batch * largest[0] // PICTURES
    return below, STATES * BYTES * parameters + batch * sum(held.values()) // PICTURES


def check_below(needed: int, share: int) -> None:
    """Raise TooLarge where what lies below the head takes more memory than there is."""
    _check("a batch of pictures on its way through it", needed, share)


def _check(what: str, needed: int, share: int) -> None:
    free = available() // share
    if needed > free:
        each = f" for each of {share} processes" if share > 1 else ""
        raise TooLarge(
            f"too large for the memory: {what} take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free{each}"
        )
