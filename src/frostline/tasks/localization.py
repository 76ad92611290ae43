"""Localization: where is the one object, and what is it?"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchvision.ops import box_convert, complete_box_iou_loss, generalized_box_iou_loss

from frostline.errors import FrostlineError, check_number
from frostline.loading.batch import Batch
from frostline.metrics.detection import MATCH
from frostline.metrics.localization import BoxScores, overlaps
from frostline.metrics.pairs import PairScores
from frostline.predict.kinds import Located
from frostline.shares import divisor
from frostline.tasks.base import Mistake, Row, Task, probabilities, probabilities_of
from frostline.tasks.weights import cross_entropy


def _on_corners(loss: Callable[..., Tensor], found: Tensor, truth: Tensor, side: int) -> Tensor:
    """A loss (n,) of boxes given by their corners, for boxes (n, 4) as centre x, centre y, width, height.

    In pixels: the library adds 1e-7 to the union, which of a box of one pixel in a thousand is a tenth of its share.
    """
    found = torch.cat([found[:, :2], found[:, 2:].clamp(min=1e-6)], 1)  # of a box without a size, CIoU is no number
    corners = (side * box_convert(boxes, "cxcywh", "xyxy") for boxes in (found, truth))
    return loss(*corners, reduction="none")


BEND = 0.1  # of the picture: from where on smooth_l1 is linear. At torch's 1, which no error reaches, it is half of mse
# From boxes (n, 4) found and true, in shares of a picture, and its side in pixels to a loss (n,) for each.
BOX_LOSSES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "mse": lambda found, truth, _: F.mse_loss(found, truth, reduction="none").mean(1),
    "smooth_l1": lambda found, truth, _: F.smooth_l1_loss(found, truth, reduction="none", beta=BEND).mean(1),
    "giou": partial(_on_corners, generalized_box_iou_loss),
    "ciou": partial(_on_corners, complete_box_iou_loss),
}


class Localization(Task):
    """Class scores and one box as centre x, centre y, width, height in 0..1 of the picture.

    box_loss: `mse` or `smooth_l1` (linear from 0.1 up), on the four numbers; `giou` (Rezatofighi et al. 2019,
    arXiv:1902.09630) or `ciou` (Zheng et al. 2020, arXiv:1911.08287), on the overlap. box_weight: its weight beside the
    class's cross-entropy.
    Scenes without a box, or whose box was cropped away by augmentation, train the class alone.
    """

    kind: ClassVar[str] = "localization"
    needs: ClassVar[frozenset[str]] = frozenset({"label", "boxes"})
    reads: ClassVar[str] = "scores and box"
    primary: ClassVar[str] = "iou"

    def __init__(self, *args: Any, box_loss: str = "mse", box_weight: float = 1.0, **kwargs: Any) -> None:
        if box_loss not in BOX_LOSSES:
            raise FrostlineError(f"task.box_loss is '{box_loss}'; {', '.join(BOX_LOSSES)} are known.")
        check_number("task.box_weight", box_weight, 0)
        self.box_loss, self.box_weight = BOX_LOSSES[box_loss], box_weight
        super().__init__(*args, **kwargs)

    def criterion(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> dict[str, Tensor]:
        scores, boxes = outputs
        target, has_box = _targets(batch)
        # Summed by hand over the scenes that have a box, so that a batch without any gives 0 and not NaN.
        distance = self.box_loss(boxes[has_box], target, batch["size"]).sum() / divisor(len(target), boxes)
        weights = cast("Tensor | None", self.class_weights)
        return {"class": cross_entropy(scores, batch["label"], weights), "box": self.box_weight * distance}

    def raw(self, outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """outputs: scores (B, C), and boxes (B, 4) as centre x, centre y, width, height in 0..1."""
        scores, boxes = outputs
        return {"probabilities": probabilities(scores), "box": boxes}

    def make_metrics(self) -> MetricCollection:
        metrics: dict[str, Metric | MetricCollection] = {"boxes": BoxScores()}
        if len(self.classes) > 1:  # with one, only the box is in question
            metrics["classes"] = PairScores(len(self.classes))
        return MetricCollection(metrics, compute_groups=False)

    def update(self, metrics: MetricCollection, predictions: Sequence[Located], batch: Batch) -> None:
        """Boxes count over the scenes that have one; accuracy, of the class where there are several, over all."""
        labels = batch["label"]
        shares = probabilities_of(predictions).to(labels.device)
        found, truth, has_box = _corners(predictions, batch)
        metrics["boxes"].update(found, truth, shares.argmax(1)[has_box] == labels[has_box])
        if "classes" in metrics:
            metrics["classes"].update(shares.argmax(1), labels)

    def mistakes(self, predictions: Sequence[Located], batch: Batch) -> Iterator[Mistake]:
        """Amount: 1 - IoU, and 1 more for another class; 0 where the class is right and the IoU at least 0.5."""
        shares = _shares(predictions, batch)
        for found, truth, iou in zip(predictions, batch["label"].tolist(), shares, strict=True):
            wrong = found.label != truth
            words = [f"{found.name}, is {self.classes[truth]}"] if wrong else []
            words += [f"IoU {iou:.2f}"] if iou is not None else []
            share = 1.0 if iou is None else iou  # nothing is wrong with a box that nobody asked for
            right = not wrong and share >= MATCH
            yield Mistake(0.0 if right else wrong + 1 - share, ", ".join(words))

    def rows(self, predictions: Sequence[Located], batch: Batch) -> Iterator[Row]:
        """Quality: the box's IoU, None of a scene without one."""
        shares = _shares(predictions, batch)
        for found, truth, iou in zip(predictions, batch["label"].tolist(), shares, strict=True):
            told = {"truth": self.classes[truth], "predicted": found.name, "score": found.score}
            yield {**told, "box": found.box.tolist(), "quality": iou}

    def only(self, outputs: tuple[Tensor, Tensor], scene: int) -> tuple[Tensor, Tensor]:
        scores, boxes = outputs
        return scores[scene : scene + 1], boxes[scene : scene + 1]


def _shares(predictions: Sequence[Located], batch: Batch) -> list[float | None]:
    """IoU of each scene's box, as `BoxScores` takes it; None where there is none."""
    found, truth, has_box = _corners(predictions, batch)
    overlap = iter(overlaps(found, truth).double().nan_to_num(0).tolist())
    return [next(overlap) if boxed else None for boxed in has_box.tolist()]


def _corners(predictions: Sequence[Located], batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (n, 4) x0 y0 x1 y1 in 0..1 of the square, found and true, and which of the B scenes have one."""
    target, has_box = _targets(batch)
    found = torch.from_numpy(np.stack([one.measured for one in predictions])).to(target.device)[has_box]
    return box_convert(found, "cxcywh", "xyxy"), box_convert(target, "cxcywh", "xyxy"), has_box


def _targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """Boxes (n, 4) as centre x, centre y, width, height in 0..1, and which of the B scenes they are of."""
    boxes = torch.cat([b[:1] for b in batch["boxes"]])
    has_box = torch.tensor([len(b) > 0 for b in batch["boxes"]], device=boxes.device)
    return box_convert(boxes, "xyxy", "cxcywh") / batch["size"], has_box
