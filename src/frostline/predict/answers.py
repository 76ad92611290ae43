"""From what a network gives for a batch, as arrays by name, to a prediction for each picture.

The one code for that, in evaluation, in prediction, and behind a file that was exported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from frostline.predict.boxes import select
from frostline.predict.kinds import Classified, Detected, Floats, Located, Mask, Placement, Prediction, Segmented

Raw: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Rule:
    """Which of the boxes that a network finds count: those of at least min_score, of the ones of a class that overlap
    by more than nms_iou the surest, and of all these at most max_boxes."""

    min_score: float = 0.01
    nms_iou: float = 0.6
    max_boxes: int = 100


def answers(
    task: str, raw: Raw, classes: Sequence[str], placements: Sequence[Placement], rule: Rule
) -> list[Prediction]:
    """What a network says of B pictures.

    task: one of ANSWERS. raw: what the network gives, batch first: of classification `probabilities` (B, C); of
    localization, besides, `box` (B, 4), centre x, centre y, width, height in 0..1 of the square; of detection `boxes`
    (B, K, 4), x0 y0 x1 y1 in pixels of the square, `scores` and `labels` (B, K); of segmentation `scores` (B, C, S, S).
    """
    return [ANSWERS[task](raw, n, classes, placement, rule) for n, placement in enumerate(placements)]


def _classified(raw: Raw, n: int, classes: Sequence[str], placement: Placement, rule: Rule) -> Classified:
    return Classified(classes, raw["probabilities"][n])


def _located(raw: Raw, n: int, classes: Sequence[str], placement: Placement, rule: Rule) -> Located:
    return Located(classes, raw["probabilities"][n], raw["box"][n], placement)


def _detected(raw: Raw, n: int, classes: Sequence[str], placement: Placement, rule: Rule) -> Detected:
    boxes, scores, labels = raw["boxes"][n], raw["scores"][n], raw["labels"][n]
    kept = select(boxes, scores, labels, rule.min_score, rule.nms_iou, rule.max_boxes)
    return Detected(classes, boxes[kept], scores[kept], labels[kept], placement)


def _segmented(raw: Raw, n: int, classes: Sequence[str], placement: Placement, rule: Rule) -> Segmented:
    left, top, width, height = placement.place
    return Segmented(classes, likeliest(raw["scores"][n, :, top : top + height, left : left + width], placement.size))


ANSWERS: dict[str, Callable[[Raw, int, Sequence[str], Placement, Rule], Prediction]] = {
    "classification": _classified,
    "localization": _located,
    "detection": _detected,
    "segmentation": _segmented,
}


def likeliest(scores: Floats, size: tuple[int, int]) -> Mask:
    """Scores (C, h, w), enlarged bilinearly to a picture's width and height -> class numbers (H, W).

    One class at a time, as all of a large picture's would take gigabytes. What torch's `interpolate` does, to a
    rounding.
    """
    width, height = size
    if scores.shape[1:] == (height, width):
        return np.asarray(scores.argmax(0), np.uint8)
    import cv2  # takes a while to load, and few need it

    found = np.zeros((height, width), np.uint8)
    most = np.full((height, width), -np.inf, np.float32)
    for label, one in enumerate(scores):
        enlarged = cv2.resize(np.ascontiguousarray(one, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        better = enlarged > most
        np.copyto(most, enlarged, where=better)
        found[better] = label
    return found
