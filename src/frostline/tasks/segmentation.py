"""Semantic segmentation: which class is each pixel of?"""

from typing import TYPE_CHECKING, Any, ClassVar

import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from frostline.data.scenes import VOID
from frostline.errors import check_number
from frostline.tasks.base import Batch, Task
from frostline.tasks.drawing import overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Segmentation(Task):
    """A class for every pixel; cross-entropy plus Dice. dice_weight: weight of the Dice loss; 0 leaves it out."""

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})
    reads: ClassVar[str] = "pixels"
    primary: ClassVar[str] = "miou"

    def __init__(self, *args: Any, dice_weight: float = 0.0, **kwargs: Any) -> None:
        check_number("task.dice_weight", dice_weight, 0)
        super().__init__(*args, **kwargs)
        self.dice_weight = dice_weight
        self.dice = DiceLoss("multiclass", ignore_index=VOID)

    def criterion(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        mask = batch["mask"]
        known = (mask != VOID).sum().clamp(min=1)
        # The mean over the known pixels; a batch that is all void gives 0 and not NaN.
        losses = {"pixel": F.cross_entropy(outputs, mask, ignore_index=VOID, reduction="sum") / known}
        if self.dice_weight:
            losses["dice"] = self.dice_weight * self.dice(outputs, mask)
        return losses

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Scores (B, C, H, W) -> class numbers (B, H, W)."""
        return outputs.argmax(1)

    def make_metrics(self) -> MetricCollection:
        n = len(self.classes)
        return MetricCollection(
            {
                # From one confusion matrix over the set; torchmetrics' MeanIoU averages over pictures instead.
                "miou": MulticlassJaccardIndex(n, ignore_index=VOID, average="macro"),
                "pixel_accuracy": MulticlassAccuracy(n, ignore_index=VOID, average="micro"),
            },
            compute_groups=False,
        )

    def update(self, metrics: MetricCollection, predictions: Tensor, batch: Batch) -> None:
        metrics.update(predictions, batch["mask"])

    def draw(self, axes: "Axes", predictions: Tensor, batch: Batch, index: int) -> None:
        overlay(axes, predictions[index], len(self.classes), batch["mask"][index])
