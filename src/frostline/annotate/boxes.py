"""What travels between a dataset and an annotation tool, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from frostline.errors import FrostlineError
from frostline.parsing.shapes import Corners, Page, hull
from frostline.scenes.scene import BACKGROUND, Classes

_CALLED = {"pixels": "mask"}

Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Box:
    """label: name of its class. corners: x0 y0 x1 y1 in pixels of the picture. score: 0..1, of a predicted box.

    turned: whether it is the upright box around one that people had turned. mark: as in `Scene.box_marks`; None where
    the format has none, so that a box is what it was.
    """

    label: str
    corners: Corners
    score: float | None = None
    turned: bool = False
    mark: int | None = None


@dataclass(frozen=True)
class Proposal:
    """A picture for people to annotate, and the boxes that are drawn on it beforehand.

    scene: its id. file: the picture's name in the dataset's folder `images`. size: width and height in pixels.
    annotated: whether the boxes are annotations already; an empty set then says "looked, found none".
    by: otherwise, who proposes the boxes: a run's name or "mask"; None where nobody does, and there are none.
    uncertainty: 0..1, of a run about this picture; None where no run was asked.
    """

    scene: str
    file: str
    size: tuple[int, int]
    boxes: tuple[Box, ...] = ()
    annotated: bool = False
    by: str | None = None
    uncertainty: float | None = None


@dataclass(frozen=True)
class Answer:
    """What people say of a scene.

    mask: a PNG or the array itself, (height, width) uint8, numbers of `Answers.masks`; None where none is brought.
    """

    boxes: tuple[Box, ...]
    mask: Path | np.ndarray | None = None


@dataclass(frozen=True)
class Answers:
    """What an annotation tool brought back.

    of: by the scene's id; a scene that nobody looked at is not there.
    tells_empty: whether the tool tells "looked, found none" from "not looked at"; where it does not, an answer without
    boxes can be either. masks: names of the masks' classes. notes: sentences about what was read in some special way.
    """

    of: dict[str, Answer]
    tells_empty: bool
    masks: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def box_names(classes: Classes) -> tuple[str, ...]:
    """Names of the boxes' classes; where a dataset has none, its labels, or else what its masks show."""
    if classes.boxes is not None:
        return classes.boxes
    return classes.labels or tuple(name for name in classes.masks or () if name != BACKGROUND)


@dataclass
class Reading:
    """The answers in a tool's file as they are read.

    file: its name in messages. sizes: width and height of every scene. of: what was read so far, by the scene's id.
    """

    file: str
    sizes: Sizes
    of: dict[str, Answer] = field(default_factory=dict)

    def where(self, scene: str) -> str:
        """How messages begin that are about a scene."""
        return f"{self.file}, scene '{scene}',"

    def scene(self, name: Any) -> str:
        """The scene whose picture is called so, folders and suffix aside. Raises FrostlineError where there is none."""
        stem = PurePosixPath(name.replace("\\", "/")).stem if isinstance(name, str) else ""
        if stem not in self.sizes:
            raise FrostlineError(
                f"{self.file} names the picture {name!r}, which is no scene of this dataset: import it into the "
                "dataset that it was exported from, and keep the pictures' names."
            )
        return stem

    def add(self, scene: str, answer: Answer) -> None:
        """Raises FrostlineError for a second answer to a scene."""
        if scene in self.of:
            raise FrostlineError(
                f"{self.file} has the scene '{scene}' twice: nobody knows which holds, so take one out."
            )
        self.of[scene] = answer

    def check_size(self, found: tuple[Any, Any], scene: str) -> None:
        """Raise FrostlineError where the tool saw the picture in another size: its boxes would lie elsewhere."""
        width, height = self.sizes[scene]
        if found != (width, height):
            raise FrostlineError(
                f"{self.where(scene)} gives its picture {found[0]} x {found[1]} pixels, and the dataset's has "
                f"{width} x {height}: annotate the dataset's own pictures."
            )

    def boxes(self, page: Page, scene: str) -> tuple[Box, ...]:
        """The boxes that a tool has of a scene's picture. Raises FrostlineError for anything that is no box."""
        if page.odd:
            raise FrostlineError(f"{self.where(scene)} {page.odd[0][1]}: mend it and export again.")
        others = page.strange + [_CALLED.get(shape.kind, shape.kind) for shape in page.shapes if shape.kind != "box"]
        if others:
            raise FrostlineError(f"{self.where(scene)} has a {others[0]}, and only boxes are read: draw a box there.")
        size = self.sizes[scene]
        shapes = [shape.scaled(*size) for shape in page.shapes] if page.shares else page.shapes
        return tuple(Box(shape.label, hull(shape, size), turned=bool(shape.degrees)) for shape in shapes)

    def answers(self, tells_empty: bool, masks: tuple[str, ...] | None = None, notes: tuple[str, ...] = ()) -> Answers:
        """All of them, with a note on the boxes that were turned."""
        turned = note(
            sum(box.turned for answer in self.of.values() for box in answer.boxes),
            "box was turned: the upright box around it was taken",
            "boxes were turned: the upright boxes around them were taken",
        )
        return Answers(self.of, tells_empty, masks, notes + turned)


def note(count: int, one: str, many: str) -> tuple[str, ...]:
    """A note on `count` scenes or boxes, and none where there are none."""
    return () if count == 0 else (f"{count} {one if count == 1 else many}",)
