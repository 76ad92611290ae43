"""What is remembered of a scene once it is checked."""

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from frostline.checking.duplicates import THUMBNAIL
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Scene


@dataclass
class Record:
    """A scene, checked and mended, all but its pixels, as JSON can hold it; set as far as its faults leave anything.

    file: its picture as messages name it. size: width and height as displayed. picture_hash, mask_hash: of what they
    show. thumbnail: (32, 32) uint8, grey, in base64. label, boxes, box_labels: as in Scene. mask_classes: the values
    that the mask has. given: the split that the source puts it into. fingerprint: of what it was made of. picture,
    mask: names of its files in a dataset's folder, and files: the sha256 of each.
    """

    id: str
    file: str
    faults: list[Fault] = field(default_factory=list)
    given: str | None = None
    group: str | None = None
    size: tuple[int, int] = (0, 0)
    picture_hash: str = ""
    thumbnail: str = ""
    label: int | None = None
    boxes: list[list[float]] | None = None
    box_labels: list[int] | None = None
    mask_hash: str | None = None
    mask_classes: list[int] | None = None
    fingerprint: str = ""
    picture: str = ""
    mask: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> tuple[str, ...]:
        present = {"label": self.label, "boxes": self.boxes, "mask": self.mask_hash}
        return tuple(kind for kind, value in present.items() if value is not None)

    @property
    def grey(self) -> np.ndarray:
        """The thumbnail, (32, 32) uint8."""
        return np.frombuffer(b64decode(self.thumbnail), np.uint8).reshape(THUMBNAIL, THUMBNAIL)

    @grey.setter
    def grey(self, thumbnail: np.ndarray) -> None:
        self.thumbnail = b64encode(thumbnail.tobytes()).decode()

    def scene(self, folder: Path) -> Scene:
        """The scene as the dataset in `folder` has it."""
        return Scene(
            id=self.id,
            image=folder / self.picture,
            label=self.label,
            boxes=None if self.boxes is None else np.array(self.boxes, np.float32).reshape(-1, 4),
            box_labels=None if self.box_labels is None else np.array(self.box_labels, np.int64),
            mask=None if self.mask is None else folder / self.mask,
            size=self.size,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        fields: dict[str, Any] = json.loads(text)
        width, height = fields["size"]
        return cls(**fields | {"size": (width, height), "faults": [Fault(**fault) for fault in fields["faults"]]})
