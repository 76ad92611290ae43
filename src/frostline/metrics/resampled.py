"""Primary metrics over any of a split's scenes, from what a test said of each, see `rows.COLUMNS`.

So a bootstrap over scenes computes a set metric anew for every resample: what is matched in one scene depends on no
other, so only what is summed over scenes is summed again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.metrics.rows import OVERLAPS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# How often each of n scenes is counted, (r, n) whole numbers from 0 up, one row a resample -> its value in each (r,).
SetMetric = Callable[[Ints], Floats]
RECALLS = np.linspace(0, 1, 101)
BLOCK = 100  # resamples computed at a time: as wide numbers all counts would take four times their memory


def set_metric(rows: Any) -> SetMetric:
    """The primary metric of a run's rows, a pyarrow table. NaN for a resample in which there is nothing to be found."""
    names = rows.column_names
    if "objects" in names:
        return _in_blocks(AveragePrecision(rows))
    if "both" in names:
        pixels = [_even(rows[name]) for name in ("both", "real", "found")]
        return _in_blocks(lambda counts: mean_iou(counts, *pixels))
    quality = rows["quality"].to_numpy(zero_copy_only=False).astype(float)  # null is NaN
    return _in_blocks(lambda counts: _mean(counts, quality))


def _in_blocks(metric: SetMetric) -> SetMetric:
    """The same metric, which takes whole numbers of any width, and widens BLOCK resamples at a time."""

    def blocks(counts: Ints) -> Floats:
        starts = range(0, max(1, len(counts)), BLOCK)
        return np.concatenate([metric(counts[start : start + BLOCK].astype(np.int64)) for start in starts])

    return blocks


def _mean(counts: Ints, quality: Floats) -> Floats:
    known = ~np.isnan(quality)
    with np.errstate(invalid="ignore"):
        mean: Floats = (counts @ np.where(known, quality, 0)) / (counts @ known)
    return mean


def mean_iou(counts: Ints, both: Ints, real: Ints, found: Ints) -> Floats:
    """`pixel_scores`' miou of resamples (r, n), from pixels (n, classes): right, in truth, predicted."""
    # Sums of whole numbers, and exact in floats, which alone are multiplied quickly.
    right, truth, told = (counts.astype(float) @ pixels.astype(float) for pixels in (both, real, found))
    union = truth + told - right
    occurs = truth + told > 0
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(occurs, right / np.maximum(union, 1), 0).sum(1) / occurs.sum(1)
    return mean


class AveragePrecision:
    """COCO's mean average precision (`coco_average_precision`'s `map`) of resamples.

    A scene that is counted twice is as two equal ones next to one another, but for ties: each prediction stands beside
    its copy, so where a scene that is drawn twice has two of one class and score, the value may differ from that of the
    scenes written out.

    All classes and IoUs are one long row of segments, each of the right predictions of one class at one IoU, the surest
    first, and one more that ends it. Of precision no more is needed: between two right ones it only falls.
    """

    def __init__(self, rows: Any) -> None:
        scores, lengths = _ragged(rows["scores"])
        labels, right, ignored = (_ragged(rows[name])[0] for name in ("classes", "right", "ignored"))
        objects, of_scene = _ragged(rows["objects"])
        nobody = len(rows)  # a scene that never counts
        scene, seen_in = (np.repeat(np.arange(nobody), many) for many in (lengths, of_scene))
        self.names = np.unique(objects)
        seen = [np.bincount(seen_in[objects == k], minlength=nobody) for k in self.names]
        self.objects = np.array(seen, np.int64).reshape(-1, nobody)  # of each class, in each scene
        order = np.argsort(-scores, kind="stable")
        own = [order[labels[order] == k] for k in self.names]
        # Predictions that are counted are held once where, as mostly, they are the same at several IoUs.
        counted: dict[tuple[int, bytes], tuple[int, Any]] = {}
        hits, at, begins, end = [], [], [], 0
        for bit in range(len(OVERLAPS)):
            for label, these in enumerate(own):
                neither = (ignored[these] >> bit & 1).astype(bool)
                begin, _ = counted.setdefault(
                    (label, neither.tobytes()), (end, np.append(np.where(neither, nobody, scene[these]), nobody))
                )
                end += (len(these) + 1) * (begin == end)
                is_right = np.flatnonzero(right[these] >> bit & 1)
                hits.append(np.append(scene[these][is_right], nobody))
                at.append(begin + np.append(is_right, len(these)))
                begins.append(begin)
        self.many = np.array([len(one) for one in hits], np.int64)
        self.starts, self.begins = np.cumsum([0, *self.many])[:-1], np.array(begins, np.int64)
        none = np.zeros(0, np.int32)
        self.hits, self.at = (np.concatenate([none, *one]).astype(np.int32) for one in (hits, at))
        self.counted = np.concatenate([none, *(scenes for _, scenes in counted.values())]).astype(np.int32)

    def __call__(self, counts: Ints) -> Floats:
        """counts: (r, n), how often each scene is counted."""
        if not len(self.names):
            return np.full(len(counts), np.nan)
        objects = counts @ self.objects.T
        weights = np.column_stack([counts, np.zeros(len(counts))]).astype(np.int32)
        return np.array([self._of(*one) for one in zip(weights, objects, strict=True)])

    def _of(self, weights: Any, objects: Ints) -> float:
        """weights: (n + 1,). objects: of each class."""
        found, counted = (np.take(weights, which).cumsum(dtype=np.int32) for which in (self.hits, self.counted))
        before, passed = (np.append(0, total)[at] for total, at in ((found, self.starts), (counted, self.begins)))
        reached = found - np.repeat(before.astype(np.int32), self.many)
        among = np.take(counted, self.at) - np.repeat(passed.astype(np.int32), self.many)
        precision = reached / np.maximum(among, 1)
        precision[self.starts + self.many - 1] = 0  # what ends a segment stands for recalls that are not reached
        # The least number of right ones at each recall, compared in floating point as pycocotools does.
        real = np.maximum(objects, 1)[:, None]
        least = np.rint(RECALLS * real)
        least += least / real < RECALLS
        wanted = before[:, None] + np.tile(least, (len(OVERLAPS), 1)).astype(np.int32)
        places = np.searchsorted(found, wanted.ravel().astype(np.int32)).reshape(wanted.shape)
        places = np.clip(places, self.starts[:, None], (self.starts + self.many - 1)[:, None])
        best = np.maximum.reduceat(precision, places.ravel()).reshape(places.shape)
        best = np.maximum.accumulate(best[:, ::-1], axis=1)
        known = np.tile(objects > 0, len(OVERLAPS))
        return float(best[known].mean()) if known.any() else float("nan")


def _ragged(column: Any) -> tuple[Any, Ints]:
    """All values of a column of lists, and how many each scene has."""
    column = column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False), column.value_lengths().to_numpy(zero_copy_only=False)


def _even(column: Any) -> Ints:
    values, lengths = _ragged(column)
    even: Ints = values.reshape(len(lengths), -1)
    return even
