"""Detection: where are all the objects, and what are they?"""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch import Tensor
from torchmetrics import MetricCollection
from torchvision.ops import batched_nms

from frostline.draw.predictions import judged, rectangle
from frostline.errors import check_number
from frostline.metrics.detection import CocoAveragePrecision, Scene, VocAveragePrecision, matched
from frostline.models.heads.base import DetectionHead
from frostline.tasks.base import Batch, Mistake, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 0.3  # score from which on a box is drawn and can be a mistake: as many as an eye can take in
NAMED = 6  # boxes of a picture that are named, wrong or surest ones first, so that names leave something to be seen


class Detection(Task):
    """Boxes with classes. The head says how it learns and what it finds; here overlapping boxes are sorted out.

    nms_iou, min_score, max_boxes: of the predictions, see conf/task/detection.yaml.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    reads: ClassVar[str] = "boxes"
    primary: ClassVar[str] = "map"
    curves: ClassVar[tuple[str, str]] = ("map50", "at an IoU of 0.5")
    told: ClassVar[str] = (
        "Those first with most boxes missed, plus the scores of wrong ones: at an IoU of 0.5, of scores from 0.3 up.\n"
        "Left the true boxes, orange where missed; right the predicted ones, orange where wrong."
    )

    def __init__(
        self, *args: Any, nms_iou: float = 0.6, min_score: float = 0.01, max_boxes: int = 100, **kwargs: Any
    ) -> None:
        check_number("task.nms_iou", nms_iou, 0, 1)
        check_number("task.min_score", min_score, 0, 1)
        check_number("task.max_boxes", max_boxes, 1, whole=True)
        super().__init__(*args, **kwargs)
        self.nms_iou, self.min_score, self.max_boxes = nms_iou, min_score, max_boxes
        self._detector.set_rule(min_score, nms_iou)

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> the head's outputs."""
        head = self._detector
        return head.detect(self.backbone, image) if head.sees_pictures else super().forward(image)

    def outputs(self, batch: Batch) -> Any:
        if self.training and self._detector.sees_pictures:
            return self._detector.sample(self.backbone, batch["image"], batch["boxes"])
        return super().outputs(batch)

    @property
    def _detector(self) -> DetectionHead[Any]:
        return cast(DetectionHead[Any], self.head)

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        return self._detector.losses(outputs, batch["boxes"], batch["box_labels"])

    def postprocess(self, outputs: Any) -> list[dict[str, Tensor]]:
        """-> for each scene boxes (n, 4) x0 y0 x1 y1 in pixels, scores (n,) in 0..1 best first, labels (n,)."""
        predictions = []
        for found in self._detector.decode(outputs):
            sure = found["scores"] >= self.min_score
            boxes, scores, labels = found["boxes"][sure], found["scores"][sure], found["labels"][sure]
            kept = batched_nms(boxes, scores, labels, self.nms_iou)[: self.max_boxes]
            predictions.append({"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]})
        return predictions

    def make_metrics(self) -> MetricCollection:
        n = len(self.classes)
        return MetricCollection({"coco": CocoAveragePrecision(n), "voc": VocAveragePrecision(n)})

    def update(self, metrics: MetricCollection, predictions: list[dict[str, Tensor]], batch: Batch) -> None:
        truth = [_truth(batch, index) for index in range(len(predictions))]
        metrics.update(predictions, truth, batch.get("index"))

    def mistakes(self, predictions: list[dict[str, Tensor]], batch: Batch) -> list[Mistake]:
        """Amount: boxes that were missed, and the scores of those that are wrong; `matched`, scores from SHOWN up."""
        mistakes = []
        for index, found in enumerate(predictions):
            found = _shown(found)
            right, seen = matched(found, _truth(batch, index))
            missed, wrong = int((~seen).sum()), int((~right).sum())
            words = [f"missed {missed} of {len(seen)}"] * bool(missed) + [f"{wrong} too many"] * bool(wrong)
            mistakes.append(Mistake(missed + float(found["scores"][~right].sum()), ", ".join(words)))
        return mistakes

    def draw_pair(
        self, truth: "Axes", found: "Axes", predictions: list[dict[str, Tensor]], batch: Batch, index: int
    ) -> None:
        real, guess = _truth(batch, index), _shown(predictions[index])
        right, seen = matched(guess, real)
        true_names = [self.classes[label] for label in real["labels"].tolist()]
        names = [self.classes[label] for label in guess["labels"].tolist()]
        names = [f"{name} {score:.0%}" for name, score in zip(names, guess["scores"].tolist(), strict=True)]
        for axes, boxes, texts, good in (
            (truth, real["boxes"], true_names, seen),
            (found, guess["boxes"], names, right),
        ):
            # Right ones lie below, and of the wrong ones the surest are named.
            for rank, place in reversed(list(enumerate(good.long().argsort(stable=True).tolist()))):
                judged(axes, boxes[place], texts[place] if rank < NAMED else "", bool(good[place]))

    def draw(self, axes: "Axes", predictions: list[dict[str, Tensor]], batch: Batch, index: int) -> None:
        for box in batch["boxes"][index]:
            rectangle(axes, box, truth=True)
        found = _shown(predictions[index])
        for place, (box, score, label) in enumerate(zip(found["boxes"], found["scores"], found["labels"], strict=True)):
            rectangle(axes, box, f"{self.classes[int(label)]} {score:.0%}" if place < NAMED else "")


def _truth(batch: Batch, index: int) -> Scene:
    return {"boxes": batch["boxes"][index], "labels": batch["box_labels"][index]}


def _shown(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: values[found["scores"] >= SHOWN] for key, values in found.items()}
