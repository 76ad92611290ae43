"""Which of the boxes that a detector gives are kept: likely ones, and of overlapping ones the best."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 128  # boxes of a class that are compared with each other at once, so that memory grows with n, not with n²

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def select(
    boxes: Floats, scores: Floats, labels: Integers, min_score: float, iou: float, most: int
) -> NDArray[np.intp]:
    """Numbers of the boxes that are an answer, the best first: of a score of at least `min_score` and above 0, which
    what is padded has, without those that `suppress` drops, and at most `most`. As there for the rest."""
    likely = np.flatnonzero((scores >= min_score) & (scores > 0))
    kept: NDArray[np.intp] = likely[suppress(boxes[likely], scores[likely], labels[likely], iou, most)]
    return kept


def suppress(boxes: Floats, scores: Floats, labels: Integers, iou: float, most: int | None = None) -> NDArray[np.intp]:
    """Greedy non-maximum suppression, class by class: numbers of the boxes that are kept, the best first.

    boxes: (n, 4) x0 y0 x1 y1, in any unit. scores: (n,), finite; of equal ones the first is the better. labels: (n,).
    A box goes where its IoU with a better one of its class that is kept is above `iou`, as torchvision's rule says; it
    is computed in double precision, so that one that equals a threshold such as 0.6 stays. most: so many are enough.
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    by_class = np.argsort(labels[order], kind="stable")  # places within `order`, each class's best first
    ends = np.flatnonzero(np.diff(labels[order][by_class])) + 1
    ordered = boxes[order].astype(np.float64)
    kept = [own[_suppress(ordered[own], iou, most)] for own in np.split(by_class, ends)]
    return order[np.sort(np.concatenate(kept))[:most]]


def _suppress(boxes: NDArray[np.float64], iou: float, most: int | None) -> NDArray[np.intp]:
    """Places of the boxes of one class that are kept, of boxes (n, 4) that come best first."""
    kept: list[NDArray[np.intp]] = []
    left, count = np.arange(len(boxes)), 0
    while len(left) and (most is None or count < most):
        first, left = left[:AT_ONCE], left[AT_ONCE:]
        first = first[_greedy(overlap(boxes[first], boxes[first]) > iou)]
        kept.append(first)
        count += len(first)
        if len(left):
            left = left[~(overlap(boxes[first], boxes[left]) > iou).any(0)]
    return np.concatenate(kept) if kept else left


def _greedy(above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, n) whether two boxes overlap too much, the best first -> (n,) which are kept."""
    kept = np.ones(len(above), dtype=bool)
    clear = ~np.triu(above, 1)
    for row in np.flatnonzero(~clear.all(1)):
        if kept[row]:
            kept &= clear[row]
    return kept


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4), (m, 4) -> (n, m) IoU; 0 where both boxes are without area."""
    width = np.minimum(one[:, None, 2], other[:, 2]) - np.maximum(one[:, None, 0], other[:, 0])
    height = np.minimum(one[:, None, 3], other[:, 3]) - np.maximum(one[:, None, 1], other[:, 1])
    shared = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1] - shared
    share: NDArray[np.float64] = np.divide(shared, np.maximum(union, np.finfo(np.float64).tiny, out=union), out=shared)
    return share
