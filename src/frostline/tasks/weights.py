"""How much each class counts in a loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from frostline.errors import FrostlineError, check_number
from frostline.shares import divisor, part

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


def cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor | None, label_smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy over n scenes, each counted by the weight of its class (C,); None: all alike.

    scores: (n, C). labels: (n,) int64, or (n, C) probabilities, which count by the mean over their classes.
    """
    if weights is None:
        return part(F.cross_entropy(scores, labels, label_smoothing=label_smoothing), len(labels))
    total = F.cross_entropy(scores, labels, weights, reduction="sum", label_smoothing=label_smoothing)
    return total / sum_of(labels @ weights if labels.is_floating_point() else weights[labels])


def sum_of(weights: Tensor) -> Tensor:
    """By which a weighted sum becomes a mean: where nothing counts, the sum is 0, and torch's own mean no number."""
    total: Tensor = divisor(weights.sum(), weights, least=0.0)
    return total.where(total > 0, 1)


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
