"""What annotation tools draw on pictures: shapes, the upright box around each, and the pixels that it covers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hotcoco import mask as mask_api

from frostline.errors import is_number
from frostline.parsing.paint import run_lengths
from frostline.pictures.reading import MAX_PIXELS
from frostline.scenes.scene import COUNTED

_FAR = 1e7  # pixels; no picture has as many on a side
_SIDES = 64  # of the polygon that stands for an ellipse

Corners = tuple[float, float, float, float]
Size = tuple[int, int]


@dataclass(frozen=True)
class Shape:
    """One object as a tool gives it.

    label: name of its class. kind: what it is.
    values: of a box x0 y0 x1 y1; of an ellipse its centre and two radii; of pixels the left and top of their grid.
    outlines: of polygons, each x y x y ...
    grid: of pixels, their (height, width) array, not 0 on the object; raises ValueError where it cannot be decoded.
    degrees: by which it is turned, clockwise, about `pivot`. line: where it stands in its file, where that is known.
    group: the number of the object that it is a part of, where a tool keeps such. mark: as in `Scene.box_marks`.
    """

    label: str
    kind: Literal["box", "polygon", "ellipse", "pixels"]
    values: tuple[float, ...] = ()
    outlines: tuple[tuple[float, ...], ...] = ()
    grid: Callable[[], np.ndarray] | None = None
    degrees: float = 0.0
    pivot: Literal["corner", "centre"] = "centre"
    line: int | None = None
    group: int | None = None
    mark: int = COUNTED

    def scaled(self, width: float, height: float) -> "Shape":
        """Where its numbers are shares of a picture: the same in pixels."""
        outlines = tuple(_each(points, width, height) for points in self.outlines)
        return replace(self, values=_each(self.values, width, height), outlines=outlines)


@dataclass
class Page:
    """What a file says of one picture.

    name: the picture, as the tool calls it. file, line: where that stands. called: the page in messages, where a file
    has no lines, as in "the task 3". size: of the picture, where the tool tells it.
    shares: whether shapes are given in shares of the displayed picture; otherwise in pixels.
    labels: of the picture as a whole. split: where the file tells one. looked: whether somebody looked at the picture,
    so that no shapes means that there is nothing. strange: kinds of shapes there that have no area, and are passed
    over. odd: what cannot be read there: kind of fault, what, and the line where that is known.
    """

    name: str
    file: Path
    line: int | None = None
    called: str = ""
    size: Size | None = None
    shares: bool = False
    shapes: list[Shape] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    split: str | None = None
    looked: bool = True
    strange: list[str] = field(default_factory=list)
    odd: list[tuple[str, str, int | None]] = field(default_factory=list)

    def wrong(self, what: str, line: int | None = None, kind: str = "annotation_unreadable") -> None:
        """Note what cannot be read."""
        self.odd.append((kind, what, line))


def number(value: Any) -> float:
    """A finite number of no odd size. Raises ValueError for anything else, and for true and false."""
    if not is_number(value, -_FAR, _FAR):
        raise ValueError(f"{value!r} is no number that a picture can have")
    return float(value)


def number_in(text: str | None) -> float:
    """A number written as text. Raises ValueError as `number` does, and where there is none."""
    return number(float("absent" if text is None else text))


def size_in(width: Any, height: Any) -> Size | None:
    """Width and height, as numbers or in digits; None where they are none."""
    sides = [
        int(side) if isinstance(side, str) and side.isdecimal() and len(side) < 10 else side for side in (width, height)
    ]
    return (sides[0], sides[1]) if all(type(side) is int and 0 < side < _FAR for side in sides) else None


def hull(shape: Shape, size: Size | None) -> Corners:
    """The upright box around a shape in pixels; where it is turned, cut off where the picture ends.

    Raises ValueError where pixels cannot be decoded, or there are none.
    """
    if shape.kind == "pixels":
        rows, columns = np.nonzero(_grid(shape))
        if not len(rows):
            raise ValueError("covers no pixel")
        left, top = shape.values
        return left + columns.min(), top + rows.min(), left + columns.max() + 1.0, top + rows.max() + 1.0
    if shape.kind == "box" and not shape.degrees:
        x0, y0, x1, y1 = shape.values
        return x0, y0, x1, y1
    if shape.kind == "ellipse":
        x, y, across, down = shape.values
        cos, sin = _turn(shape.degrees)
        half_width, half_height = math.hypot(across * cos, down * sin), math.hypot(across * sin, down * cos)
        return x - half_width, y - half_height, x + half_width, y + half_height
    points = np.concatenate([corners for corners in _polygons(shape)])
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    if shape.kind == "polygon" or size is None:
        return x0, y0, x1, y1
    return max(0.0, x0), max(0.0, y0), min(float(size[0]), x1), min(float(size[1]), y1)


def region(shape: Shape, size: Size) -> dict[str, Any] | None:
    """COCO's run-length code of a shape on a picture of this size; None for a box, which tells no outline.

    Raises ValueError for what lies far outside the picture or cannot be decoded; the message follows the shape's name.
    """
    width, height = size
    if shape.kind == "box":
        return None
    if shape.kind != "pixels":
        return run_lengths([corners.ravel().tolist() for corners in _polygons(shape)], width, height)
    grid = _grid(shape)
    left, top = round(shape.values[0]), round(shape.values[1])
    if left < 0 or top < 0 or top + grid.shape[0] > height or left + grid.shape[1] > width:
        raise ValueError(f"has pixels outside its picture of {width} x {height}")
    canvas = np.zeros((height, width), np.uint8, order="F")
    canvas[top : top + grid.shape[0], left : left + grid.shape[1]] = grid > 0
    return dict(mask_api.encode(canvas))


def runs(counts: Sequence[int], width: int, height: int) -> np.ndarray:
    """(height, width) bool from lengths of runs, row by row, of which the first is empty. Raises ValueError."""
    if not 0 < width * height <= MAX_PIXELS or min(width, height) < 0:
        raise ValueError(f"has pixels in a grid of {width} x {height}")
    if any(not 0 <= count <= width * height for count in counts) or sum(counts) != width * height:
        raise ValueError(f"has runs of pixels that do not fill their grid of {width} x {height}")
    on = np.arange(len(counts)) % 2 == 1
    return np.repeat(on, np.asarray(counts, np.int64)).reshape(height, width)


def _grid(shape: Shape) -> np.ndarray:
    assert shape.grid is not None
    return shape.grid()


def _polygons(shape: Shape) -> list[np.ndarray]:
    """The corners of a shape's outlines, each (n, 2)."""
    if shape.kind == "polygon":
        return [np.array(points, np.float64).reshape(-1, 2) for points in shape.outlines]
    if shape.kind == "box":
        x0, y0, x1, y1 = shape.values
        points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        pivot = points[0] if shape.pivot == "corner" else points.mean(axis=0)
    else:
        x, y, across, down = shape.values
        turns = np.linspace(0, 2 * math.pi, _SIDES, endpoint=False)
        points = np.stack([x + across * np.cos(turns), y + down * np.sin(turns)], axis=1)
        pivot = np.array([x, y])
    cos, sin = _turn(shape.degrees)
    turned: np.ndarray = pivot + (points - pivot) @ np.array([[cos, sin], [-sin, cos]])
    return [turned]


def _turn(degrees: float) -> tuple[float, float]:
    turn = math.radians(degrees)
    return math.cos(turn), math.sin(turn)


def _each(values: tuple[float, ...], width: float, height: float) -> tuple[float, ...]:
    """x and y in turn, made larger."""
    return tuple(value * (height if at % 2 else width) for at, value in enumerate(values))
