"""How much each class counts in a loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from frostline.errors import FrostlineError, check_number

BALANCED = "balanced"


def balanced(counts: Tensor) -> Tensor:
    """From how often each class is annotated (C,) to its weight (C,) float32: n / (k n_c), so that all count alike.

    n is the sum of all, n_c the count of the class, k the number of classes that occur: the mean over all that is
    annotated is 1. (King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868; scikit-learn's `balanced`.) A class
    that does not occur has the weight 1, which no loss reads.
    """
    occurs = counts > 0
    weights = counts.sum() / (occurs.sum().clamp(min=1) * counts.clamp(min=1)).double()
    return torch.where(occurs, weights, 1.0).float()


def given(setting: str | Sequence[float] | None, classes: Sequence[str]) -> Tensor | None:
    """Weights that stand in a configuration (C,) float32; None where there are none, or they are to be counted.

    Raises FrostlineError for what are no weights of these classes.
    """
    if setting is None or setting == BALANCED:
        return None
    if isinstance(setting, str):
        raise FrostlineError(f"task.class_weights is '{setting}'; it is {BALANCED}, a number for each class, or null.")
    if len(setting) != len(classes):
        raise FrostlineError(
            f"task.class_weights has {len(setting)} numbers, and there are {len(classes)} classes: "
            f"{', '.join(classes)}."
        )
    for weight in setting:
        check_number("task.class_weights", weight, 0)
    if not any(setting):
        raise FrostlineError(
            f"task.class_weights={list(setting)} would change nothing, or leave nothing to learn: give one class a "
            "weight."
        )
    return torch.tensor([float(weight) for weight in setting])
