"""Detection: where are all the objects, and what are they?"""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import batched_nms, clip_boxes_to_image, generalized_box_iou_loss

from frostline.errors import check_number
from frostline.models.heads.detection import DenseOutput
from frostline.tasks.base import Batch, Task
from frostline.tasks.drawing import rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CENTRE_RADIUS = 1.5  # cells; a cell this near to the centre of a box answers for it (FCOS's centre sampling)
REACH = 6  # a level answers for boxes whose longer side is at most this many of its strides


class Detection(Task):
    """One dense stage: each cell says how sure it is that it looks at an object, of which class, and the box.

    nms_iou, min_score, max_boxes: of the predictions, see conf/task/detection.yaml.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    reads: ClassVar[str] = "cells"
    primary: ClassVar[str] = "map"

    def __init__(
        self, *args: Any, nms_iou: float = 0.6, min_score: float = 0.01, max_boxes: int = 100, **kwargs: Any
    ) -> None:
        check_number("task.nms_iou", nms_iou, 0, 1)
        check_number("task.min_score", min_score, 0, 1)
        check_number("task.max_boxes", max_boxes, 1, whole=True)
        super().__init__(*args, **kwargs)
        self.nms_iou, self.min_score, self.max_boxes = nms_iou, min_score, max_boxes

    def criterion(self, outputs: DenseOutput, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy of objectness over all cells; class and GIoU over the cells that answer for a box."""
        scenes, cells, truths, labels = _answering(outputs, batch)
        count = max(1, len(cells))
        boxes = outputs.boxes[scenes, cells]
        # A cell is as sure as its box is good (as in YOLO, arXiv:1506.02640): so scores rank boxes by quality.
        quality = torch.zeros_like(outputs.objectness)
        quality[scenes, cells] = _paired_iou(boxes.detach(), truths).to(quality.dtype)
        return {
            "objectness": F.binary_cross_entropy_with_logits(outputs.objectness, quality, reduction="sum") / count,
            "class": F.cross_entropy(outputs.classes[scenes, cells], labels, reduction="sum") / count,
            "box": 2 * generalized_box_iou_loss(boxes, truths, reduction="sum") / count,
        }

    def postprocess(self, outputs: DenseOutput) -> list[dict[str, Tensor]]:
        """-> for each scene boxes (n, 4) x0 y0 x1 y1 in pixels, scores (n,) in 0..1 best first, labels (n,)."""
        scores = outputs.objectness.sigmoid()[..., None] * outputs.classes.softmax(-1)
        size = int((outputs.centres + outputs.strides[:, None] / 2).max())  # where the last cell of any level ends
        predictions = []
        for score, boxes in zip(scores, outputs.boxes, strict=True):
            best, label = score.max(1)
            best, order = best.topk(min(1000, len(best)))
            order = order[best >= self.min_score]
            best = best[best >= self.min_score]
            inside = clip_boxes_to_image(boxes[order], (size, size))
            kept = batched_nms(inside, best, label[order], self.nms_iou)[: self.max_boxes]
            predictions.append({"boxes": inside[kept], "scores": best[kept], "labels": label[order][kept]})
        return predictions

    def make_metrics(self) -> MetricCollection:
        return MetricCollection({"coco": CocoMap()})

    def update(self, metrics: MetricCollection, predictions: list[dict[str, Tensor]], batch: Batch) -> None:
        truth = [{"boxes": b, "labels": n} for b, n in zip(batch["boxes"], batch["box_labels"], strict=True)]
        metrics["coco"].update(predictions, truth)

    def draw(self, axes: "Axes", predictions: list[dict[str, Tensor]], batch: Batch, index: int) -> None:
        for box in batch["boxes"][index]:
            rectangle(axes, box, truth=True)
        found = predictions[index]
        for box, score, label in zip(found["boxes"], found["scores"], found["labels"], strict=True):
            if score >= 0.3:  # as many as an eye can take in
                rectangle(axes, box, f"{self.classes[int(label)]} {score:.0%}")


class CocoMap(MeanAveragePrecision):
    """COCO mean average precision over the whole set, under three plain names."""

    names = ("map", "map50", "map75")

    def __init__(self) -> None:
        super().__init__(backend="faster_coco_eval")
        self.warn_on_many_detections = False

    def compute(self) -> dict[str, Tensor]:
        values = super().compute()
        return {name: values[key] for name, key in zip(self.names, ("map", "map_50", "map_75"), strict=True)}


def _answering(outputs: DenseOutput, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which cells answer for which box: scenes (n,), cells (n,), boxes (n, 4), labels (n,).

    A cell answers for a box if its centre lies in the box and near the box's centre, on the level whose stride fits
    the box's size. Of several boxes it takes the smallest, as the larger ones have more cells to answer for them.
    """
    found: list[list[Tensor]] = [[], [], [], []]
    centres, strides = outputs.centres, outputs.strides
    finest, coarsest = strides.min(), strides.max()
    for scene, (boxes, labels) in enumerate(zip(batch["boxes"], batch["box_labels"], strict=True)):
        if not len(boxes):
            continue
        reach = torch.cat([centres[:, None] - boxes[:, :2], boxes[:, 2:] - centres[:, None]], 2)  # (N, n, 4)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        near = ((centres[:, None] - middle).abs() < CENTRE_RADIUS * strides[:, None, None]).all(2)
        side = (boxes[:, 2:] - boxes[:, :2]).max(1).values
        fits = (side <= REACH * strides[:, None]) | (strides[:, None] == coarsest)
        fits &= (side > REACH / 2 * strides[:, None]) | (strides[:, None] == finest)
        inside = (reach > 0).all(2) | _nearest(centres, middle, fits)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        cost = torch.where(near & inside & fits, area, torch.inf)
        least, box = cost.min(1)
        cells = least.isfinite().nonzero()[:, 0]
        found[0].append(torch.full_like(cells, scene))
        found[1].append(cells)
        found[2].append(boxes[box[cells]])
        found[3].append(labels[box[cells]])
    if not found[0]:
        none = torch.zeros(0, dtype=torch.long, device=centres.device)
        return none, none, centres.new_zeros(0, 4), none
    scenes, cells, truths, labels = (torch.cat(column) for column in found)
    return scenes, cells, truths, labels


def _nearest(centres: Tensor, middle: Tensor, fits: Tensor) -> Tensor:
    """(N, n): the cell nearest to each box's centre on its level, so that a box smaller than a cell is not lost."""
    distance = torch.where(fits, torch.cdist(centres, middle), torch.inf)
    return torch.zeros_like(fits).scatter_(0, distance.argmin(0, keepdim=True), True)


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each of (n, 4) boxes with its partner; torchvision's `box_iou` would compare all n × n."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared).clamp(min=1e-9)
