"""What is remembered of a scene once it is checked."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from frostline.scenes.faults import Fault
from frostline.scenes.scene import COUNTED, Scene


@dataclass
class Record:
    """A scene, checked and mended, all but its pixels, as JSON can hold it; set as far as its faults leave anything.

    file: its picture as messages name it. size: width and height as displayed. picture_hash, mask_hash: of what they
    show. label, boxes, box_labels, box_marks: as in Scene. mask_classes: the values that the mask has. given: the split
    that the source puts it into. fingerprint: of what it was made of. picture, mask: its files, from a dataset's
    folder. files: those of them that lie in it, each with its sha256; reference: the sha256 of a picture that does not.
    stored: width and height of the picture's file, where it has fewer pixels than `size`. grey: its thumbnail, (32, 32)
    uint8, which JSON does not have.
    """

    id: str
    file: str
    faults: list[Fault] = field(default_factory=list)
    given: str | None = None
    group: str | None = None
    size: tuple[int, int] = (0, 0)
    picture_hash: str = ""
    label: int | None = None
    boxes: list[list[float]] | None = None
    box_labels: list[int] | None = None
    box_marks: list[int] | None = None
    mask_hash: str | None = None
    mask_classes: list[int] | None = None
    fingerprint: str = ""
    picture: str = ""
    mask: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    reference: str = ""
    stored: tuple[int, int] | None = None
    grey: np.ndarray | None = None

    @property
    def annotations(self) -> tuple[str, ...]:
        present = {"label": self.label, "boxes": self.boxes, "mask": self.mask_hash}
        return tuple(kind for kind, value in present.items() if value is not None)

    @property
    def counted(self) -> list[int]:
        """The class numbers of the boxes that count."""
        labels = self.box_labels or []
        marks = [COUNTED] * len(labels) if self.box_marks is None else self.box_marks
        return [label for label, mark in zip(labels, marks, strict=True) if mark == COUNTED]

    @property
    def digest(self) -> str:
        """The sha256 of the picture's file."""
        return self.reference or self.files[self.picture]

    def scene(self, folder: Path) -> Scene:
        """The scene as the dataset in `folder` has it."""
        return Scene(
            id=self.id,
            image=folder / self.picture,
            label=self.label,
            boxes=None if self.boxes is None else np.array(self.boxes, np.float32).reshape(-1, 4),
            box_labels=None if self.box_labels is None else np.array(self.box_labels, np.int64),
            box_marks=None if self.box_marks is None else np.array(self.box_marks, np.uint8),
            mask=None if self.mask is None else folder / self.mask,
            size=self.size,
        )

    def to_json(self) -> str:
        """One line."""
        content = {name: getattr(self, name) for name in _FIELDS}  # asdict would copy every number
        return _ENCODE(content | {"faults": [asdict(fault) for fault in self.faults]})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        content: dict[str, Any] = json.loads(text)
        width, height = content["size"]
        content["stored"] = content["stored"] and tuple(content["stored"])
        content["size"] = width, height
        content["faults"] = [Fault(**fault) for fault in content["faults"]]
        return cls(**content)


_ENCODE = json.JSONEncoder(default=str).encode  # made once, which takes longer than to use it
_FIELDS = tuple(each.name for each in fields(Record) if each.name != "grey")
