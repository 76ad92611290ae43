"""Semantic segmentation: which class is each pixel of?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss
from torch import Tensor
from torchmetrics import MetricCollection

from frostline.data.scenes import VOID
from frostline.errors import FrostlineError, check_number
from frostline.metrics.segmentation import PixelScores
from frostline.tasks.base import Batch, Task
from frostline.tasks.drawing import overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Segmentation(Task):
    """A class for every pixel; the loss is a weighted sum.

    losses: weights of `cross_entropy`, `dice` (Milletari et al. 2016, arXiv:1606.04797), `focal` (Lin et al. 2017,
    arXiv:1708.02002) and `lovasz` (Berman et al. 2018, arXiv:1705.08790); 0 leaves one out.
    class_weights: one for each class, for the cross-entropy; None: all alike.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})
    reads: ClassVar[str] = "pixels"
    primary: ClassVar[str] = "miou"

    def __init__(
        self,
        *args: Any,
        losses: Mapping[str, float],
        class_weights: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, weight in losses.items():
            check_number(f"task.losses.{name}", weight, 0)
        self.weights = {name: float(weight) for name, weight in losses.items() if weight}
        if not self.weights:
            raise FrostlineError("task.losses are all 0, so nothing would be learnt: give one a weight.")
        if class_weights is not None and len(class_weights) != len(self.classes):
            raise FrostlineError(
                f"task.class_weights has {len(class_weights)} numbers, and there are {len(self.classes)} classes: "
                f"{', '.join(self.classes)}."
            )
        for weight in class_weights or ():
            check_number("task.class_weights", weight, 0)
        weights = None if class_weights is None else torch.tensor([float(weight) for weight in class_weights])
        self.register_buffer("class_weights", weights, persistent=False)
        self.loss_functions = {
            "cross_entropy": self._cross_entropy,
            "dice": DiceLoss("multiclass", ignore_index=VOID),
            "focal": FocalLoss("multiclass", ignore_index=VOID),
            "lovasz": LovaszLoss("multiclass", ignore_index=VOID),
        }

    def criterion(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        mask = batch["mask"]
        if not bool((mask != VOID).any()):  # of nothing known, some of the library's losses are no number
            return {name: 0 * outputs.sum() for name in self.weights}
        return {name: weight * self.loss_functions[name](outputs, mask) for name, weight in self.weights.items()}

    def _cross_entropy(self, outputs: Tensor, mask: Tensor) -> Tensor:
        weights = cast("Tensor | None", self.class_weights)
        total = F.cross_entropy(outputs, mask, weights, ignore_index=VOID, reduction="sum")
        known = mask[mask != VOID]
        # Where only classes of weight 0 are known, torch's own mean would divide by 0.
        return total / (len(known) if weights is None else weights[known].sum().clamp(min=1e-9))

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Scores (B, C, H, W) -> class numbers (B, H, W)."""
        return outputs.argmax(1)

    def make_metrics(self) -> MetricCollection:
        return MetricCollection({"pixels": PixelScores(len(self.classes), ignore_index=VOID)})

    def update(self, metrics: MetricCollection, predictions: Tensor, batch: Batch) -> None:
        metrics.update(predictions, batch["mask"])

    def draw(self, axes: "Axes", predictions: Tensor, batch: Batch, index: int) -> None:
        overlay(axes, predictions[index], len(self.classes), batch["mask"][index])
