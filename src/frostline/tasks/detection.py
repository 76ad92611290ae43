"""Detection: where are all the objects, and what are they?"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from frostline.errors import check_number
from frostline.loading.batch import Batch
from frostline.metrics.detection import Boxes, CocoAveragePrecision, VocAveragePrecision, coco_matches, matched
from frostline.models.heads.base import DetectionHead
from frostline.predict.answers import Rule
from frostline.predict.kinds import Detected
from frostline.scenes.scene import COUNTED
from frostline.tasks.base import Mistake, Row, Task, on_cpu


class Detection(Task):
    """Boxes with classes. The head says how it learns and what it finds; here overlapping boxes are sorted out.

    nms_iou, min_score, max_boxes: of the predictions, see conf/task/detection.yaml.
    """

    kind: ClassVar[str] = "detection"
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    reads: ClassVar[str] = "boxes"
    primary: ClassVar[str] = "map"
    curves: ClassVar[tuple[str, str]] = ("map50", "at an IoU of 0.5")

    def __init__(
        self, *args: Any, nms_iou: float = 0.6, min_score: float = 0.01, max_boxes: int = 100, **kwargs: Any
    ) -> None:
        check_number("task.nms_iou", nms_iou, 0, 1)
        check_number("task.min_score", min_score, 0, 1)
        check_number("task.max_boxes", max_boxes, 1, whole=True)
        super().__init__(*args, **kwargs)
        self.nms_iou, self.min_score, self.max_boxes = nms_iou, min_score, max_boxes
        self.detector.set_rule(min_score, nms_iou)
        if self.class_weights is not None:
            self.detector.weigh(self.class_weights)
        elif self.balances:  # what its loss does not know is told before anything is counted
            self.detector.weigh(torch.ones(len(self.classes)))

    @property
    def detector(self) -> DetectionHead[Any]:
        return cast(DetectionHead[Any], self.model.head)

    def weigh(self, counts: Tensor) -> None:
        super().weigh(counts)
        if self.balances:
            self.detector.weigh(self.class_weights)

    def forward(self, image: Tensor) -> Any:
        if self.detector.sees_pictures:
            return self.detector.detect(self.model.backbone, image)
        return super().forward(image)

    def answers(self, batch: Batch) -> Any:
        if self.training and self.detector.sees_pictures and "image" in batch:
            return self.detector.sample(self.model.backbone, batch["image"], _counted(batch, "boxes"))
        return super().answers(batch)

    def criterion(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        pairs = zip(batch["boxes"], batch["box_marks"], strict=True)
        ignored = [boxes[marks != COUNTED] for boxes, marks in pairs]
        return self.detector.losses(outputs, _counted(batch, "boxes"), _counted(batch, "box_labels"), ignored)

    @property
    def rule(self) -> Rule:
        return Rule(self.min_score, self.nms_iou, self.max_boxes)

    def raw(self, outputs: Any) -> dict[str, Tensor]:
        return self.detector.decode(outputs)

    def make_metrics(self) -> MetricCollection:
        n = len(self.classes)
        return MetricCollection({"coco": CocoAveragePrecision(n), "voc": VocAveragePrecision(n)})

    def update(self, metrics: MetricCollection, predictions: Sequence[Detected], batch: Batch) -> None:
        truth = [_truth(batch, index) for index in range(len(predictions))]
        metrics.update([_measured(found) for found in predictions], on_cpu(truth), batch.get("index"))

    def mistakes(self, predictions: Sequence[Detected], batch: Batch) -> Iterator[Mistake]:
        """Amount: boxes that were missed, and the scores of those that are wrong; `matched`, scores from SURE up."""
        for index, found in enumerate(predictions):
            found = found.sure()
            match = matched(_measured(found), _truth(batch, index))
            missed, wrong = int(match.missed.sum()), int(match.wrong.sum())
            words = [f"missed {missed} of {missed + int(match.seen.sum())}"] if missed else []
            words += [f"{wrong} too many"] if wrong else []
            yield Mistake(missed + float(found.scores[match.wrong.numpy()].sum()), ", ".join(words))

    def rows(self, predictions: Sequence[Detected], batch: Batch) -> Iterator[Row]:
        """Quality: of the boxes of at least SURE and those that are there, the share that match, see `mistakes`."""
        for index, found in enumerate(predictions):
            truth = _truth(batch, index)
            match = matched(_measured(found.sure()), truth)
            good = int(match.seen.sum())
            total = good + int(match.missed.sum()) + int(match.wrong.sum())
            right, ignored = coco_matches(_measured(found), truth, len(self.classes))
            yield {
                "boxes": found.boxes.flatten().tolist(),
                "scores": found.scores.tolist(),
                "classes": found.labels.tolist(),
                "right": right.tolist(),
                "ignored": ignored.tolist(),
                "objects": truth["labels"][truth["marks"] == COUNTED].tolist(),
                "quality": good / total if total else None,
            }

    def only(self, outputs: Any, scene: int) -> Any:
        return self.detector.only(outputs, scene)


def _truth(batch: Batch, index: int) -> Boxes:
    return {"boxes": batch["boxes"][index], "labels": batch["box_labels"][index], "marks": batch["box_marks"][index]}


def _counted(batch: Batch, key: Literal["boxes", "box_labels"]) -> list[Tensor]:
    """Of each scene the boxes that count, or their labels."""
    return [values[marks == COUNTED] for values, marks in zip(batch[key], batch["box_marks"], strict=True)]


def _measured(found: Detected) -> Boxes:
    boxes, scores, labels = map(torch.from_numpy, (found.in_square, found.scores, found.labels))
    return {"boxes": boxes, "scores": scores, "labels": labels}
