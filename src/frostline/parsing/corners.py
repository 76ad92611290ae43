"""Where the corners of boxes are counted from: 1, as PASCAL VOC has it, or 0, as many tools write into its XML."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from frostline.errors import check_choice

RULES = ("auto", "one_based", "zero_based")
# Who is known by a mark, and from where he counts, as his own output shows (docs/boxes.md).
WRITERS = {"Label Studio": 0, "datumaro": 0, "pylabel": 0, "LabelImg": 1, "PASCAL VOC": 1, "Roboflow": 1}
_SOME = 10  # a tenth: fewer boxes than that are somebody's slips, and tell nothing of all the others
_PILE = 3  # boxes that end at the same edge, where fewer may do so by chance


@dataclass(frozen=True)
class Written:
    """What one file tells. corners: (n, 4), xmin ymin xmax ymax as they stand there. size: width and height of its
    picture. writer: one of WRITERS; None where nothing tells."""

    corners: np.ndarray
    size: tuple[int, int] | None = None
    writer: str | None = None


@dataclass(frozen=True)
class Counting:
    """first: the number of the leftmost pixel, 0 or 1. why: a sentence where that was to be found out, for people."""

    first: int
    why: str | None = None

    def boxes(self, corners: np.ndarray) -> np.ndarray:
        """The boxes x0 y0 x1 y1 of these corners, x0 = 0 at the left edge."""
        return from_one(corners) if self.first else corners


def from_one(corners: np.ndarray) -> np.ndarray:
    """Boxes x0 y0 x1 y1, from corners that count pixels from 1 and include the last one, as VOC does.

    Only the minima move: a box over the whole of a picture w wide has xmin = 1 and xmax = w there, 0 and w here. One
    whose xmax does not exceed its xmin stays as it is: moved, it would pass for a box of one pixel.
    """
    boxes: np.ndarray = np.where(_proper(corners)[:, None], corners - np.array([1, 1, 0, 0], np.float32), corners)
    return boxes


def counted(rule: str, files: Iterable[Written]) -> Counting:
    """From where all the files of a data set count, by a rule of RULES.

    auto: from 0 where a tenth as many boxes begin before 1 as at 1, which pixels counted from 1 cannot, or where a
    tenth of all have fractions, which pixels have not; else as the tool counts that marked most of the files; else from
    0 where boxes end at the size less one and none at the size; else from 1, as VOC is defined.
    Raises FrostlineError for another rule.
    """
    check_choice("dataset.source.corners", rule, RULES)
    if rule != "auto":
        return Counting(int(rule == "one_based"))
    found = [file for file in files if len(file.corners)]
    if not found:
        return Counting(1)
    corners = np.concatenate([file.corners for file in found])
    sizes = np.array([file.size or (np.nan, np.nan) for file in found], np.float32)
    proper = _proper(corners) & np.isfinite(corners).all(axis=1)
    boxes, size = corners[proper], np.repeat(sizes, [len(file.corners) for file in found], axis=0)[proper]
    before, at_one = (boxes[:, :2] >= 0) & (boxes[:, :2] < 1), boxes[:, :2] == 1
    seen = {
        "all": len(boxes),
        "before": int(before.any(axis=1).sum()),
        "at one": int(at_one.any(axis=1).sum()),
        "fractions": int((boxes != np.floor(boxes)).any(axis=1).sum()),
        "at size": int((boxes[:, 2:] == size).any(axis=1).sum()),
        "at last": int((boxes[:, 2:] == size - 1).any(axis=1).sum()),
    }
    return _judged(seen, Counter(file.writer for file in found)) if seen["all"] else Counting(1)


def _judged(seen: Mapping[str, int], writers: Counter[str | None]) -> Counting:
    (writer, marked), *_ = writers.most_common(1)
    count = seen["all"]
    if seen["before"] and seen["before"] * _SOME >= seen["at one"]:
        first, why = 0, f"{seen['before']} of {count} boxes begin before 1"
    elif seen["fractions"] * _SOME >= count:
        first, why = 0, f"{seen['fractions']} of {count} boxes have corners with fractions"
    elif writer is not None and marked * 2 > writers.total():
        first, why = WRITERS[writer], f"{marked} of {writers.total()} files have the mark of {writer}, which does so"
    elif seen["at last"] >= _PILE and not seen["at size"]:
        first, why = 0, f"{seen['at last']} of {count} boxes end at the picture's size less one and none at its size"
    else:
        first, why = 1, f"the corners of {count} boxes are whole numbers, as VOC has them"
        why += f", but for {seen['fractions']} boxes" if seen["fractions"] else ""
        why += f", and only {seen['before']} begin before 1" if seen["before"] else ""
    other = RULES[2 if first else 1]
    return Counting(first, f"corners are counted from {first}: {why}; dataset.source.corners={other} takes the other")


def _proper(corners: np.ndarray) -> np.ndarray:
    """Which boxes have their corners in order and some area."""
    proper: np.ndarray = np.all(corners[:, :2] < corners[:, 2:], axis=1)
    return proper
