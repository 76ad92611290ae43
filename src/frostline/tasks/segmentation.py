"""Semantic segmentation: which class is each pixel of?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import FocalLoss, LovaszLoss
from torch import Tensor
from torchmetrics import MetricCollection

from frostline.errors import FrostlineError, check_number
from frostline.loading.batch import Batch
from frostline.metrics.segmentation import PixelScores, pixel_confusion, pixel_scores
from frostline.predict.kinds import Segmented
from frostline.scenes.scene import VOID
from frostline.shares import divisor, part, summed
from frostline.tasks.base import Mistake, Row, Task
from frostline.tasks.guards import check_classes
from frostline.tasks.weights import sum_of

AT_ONCE = 4  # classes whose scores are enlarged together


class Segmentation(Task):
    """A class for every pixel; the loss is a weighted sum.

    losses: weights of the four below; 0 leaves one out. All are over the known pixels of a batch.
    `cross_entropy`: mean over pixels, weighted by class_weights.
    `dice` (after Milletari et al. 2016, arXiv:1606.04797, its denominator without squares) and `lovasz` (Berman et al.
    2018, arXiv:1705.08790): of the softmax, mean over the classes that occur in the batch; where several processes
    share a batch, `lovasz` is of each one's share, as it sorts pixels.
    `focal` (Lin et al. 2017, arXiv:1708.02002, gamma 2, no alpha): each class against the rest by its own sigmoid, mean
    over pixels and classes; so it is smaller the more classes there are, and wants a larger weight.
    window: px; prediction looks at windows of this side, half overlapping, and takes the mean of their scores, where
    pictures are larger; for large ones, and for what was trained on crops of that side. None: at the whole at once.

    Measured is every pixel of the pictures at their own size: scores are enlarged to it, without the margin of a
    letterbox, as they are in the papers. The loss is that in the square.
    """

    kind: ClassVar[str] = "segmentation"
    needs: ClassVar[frozenset[str]] = frozenset({"mask"})
    reads: ClassVar[str] = "pixels"
    primary: ClassVar[str] = "miou"

    def __init__(
        self,
        *args: Any,
        losses: Mapping[str, float],
        window: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, weight in losses.items():
            check_number(f"task.losses.{name}", weight, 0)
        self.weights = {name: float(weight) for name, weight in losses.items() if weight}
        if not self.weights:
            raise FrostlineError("task.losses are all 0, so nothing would be learnt: give one a weight.")
        if (self.balances or self.class_weights is not None) and "cross_entropy" not in self.weights:
            raise FrostlineError(
                "task.class_weights would change nothing, or leave nothing to learn: they weigh the cross-entropy, so "
                "give task.losses.cross_entropy a weight."
            )
        if window is not None:
            check_number("task.window", window, 1, whole=True)
        self.window = window
        self.focal = FocalLoss("multiclass", ignore_index=VOID)
        self.lovasz = LovaszLoss("multiclass", ignore_index=VOID)
        self.loss_functions = {
            "cross_entropy": self._cross_entropy,
            "dice": dice,
            "focal": self._focal,
            "lovasz": self._lovasz,
        }

    def forward(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), uint8 or floats in 0..1 -> scores (B, C, S, S)."""
        side, size = self.window, image.shape[-1]
        if self.training or side is None or size <= side:
            return cast(Tensor, super().forward(image))
        starts = [*range(0, size - side, side // 2), size - side]
        total = image.new_zeros(len(image), len(self.classes), size, size, dtype=torch.float32)
        looks = total.new_zeros(size, size)
        for top in starts:
            for left in starts:
                there = (..., slice(top, top + side), slice(left, left + side))
                total[there] += super().forward(image[there])
                looks[there] += 1
        return total / looks

    @property
    def keeps_activations(self) -> bool:
        return not self.window  # evaluation sees windows, and none are kept

    def criterion(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        mask = batch["mask"]
        most = mask.where(mask != VOID, -1).flatten(1).amax(1)
        check_classes("The mask of the scene {} holds", most.clamp(min=0), batch, len(self.classes))
        return {name: weight * self.loss_functions[name](outputs, mask) for name, weight in self.weights.items()}

    def _cross_entropy(self, outputs: Tensor, mask: Tensor) -> Tensor:
        weights = cast("Tensor | None", self.class_weights)
        total = F.cross_entropy(outputs, mask, weights, ignore_index=VOID, reduction="sum")
        known = mask[mask != VOID]
        return total / (divisor(len(known), total) if weights is None else sum_of(weights[known]))

    def _focal(self, outputs: Tensor, mask: Tensor) -> Tensor:
        known = int((mask != VOID).sum())
        return part(self.focal(outputs, mask) if known else 0 * outputs.sum(), known)  # of none, it is no number

    def _lovasz(self, outputs: Tensor, mask: Tensor) -> Tensor:
        known = bool((mask != VOID).any())
        return part(self.lovasz(outputs, mask) if known else 0 * outputs.sum(), len(mask))

    def raw(self, outputs: Tensor) -> dict[str, Tensor]:
        """outputs: scores (B, C, S, S)."""
        return {"scores": outputs}

    def predict(self, outputs: Tensor, batch: Batch) -> list[Segmented]:
        """outputs: scores (B, C, S, S). Those of a letterbox's margin are left out.

        As `predict.answers` has it, but computed where the scores are: those of a large picture are many.
        """
        predictions = []
        for scores, (left, top, width, height), (w, h) in zip(
            outputs, batch["place"], batch["picture_size"], strict=True
        ):
            mask = _likeliest(scores[:, top : top + height, left : left + width], (h, w))
            predictions.append(Segmented(self.classes, mask.cpu().numpy()))
        return predictions

    def make_metrics(self) -> MetricCollection:
        return MetricCollection({"pixels": PixelScores(len(self.classes))})

    def update(self, metrics: MetricCollection, predictions: Sequence[Segmented], batch: Batch) -> None:
        for found, mask in zip(predictions, batch["native_mask"], strict=True):
            metrics.update(torch.from_numpy(found.mask).to(mask.device), mask)

    def mistakes(self, predictions: Sequence[Segmented], batch: Batch) -> Iterator[Mistake]:
        """Amount: 1 - the mean IoU of the scene, over the classes that occur in its truth or prediction."""
        count = len(self.classes)
        for found, mask in zip(predictions, batch["native_mask"], strict=True):
            confusion = pixel_confusion(torch.from_numpy(found.mask), mask, count)
            if confusion.trace() == confusion.sum():  # also where nothing is known
                yield Mistake(0.0, "")
                continue
            miou = _mean_iou(confusion)
            wrong = confusion.clone().fill_diagonal_(0)
            truth, taken = divmod(int(wrong.argmax()), count)
            share = float(wrong[truth, taken] / confusion[truth].sum())
            yield Mistake(1 - miou, f"mIoU {miou:.2f}, {share:.0%} of {self.classes[truth]} as {self.classes[taken]}")

    def rows(self, predictions: Sequence[Segmented], batch: Batch) -> Iterator[Row]:
        """Quality: the mean IoU of the scene, over the classes that occur in its truth or prediction."""
        for one, mask in zip(predictions, batch["native_mask"], strict=True):
            confusion = pixel_confusion(torch.from_numpy(one.mask), mask, len(self.classes))
            counts = {"both": confusion.diagonal(), "real": confusion.sum(1), "found": confusion.sum(0)}
            quality = _mean_iou(confusion) if confusion.any() else None
            yield {**{name: values.tolist() for name, values in counts.items()}, "quality": quality}

    def only(self, outputs: Tensor, scene: int) -> Tensor:
        return outputs[scene : scene + 1]


def dice(outputs: Tensor, mask: Tensor) -> Tensor:
    """Scores (B, C, S, S), class numbers or VOID (B, S, S) -> 1 - the Dice of the softmax, mean over the classes that
    occur. (smp's own is a mean over all classes, to which those that do not occur bring 0: with one of twenty, hardly
    anything.)"""
    known = (mask != VOID)[:, None]
    there = known & (mask[:, None] == torch.arange(outputs.shape[1], device=mask.device)[:, None, None])
    likely = outputs.softmax(1, dtype=torch.promote_types(outputs.dtype, torch.float32)).where(known, 0)
    sums = [likely.where(there, 0), likely, there.to(likely.dtype)]
    both, found, real = summed(torch.stack([values.sum((0, 2, 3)) for values in sums]))
    lost = (1 - 2 * both / (found + real).clamp(min=1e-7)).where(real > 0, 0)
    mean: Tensor = lost.sum() / (real > 0).sum().clamp(min=1)
    return mean


def _mean_iou(confusion: Tensor) -> float:
    return float(pixel_scores(confusion)["miou"])


def _likeliest(scores: Tensor, size: Sequence[int]) -> Tensor:
    """Scores (C, h, w), enlarged to `size` -> class numbers (H, W) uint8.

    A few classes at a time, as all of a large picture's would take gigabytes.
    """
    if scores.shape[1:] == tuple(size):
        return scores.argmax(0).byte()
    most = scores.new_full(tuple(size), -torch.inf, dtype=torch.float32)
    found = torch.zeros(tuple(size), dtype=torch.uint8, device=scores.device)
    for first in range(0, len(scores), AT_ONCE):
        some = scores[None, first : first + AT_ONCE].float()
        value, label = F.interpolate(some, tuple(size), mode="bilinear", align_corners=False)[0].max(0)
        better = value > most
        most = torch.where(better, value, most)
        found = torch.where(better, (first + label).byte(), found)
    return found
