"""The scenes of a prepared dataset as columns: written row by row, read back scene by scene or column by column."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from frostline.errors import FrostlineError
from frostline.scenes.columns import TEXT, Columns, Form, Table
from frostline.scenes.scene import COUNTED, Classes, Scene

OWN = "images/"  # where the files of pictures begin that the dataset holds itself
FORMS = {
    "id": TEXT,
    "picture": TEXT,  # its file, from the dataset's folder; or an absolute path
    "mask": TEXT,  # likewise; empty where there is none
    "digests": Form("u1", ragged=True),  # sha256 of the picture's file, then of the mask's
    "size": Form("<i4", (2,)),
    "label": Form("<i4"),  # -1 where there is none
    "boxes_annotated": Form("?"),
    "boxes": Form("<f4", (4,), ragged=True),
    "box_labels": Form("<i4", ragged=True),
    "box_marks": Form("u1", ragged=True),  # none in a row whose boxes all count
}


def as_row(scene: Scene, picture: str, mask: str | None, digests: bytes) -> dict[str, Any]:
    """A scene as a row. picture, mask: their files, from the dataset's folder. digests: of these, 32 bytes each."""
    return {
        "id": scene.id,
        "picture": picture,
        "mask": mask or "",
        "digests": digests,
        "size": scene.size,
        "label": -1 if scene.label is None else scene.label,
        "boxes_annotated": scene.boxes is not None,
        "boxes": () if scene.boxes is None else scene.boxes,
        "box_labels": () if scene.box_labels is None else scene.box_labels,
        "box_marks": () if scene.counted.all() else scene.box_marks,
    }


@dataclass(frozen=True, eq=False)
class Scenes(Sequence[Scene]):
    """The scenes of one split in the order of their ids, made when they are asked for.

    A scene costs some ten microseconds and no memory that stays. What is asked of all of them is read from columns:
    no picture is opened, nor is any scene made. rows: of the columns, those that are this split's.
    Reading a scene raises FrostlineError where its class number is none, as in a file that was damaged.
    """

    folder: Path
    split: str
    columns: Columns
    rows: range
    classes: Classes

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self._scene(row) for row in self.rows[index]]
        return self._scene(self.rows[index])

    @property
    def labels(self) -> np.ndarray:
        """(n,) int32, the class number of each picture; -1 where it has none."""
        return self._of("label")

    @property
    def sizes(self) -> np.ndarray:
        """(n, 2) int32, width and height."""
        return self._of("size")

    @property
    def boxes_annotated(self) -> np.ndarray:
        """(n,) bool: whether anybody looked for boxes; there may be none."""
        return self._of("boxes_annotated")

    @property
    def box_counts(self) -> np.ndarray:
        """(n,) int64, those that do not count included."""
        return np.diff(self._ends("boxes"))

    @property
    def counted_boxes(self) -> np.ndarray:
        """(n,) int64, how many of each scene's boxes count."""
        ends = self._ends("box_marks")
        ignored = np.cumsum(self.columns["box_marks"][ends[0] : ends[-1]] != COUNTED)
        counted: np.ndarray = self.box_counts - np.diff(np.append(0, ignored)[ends - ends[0]])
        return counted

    @property
    def box_labels(self) -> np.ndarray:
        """(boxes,) int32, the class numbers of all boxes, scene by scene."""
        ends = self._ends("box_labels")
        return self.columns["box_labels"][ends[0] : ends[-1]]

    @property
    def masks_annotated(self) -> np.ndarray:
        """(n,) bool."""
        return np.diff(self._ends("mask")) > 0

    def id(self, index: int) -> str:
        """That of one scene."""
        return self.columns.text("id", self.rows[index])

    def files(self, index: int) -> dict[str, str]:
        """The files of one scene, as from the dataset's folder, each with its sha256 as it was prepared."""
        row = self.rows[index]
        names = [self.columns.text("picture", row), self.columns.text("mask", row)]
        digests = self.columns.ragged("digests", row).tobytes()
        return {name: digests[32 * n : 32 * (n + 1)].hex() for n, name in enumerate(names) if name}

    def _of(self, column: str) -> np.ndarray:
        return self.columns[column][self.rows.start : self.rows.stop]

    def _ends(self, column: str) -> np.ndarray:
        return self.columns.ends(column)[self.rows.start : self.rows.stop + 1]

    def _scene(self, row: int) -> Scene:
        columns = self.columns
        label, (width, height) = int(columns["label"][row]), columns["size"][row].tolist()
        boxes = box_labels = box_marks = None
        if columns["boxes_annotated"][row]:
            boxes = columns.ragged("boxes", row).copy()
            box_labels = columns.ragged("box_labels", row).astype(np.int64)
            marks = columns.ragged("box_marks", row)
            box_marks = marks.copy() if len(marks) else None
        picture, mask = columns.text("picture", row), columns.text("mask", row)
        scene = Scene(
            id=columns.text("id", row),
            image=self.folder / picture,
            label=None if label == -1 else label,
            boxes=boxes,
            box_labels=box_labels,
            box_marks=box_marks,
            mask=self.folder / mask if mask else None,
            split=self.split,
            size=(width, height),
            digest=None if picture.startswith(OWN) else columns.ragged("digests", row).tobytes()[:32],
        )
        columns.was_read()
        self._check(scene)
        return scene

    def _check(self, scene: Scene) -> None:
        label = [] if scene.label is None else [scene.label]
        boxes = [] if scene.box_labels is None else scene.box_labels.tolist()
        for numbers, names in ((label, self.classes.labels), (boxes, self.classes.boxes)):
            count = len(names or ())
            if wrong := [number for number in numbers if not 0 <= number < count]:
                raise FrostlineError(
                    f"{self.columns.path} gives the scene {scene.id} the class number {wrong[0]}, and there are "
                    f"{count} classes: prepare the dataset anew."
                )


@dataclass(frozen=True, eq=False)
class Chosen(Sequence[Scene]):
    """Some of a split's scenes. indices: (n,) int64, of these."""

    scenes: Scenes
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self.scenes[int(each)] for each in self.indices[index]]
        return self.scenes[int(self.indices[index])]

    def id(self, index: int) -> str:
        """That of one scene."""
        return self.scenes.id(int(self.indices[index]))


def open_columns(path: Path, table: Table) -> Columns:
    """The columns of a dataset's scenes. Raises FrostlineError where they are not whole."""
    return Columns(path, table, FORMS)
