"""What stops a run before a weight is no number: labels beyond the classes, losses and gradients that are none."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frostline.errors import FrostlineError
from frostline.shares import whole

LISTED = 16  # scenes of a batch that an error names


def check_classes(begins: str, numbers: Tensor | Sequence[Tensor], batch: Mapping[str, Any], classes: int) -> None:
    """Raise FrostlineError for a number that is no class: torch's own word on one names no scene.

    begins: of the sentence, with {} for the scene. numbers: one or some of each scene of the batch.
    """
    joined = numbers if isinstance(numbers, Tensor) else torch.cat(list(numbers))
    if bool(((joined < 0) | (joined >= classes)).any()):
        pairs = ((s, n) for s, own in zip(batch["id"], numbers, strict=True) for n in own.flatten().tolist())
        scene, number = next((scene, number) for scene, number in pairs if not 0 <= number < classes)
        raise FrostlineError(
            f"{begins.format(scene)} the class number {number}, and there are {classes} classes: prepare the dataset "
            "anew."
        )


def check_losses(losses: Mapping[str, Tensor], total: Tensor, scenes: Sequence[str], epoch: int) -> None:
    """Raise FrostlineError where the sum of a batch's losses is no number."""
    if not bool(total.isfinite()):
        lost = ", ".join(f"{name} ({value.item():g})" for name, value in losses.items() if not value.isfinite())
        raise _stopped(f"a loss that is no number: {lost or 'their sum'}", scenes, epoch)


def check_gradients(
    parameters: Iterable[torch.nn.Parameter], losses: Mapping[str, Tensor], scenes: Sequence[str], epoch: int
) -> None:
    """Raise FrostlineError where a gradient is no number, though its losses are: clipped by it, no weight were one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and not bool(whole(torch.nn.utils.get_total_norm(gradients)).isfinite()):
        values = ", ".join(f"{name} ({value.item():g})" for name, value in losses.items())
        raise _stopped(f"a gradient that is no number, though the losses are: {values}", scenes, epoch)


def _stopped(what: str, scenes: Sequence[str], epoch: int) -> FrostlineError:
    """What was written at the end of the last epoch stays as it is."""
    first = ", ".join(scenes[:LISTED])
    more = f" and {len(scenes) - LISTED} more" if len(scenes) > LISTED else ""
    return FrostlineError(
        f"Training stopped in epoch {epoch} at {what}, on the scenes {first}{more}: look at these scenes, lower "
        "optimizer.lr, or set trainer.precision=32-true. With other settings the run starts anew; as it is, it goes on "
        "from its last good epoch."
    )
