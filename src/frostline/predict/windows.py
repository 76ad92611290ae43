"""Large pictures, looked at in overlapping windows: small things are seen at a size that the network knows."""

from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import numpy as np

from frostline.errors import FrostlineError
from frostline.predict.answers import Rule
from frostline.predict.boxes import select
from frostline.predict.kinds import Detected, Placement, Prediction, Segmented

OVERLAP = 4  # windows overlap by this part of their side at least
SMALLEST = 16  # px
EDGE = 1.0  # px from a window's edge, within which a box may go on beyond it

Part = tuple[int, int, int, int]  # left, top, width, height in the picture


def check_window(task: str, side: int) -> None:
    """Raise FrostlineError for a task that says one thing of a picture, and for a side that holds no picture."""
    if task not in ("detection", "segmentation"):
        raise FrostlineError(f"{task} says one thing of a whole picture, so it has no windows: leave the window out.")
    if side < SMALLEST:
        raise FrostlineError(f"A window of {side} px shows nothing: take about the size of the pictures trained on.")


def windows_of(task: str, size: tuple[int, int], side: int) -> list[Part]:
    """The parts of a picture of this width and height that are looked at.

    Detection looks at the whole as well, as what is larger than the overlap is whole in no window.
    """
    width, height = size
    whole = [(0, 0, width, height)]
    if width <= side and height <= side:
        return whole
    corners = product(_starts(height, side), _starts(width, side))
    tiles = [(left, top, min(side, width), min(side, height)) for top, left in corners]
    return tiles + whole if task == "detection" else tiles


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread, so that all of it is covered."""
    if length <= side:
        return [0]
    step = side - side // OVERLAP
    count = 1 + -(-(length - side) // step)
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def joined(found: Sequence[Any], parts: Sequence[Part], size: tuple[int, int], rule: Rule) -> Prediction:
    """What was said of the parts of a picture as one prediction for it, of this width and height.

    Boxes: those that reach a window's edge within the picture are left out, as another part has them whole; the rest
    are sorted out by the rule together. Masks: each pixel is the class of the window whose middle is nearest.
    """
    if isinstance(found[0], Segmented):
        return _one_mask(cast(Sequence[Segmented], found), parts, size)
    boxes, scores, labels = [], [], []
    for one, (left, top, width, height) in zip(cast(Sequence[Detected], found), parts, strict=True):
        own = one.boxes
        inner = np.array([left > 0, top > 0, left + width < size[0], top + height < size[1]])
        gaps = np.abs(own - np.array([0, 0, width, height], np.float32))
        whole = ~((gaps < EDGE) & inner).any(1)
        boxes.append((own + np.array([left, top] * 2, np.float32))[whole])
        scores.append(one.scores[whole])
        labels.append(one.labels[whole])
    all_boxes, all_scores, all_labels = map(np.concatenate, (boxes, scores, labels))
    order = np.argsort(-all_scores, kind="stable")
    all_boxes, all_scores, all_labels = all_boxes[order], all_scores[order], all_labels[order]
    kept = select(all_boxes, all_scores, all_labels, rule.min_score, rule.nms_iou, rule.max_boxes)
    placement = Placement(max(size), (0, 0, *size), size)
    return Detected(found[0].classes, all_boxes[kept], all_scores[kept], all_labels[kept], placement)


def _one_mask(found: Sequence[Segmented], parts: Sequence[Part], size: tuple[int, int]) -> Segmented:
    mask = np.zeros(size[::-1], np.uint8)
    nearest = np.full(size[::-1], np.inf, np.float32)
    for one, (left, top, width, height) in zip(found, parts, strict=True):
        across = np.abs(np.arange(width) + 0.5 - width / 2) / width
        down = np.abs(np.arange(height) + 0.5 - height / 2) / height
        distance = np.maximum(down[:, None], across).astype(np.float32)
        there = (slice(top, top + height), slice(left, left + width))
        better = distance < nearest[there]
        nearest[there][better] = distance[better]
        mask[there][better] = one.mask[better]
    return Segmented(found[0].classes, mask)
