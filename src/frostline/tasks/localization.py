"""Localization: where is the one object, and what is it?"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchvision.ops import box_convert, box_iou

from frostline.errors import FrostlineError, check_number
from frostline.tasks.base import Batch, Task
from frostline.tasks.drawing import caption, rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOX_LOSSES: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}


class Localization(Task):
    """Class scores and one box as centre x, centre y, width, height in 0..1 of the picture.

    box_loss: `mse` or `smooth_l1`, on the four numbers. box_weight: its weight beside the class's cross-entropy.
    Scenes whose box was cropped away by augmentation train the class alone.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"label", "boxes"})
    reads: ClassVar[str] = "scores and box"
    primary: ClassVar[str] = "iou"

    def __init__(self, *args: Any, box_loss: str = "mse", box_weight: float = 1.0, **kwargs: Any) -> None:
        if box_loss not in BOX_LOSSES:
            raise FrostlineError(f"task.box_loss is '{box_loss}'; {' and '.join(BOX_LOSSES)} are known.")
        check_number("task.box_weight", box_weight, 0)
        self.box_loss, self.box_weight = BOX_LOSSES[box_loss], box_weight
        super().__init__(*args, **kwargs)

    def criterion(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> dict[str, Tensor]:
        scores, boxes = outputs
        target, has_box = _targets(batch)
        # Summed by hand over the scenes that have a box, so that a batch without any gives 0 and not NaN.
        distance = self.box_loss(boxes[has_box], target, reduction="none").mean(1).sum() / max(1, len(target))
        return {"class": F.cross_entropy(scores, batch["label"]), "box": self.box_weight * distance}

    def postprocess(self, outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """-> probabilities (B, C) and boxes (B, 4), centre x, centre y, width, height in 0..1."""
        scores, boxes = outputs
        return {"probabilities": scores.softmax(1), "boxes": boxes}

    def make_metrics(self) -> MetricCollection:
        accuracy = MulticlassAccuracy(len(self.classes), average="micro")
        return MetricCollection(
            {"iou": MeanMetric(), "iou50": MeanMetric(), "accuracy": accuracy}, compute_groups=False
        )

    def update(self, metrics: MetricCollection, predictions: dict[str, Tensor], batch: Batch) -> None:
        """iou: mean over the scenes; iou50: share of the scenes with IoU above 0.5; accuracy: of the class."""
        target, has_box = _targets(batch)
        found = box_convert(predictions["boxes"][has_box], "cxcywh", "xyxy")
        iou = box_iou(found, box_convert(target, "cxcywh", "xyxy")).diagonal()
        metrics["iou"].update(iou)
        metrics["iou50"].update((iou > 0.5).float())
        metrics["accuracy"].update(predictions["probabilities"], batch["label"])

    def draw(self, axes: "Axes", predictions: dict[str, Tensor], batch: Batch, index: int) -> None:
        size = batch["image"].shape[-1]
        found = int(predictions["probabilities"][index].argmax())
        truth = int(batch["label"][index])
        for box in batch["boxes"][index][:1]:
            rectangle(axes, box, truth=True)
        rectangle(axes, box_convert(predictions["boxes"][index] * size, "cxcywh", "xyxy"))
        caption(axes, self.classes[found], found == truth, self.classes[truth])


def _targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """Boxes (n, 4) as centre x, centre y, width, height in 0..1, and which of the B scenes they are of."""
    boxes = torch.cat([b[:1] for b in batch["boxes"]])
    has_box = torch.tensor([len(b) > 0 for b in batch["boxes"]], device=boxes.device)
    return box_convert(boxes, "xyxy", "cxcywh") / batch["size"], has_box
