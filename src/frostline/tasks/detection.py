"""Detection: where are all the objects, and what are they?"""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch import Tensor
from torchmetrics import MetricCollection
from torchvision.ops import batched_nms

from frostline.errors import check_number
from frostline.metrics.detection import CocoAveragePrecision, VocAveragePrecision
from frostline.tasks.base import Batch, Task
from frostline.tasks.drawing import rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Detection(Task):
    """Boxes with classes. The head says how it learns and what it finds; here overlapping boxes are sorted out.

    nms_iou, min_score, max_boxes: of the predictions, see conf/task/detection.yaml.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    reads: ClassVar[str] = "boxes"
    primary: ClassVar[str] = "map"

    def __init__(
        self, *args: Any, nms_iou: float = 0.6, min_score: float = 0.01, max_boxes: int = 100, **kwargs: Any
    ) -> None:
        check_number("task.nms_iou", nms_iou, 0, 1)
        check_number("task.min_score", min_score, 0, 1)
        check_number("task.max_boxes", max_boxes, 1, whole=True)
        super().__init__(*args, **kwargs)
        self.nms_iou, self.min_score, self.max_boxes = nms_iou, min_score, max_boxes

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> the head's outputs."""
        head = cast(Any, self.head)
        return head.look(self.backbone, image) if self._sees_pictures else super().forward(image)

    def outputs(self, batch: Batch) -> Any:
        if self.training and self._sees_pictures:
            head = cast(Any, self.head)
            return head.study(self.backbone, batch["image"], batch["boxes"])
        return super().outputs(batch)

    @property
    def _sees_pictures(self) -> bool:
        """Whether the head looks at pictures by itself, and trains on windows that it cuts out of them."""
        return bool(getattr(self.head, "sees_pictures", False))

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        return cast(dict[str, Tensor], cast(Any, self.head).losses(outputs, batch["boxes"], batch["box_labels"]))

    def postprocess(self, outputs: Any) -> list[dict[str, Tensor]]:
        """-> for each scene boxes (n, 4) x0 y0 x1 y1 in pixels, scores (n,) in 0..1 best first, labels (n,)."""
        predictions = []
        for found in cast(Any, self.head).found(outputs):
            sure = found["scores"] >= self.min_score
            boxes, scores, labels = found["boxes"][sure], found["scores"][sure], found["labels"][sure]
            kept = batched_nms(boxes, scores, labels, self.nms_iou)[: self.max_boxes]
            predictions.append({"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]})
        return predictions

    def make_metrics(self) -> MetricCollection:
        n = len(self.classes)
        return MetricCollection({"coco": CocoAveragePrecision(n), "voc": VocAveragePrecision(n)})

    def update(self, metrics: MetricCollection, predictions: list[dict[str, Tensor]], batch: Batch) -> None:
        truth = [{"boxes": b, "labels": n} for b, n in zip(batch["boxes"], batch["box_labels"], strict=True)]
        metrics.update(predictions, truth, batch.get("index"))

    def draw(self, axes: "Axes", predictions: list[dict[str, Tensor]], batch: Batch, index: int) -> None:
        for box in batch["boxes"][index]:
            rectangle(axes, box, truth=True)
        found = predictions[index]
        for box, score, label in zip(found["boxes"], found["scores"], found["labels"], strict=True):
            if score >= 0.3:  # as many as an eye can take in
                rectangle(axes, box, f"{self.classes[int(label)]} {score:.0%}")
