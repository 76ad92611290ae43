"""How well pixels are told apart, all from one confusion matrix over the set."""

import torch
from torch import Tensor
from torchmetrics import Metric


def pixel_scores(confusion: Tensor) -> dict[str, Tensor]:
    """Scores of a confusion matrix (classes, classes), rows the truth, over all known pixels of a set.

    miou: the mean of intersection over union over the classes that occur, in truth or prediction (torchmetrics' own
    `MeanIoU` is a mean over pictures, another number). dice: the mean of 2 intersection / (truth + prediction) over the
    same. pixel_accuracy: the share of pixels that are right. iou_by_class, dice_by_class: (classes,), -1 for a class
    that does not occur.
    """
    confusion = confusion.cpu().double()  # not every accelerator has float64
    both, truth, found = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    occurs = truth + found > 0
    iou = torch.where(occurs, both / (truth + found - both).clamp(min=1), -1)
    dice = torch.where(occurs, 2 * both / (truth + found).clamp(min=1), -1)
    return {
        "miou": iou[occurs].mean() if occurs.any() else confusion.new_tensor(0.0),
        "dice": dice[occurs].mean() if occurs.any() else confusion.new_tensor(0.0),
        "pixel_accuracy": both.sum() / truth.sum().clamp(min=1),
        "iou_by_class": iou,
        "dice_by_class": dice,
        "confusion": confusion,
    }


def pixel_confusion(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """How many pixels of each true class (row) were taken for each class (column): (classes, classes) int64.

    found, truth: class numbers of one shape; where the truth is VOID, or no class at all, nothing is counted.
    torchmetrics' own counting needs memory of pixels x cells where torch is to be deterministic, as in a run.
    """
    cells = truth.flatten().long() * classes + found.flatten()
    return torch.bincount(cells, minlength=classes**2)[: classes**2].view(classes, classes)


class PixelScores(Metric):
    """`pixel_scores` over a split. Takes class numbers twice, what was found and the truth, both of one shape."""

    is_differentiable = False
    full_state_update = False
    confusion: Tensor
    names = ("miou", "dice", "pixel_accuracy")

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, found: Tensor, truth: Tensor) -> None:
        self.confusion += pixel_confusion(found, truth, self.classes)

    def compute(self) -> dict[str, Tensor]:
        return pixel_scores(self.confusion)
