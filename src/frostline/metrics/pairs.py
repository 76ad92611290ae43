"""How well classes are told apart, from the pairs (true class, found class) that occur.

There are no more of these than scenes, however many classes there are. A matrix of all pairs has a hundred million
cells for 10,000 classes, and torchmetrics makes one at every batch.
"""

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from frostline.metrics.base import RowMetric

DENSE = 256  # classes up to which the confusion is a matrix
BINS = 15  # of the calibration error


def pair_scores(pairs: Tensor, classes: int) -> dict[str, Tensor]:
    """Scores of scenes whose true and found classes are known. pairs: (n,) int64, true class x classes + found class.

    accuracy: the share that is right. f1_by_class: (classes,), 2 right / (true + found), -1 for a class that is in no
    scene. f1: the mean of it over the classes that occur, in truth or found, where one that is only found counts as 0
    (scikit-learn's macro average).
    confusion: (classes, classes) int64, rows the truth; of more than DENSE classes in its place pairs: (m, 3) int64,
    true class, found class and how often, of those that occur.
    """
    kinds, counts = pairs.cpu().unique(return_counts=True)
    truth, found = kinds // classes, kinds % classes
    total = torch.zeros(3, classes, dtype=torch.long)  # right, true, found
    same = truth == found
    total[0].index_add_(0, truth[same], counts[same])
    total[1].index_add_(0, truth, counts)
    total[2].index_add_(0, found, counts)
    right, real, told = total.float()
    f1 = torch.where(real + told > 0, 2 * right / (real + told).clamp(min=1), 0)
    occurs = (real + told > 0).float()
    scores = {
        "accuracy": right.sum() / real.sum().clamp(min=1),
        "f1": (f1 / occurs.sum().clamp(min=1)).sum(),
        "f1_by_class": torch.where(real > 0, f1, -1.0),
    }
    if classes > DENSE:
        return scores | {"pairs": torch.stack([truth, found, counts], 1)}
    confusion = torch.zeros(classes**2, dtype=torch.long).index_add_(0, kinds, counts)
    return scores | {"confusion": confusion.view(classes, classes)}


def among_first(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """Whether the true class is among the `count` first of each row of scores (n, C), ties in the order of the classes.

    That is argmax's order, so what is first here is what is predicted. torchmetrics takes any of those that are equal,
    so that fewer labels may be among its first two than are its first.
    """
    own = scores.gather(1, labels[:, None])
    # Sums of signs, as to compare and to count takes several times as long.
    before = (scores - own).clamp_(min=0).sign_().sum(1)
    near = (before < count).nonzero()[:, 0]
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[near, None]
    before[near] += torch.count_nonzero((scores[near] == own[near]) & earlier, 1)
    return (before < count) & ~own[:, 0].isnan()


class PairScores(RowMetric):
    """Accuracy and confusion of `pair_scores` over a split; takes found and true classes (B,)."""

    names: tuple[str, ...] = ("accuracy",)
    columns = {"pairs": torch.zeros(0, dtype=torch.long)}

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def update(self, found: Tensor, labels: Tensor) -> None:
        self.keep(pairs=labels.long() * self.classes + found)

    def compute(self) -> dict[str, Tensor]:
        values = pair_scores(self.column("pairs"), self.classes)
        return {name: value for name, value in values.items() if name in ("accuracy", "confusion", "pairs")}


class ClassScores(PairScores):
    """`pair_scores` over a split, and what probabilities tell beside them; takes probabilities (B, C), labels (B,).

    ece: how far the share that is right lies from how sure the model was, over bins (expected calibration error, Guo et
    al. 2017, arXiv:1706.04599). torchmetrics' has a bin of its own for the confidence 1, which a sure model says often:
    here it is in the last one.
    topK, with K = top_k, if that is above 1 and below the number of classes: the share of the scenes whose class is
    among the K likeliest.
    """

    columns = {**PairScores.columns, "sure": torch.zeros(0)}
    hits: Tensor

    def __init__(self, classes: int, top_k: int = 1) -> None:
        super().__init__(classes)
        self.top_k = top_k if top_k < classes else 1
        self.names = ("accuracy", "f1", "ece", *([f"top{top_k}"] if self.top_k > 1 else []))
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        found = probabilities.argmax(1)
        super().update(found, labels)
        self.keep(sure=probabilities.gather(1, found[:, None])[:, 0])
        if self.top_k > 1:
            self.hits += among_first(probabilities, labels, self.top_k).logical_or_(found == labels).sum()

    def compute(self) -> dict[str, Tensor]:
        pairs = self.column("pairs").cpu()
        values = pair_scores(pairs, self.classes)
        right = pairs // self.classes == pairs % self.classes
        values["ece"] = calibration_error(self.column("sure").cpu(), right)
        if self.top_k > 1:
            values[f"top{self.top_k}"] = self.hits.cpu() / max(1, len(pairs))
        return values


def calibration_error(sure: Tensor, right: Tensor) -> Tensor:
    """`ClassScores`' ece of how sure a model was (n,), 0..1, and whether it was right (n,)."""
    if not len(sure):
        return torch.tensor(0.0)
    # What is no number would be taken for scores before a sigmoid, and all others with it.
    sure = sure.nan_to_num(0).clamp(max=1 - torch.finfo(torch.float32).eps / 2)
    return binary_calibration_error(sure, right, n_bins=BINS)
