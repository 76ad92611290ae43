"""How well pixels are told apart, all from one confusion matrix over the set."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix


def pixel_scores(confusion: Tensor) -> dict[str, Tensor]:
    """Scores of a confusion matrix (classes, classes), rows the truth, over all known pixels of a set.

    miou: the mean of intersection over union over the classes that occur, in truth or prediction (torchmetrics' own
    `MeanIoU` is a mean over pictures, another number). dice: the mean of 2 intersection / (truth + prediction) over the
    same. pixel_accuracy: the share of pixels that are right. iou_by_class, dice_by_class: (classes,), -1 for a class
    that does not occur.
    """
    confusion = confusion.double()
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


class PixelScores(MulticlassConfusionMatrix):
    """`pixel_scores` over a split. Takes class numbers (B, H, W) twice, what was found and the truth."""

    names = ("miou", "dice", "pixel_accuracy")

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        return pixel_scores(super().compute())
