"""What several copies of one picture say together, where their boxes differ."""

from collections.abc import Sequence

import numpy as np

from frostline.checking.record import Record

OVERLAP = 0.5  # IoU above which two boxes of one class are of one object


def mean_boxes(copies: Sequence[Record]) -> tuple[list[list[float]], list[int]]:
    """Boxes x0 y0 x1 y1, each the mean of those of one object, with their classes; in the order in which they are met.

    A copy's boxes are of the same object as those before where they have its class and overlap most, by OVERLAP or
    more. An object that only half of the copies have, or fewer, is left out.
    """
    objects: list[tuple[int, list[np.ndarray]]] = []
    for copy in copies:
        free = set(range(len(objects)))
        for box, label in zip(copy.boxes or (), copy.box_labels or (), strict=True):
            alike = [at for at in free if objects[at][0] == label]
            overlaps = [_iou(np.mean(objects[at][1], axis=0), np.array(box)) for at in alike]
            if overlaps and max(overlaps) > OVERLAP:
                at = alike[int(np.argmax(overlaps))]
                free.remove(at)
                objects[at][1].append(np.array(box))
            else:
                objects.append((label, [np.array(box)]))
    said = [(label, boxes) for label, boxes in objects if len(boxes) * 2 > len(copies)]
    return [np.mean(boxes, axis=0).astype(np.float32).tolist() for _, boxes in said], [label for label, _ in said]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(sides.clip(0)))
    return shared / max(float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared, 1e-9)
