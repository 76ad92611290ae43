"""The boxes of one scene, checked: what is wrong with them, and what they are once mended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frostline.pictures.reading import turned_boxes
from frostline.scenes.faults import Fault
from frostline.scenes.scene import COUNTED, Scene

OVERHANG = 1.0  # pixels by which a box may stick out and be clipped: rounding, and formats that count pixels from 1

Size = tuple[int, int]


class Mended(NamedTuple):
    """Usable boxes, x0 y0 x1 y1, their labels, and their marks; no marks where all count."""

    corners: list[list[float]]
    labels: list[int]
    marks: list[int] | None


@dataclass(frozen=True)
class Turn:
    """A quarter turn that EXIF asks for. stored: width and height before it. orientation: one of QUARTER_TURNS."""

    stored: Size
    orientation: int


@dataclass
class _Faults:
    """Where faults of boxes go. written: the boxes as the file has them, (n, 4); lines: of each. hint: what is said of
    boxes outside the picture beside where they are."""

    file: Path | str
    written: np.ndarray
    lines: Sequence[int | None]
    faults: list[Fault]
    hint: str = ""

    def add(self, kind: str, what: str, number: int, box: np.ndarray | None = None) -> None:
        """A fault of one box. box: where it lies, in pixels of the picture as displayed."""
        corners = ", ".join(f"{value:g}" for value in self.written[number])
        drawn = None if box is None else tuple(box.tolist())
        self.faults.append(Fault(kind, self.file, f"{what} ({corners})", self.lines[number], drawn))


def mended_boxes(
    scene: Scene, classes: Sequence[str] | None, size: Size, turn: Turn | None, faults: list[Fault]
) -> Mended | None:
    """The usable boxes; None where there are none to be had. What is wrong is added to `faults`.

    size: width and height as displayed. turn: of the picture, where EXIF asks for one that changes these.
    """
    if scene.boxes is None:
        return None
    file = scene.boxes_file or scene.called
    written = np.asarray(scene.boxes, np.float32).reshape(-1, 4)
    labels = np.asarray([] if scene.box_labels is None else scene.box_labels, np.int64)
    lines: list[int | None] = [*scene.box_lines] if scene.box_lines else [None] * len(written)
    marks = [COUNTED] * len(written) if scene.box_marks is None else scene.box_marks.tolist()
    if not len(labels) == len(lines) == len(marks) == len(written):
        what = f"has {len(written)} boxes, {len(labels)} labels of boxes, {len(marks)} marks and {len(lines)} lines"
        faults.append(Fault("annotation_unreadable", file, what))
        return None
    found = _Faults(file, written, lines, faults)
    kept: dict[tuple[float, ...], None] = {}  # label, mark and corners
    boxes = _in_pixels(scene.size, size, turn, found)
    if _nothing_to_mend(boxes, labels, marks, len(classes or ()), size):
        return Mended(boxes.tolist(), labels.tolist(), None if set(marks) <= {COUNTED} else marks)
    if turn is not None and np.isfinite(boxes).all():
        found.hint = _of_the_other_reading(boxes, written, size, turn, stored=scene.size == turn.stored)
    for number, (box, label, mark) in enumerate(zip(boxes, labels.tolist(), marks, strict=True)):
        if not np.isfinite(box).all():
            found.add("annotation_unreadable", "has a box that is no numbers", number)
        elif not 0 <= label < len(classes or ()):
            found.add("label_unknown", f"has a box with the label {label}, which is no class", number, box)
        elif (inside := _inside(number, box, size, found)) is not None:
            if (key := (label, mark, *inside.tolist())) in kept:
                found.add("box_duplicate", "has a box twice", number, box)
            kept[key] = None
    counted = all(mark == COUNTED for _, mark, *_ in kept)
    return Mended(
        [corners for _, _, *corners in kept],
        [int(label) for label, *_ in kept],
        None if counted else [int(mark) for _, mark, *_ in kept],
    )


def _nothing_to_mend(boxes: np.ndarray, labels: np.ndarray, marks: list[int], count: int, size: Size) -> bool:
    """Whether each box is as it is to be, and there once: of most pictures, and sooner found of all boxes at once."""
    ordered = (boxes[:, :2] < boxes[:, 2:]).all() and not np.signbit(boxes).any() and (boxes[:, 2:] <= size).all()
    if not ordered or not ((labels >= 0) & (labels < count)).all():
        return False
    return len(set(zip(labels.tolist(), marks, map(tuple, boxes.tolist()), strict=True))) == len(boxes)


def _in_pixels(annotated: Size | None, size: Size, turn: Turn | None, found: _Faults) -> np.ndarray:
    """The boxes in pixels of the picture as displayed: turned with it, and scaled where they were in other units.

    annotated: the size of the picture that was annotated, where the source tells.
    """
    boxes, whole = found.written, np.array(size * 2, np.float32)
    if turn is not None and annotated == turn.stored:
        boxes = turned_boxes(boxes, turn.orientation, turn.stored)
    elif annotated is not None and annotated != size and len(boxes):
        what = f"has boxes on a picture of {annotated[0]} x {annotated[1]}, and the picture has {size[0]} x {size[1]}"
        scale: np.ndarray = whole / np.array(annotated * 2, np.float32)
        boxes = boxes * scale
        found.add("box_units", what, 0, boxes[0])
    # Shares of the picture lie all between 0 and 1; in pixels, no picture has such boxes alone.
    if np.isfinite(boxes).all() and (boxes >= 0).all() and (boxes <= 1).all() and min(size) > 1:
        with_area = np.flatnonzero((boxes[:, :2] < boxes[:, 2:]).all(axis=1))
        if len(with_area):
            what = f"has boxes in shares of the picture, {size[0]} x {size[1]}, where pixels are meant"
            boxes = boxes * whole
            found.add("box_units", what, int(with_area[0]), boxes[with_area[0]])
    return boxes


def _of_the_other_reading(boxes: np.ndarray, written: np.ndarray, size: Size, turn: Turn, stored: bool) -> str:
    """What to say where boxes leave the picture that would all lie in it, had they been drawn on the other one.

    boxes: in pixels of the picture as displayed, read as of the one as stored, or else of the one displayed.
    """
    other = written if stored else turned_boxes(written, turn.orientation, turn.stored)
    edges = np.array(size * 2, np.float32)
    here, there = (np.abs(np.clip(each, 0, edges) - each).max(initial=0) for each in (boxes, other))
    if not there <= OVERHANG < here:
        return ""
    reading = "shown" if stored else "stored"
    return f" though not as the picture is {reading} (dataset.source.turned={reading} reads it so),"


def _inside(number: int, box: np.ndarray, size: Size, found: _Faults) -> np.ndarray | None:
    """A box with its corners in order and within the picture; None where nothing is left."""
    if box[0] > box[2] or box[1] > box[3]:
        found.add("box_reversed", "has a box whose corners are swapped", number, box)
        box = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])])
    if (box[:2] == box[2:]).any():
        found.add("box_empty", "has a box without area", number, box)
        return None
    clipped = np.clip(box, 0, np.array(size * 2, np.float32))
    nothing = bool((clipped[:2] >= clipped[2:]).any())
    if np.abs(clipped - box).max() > OVERHANG or nothing:
        found.add("box_outside", f"has a box outside the picture, {size[0]} x {size[1]},{found.hint}", number, box)
    return None if nothing else clipped
