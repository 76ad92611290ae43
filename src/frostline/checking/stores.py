"""How a dataset holds its pictures: as copies, by reference to where they lie, or encoded at the size of training.

What was not plain (16 bits, an EXIF turn, colours of print), what a source draws, and masks are written in any case.
"""

import os
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from frostline.checking.fingerprint import Where
from frostline.checking.record import Record
from frostline.checking.scene import Checked
from frostline.errors import FrostlineError, check_choice, check_number
from frostline.files import write_new
from frostline.pictures.reading import open_picture
from frostline.pictures.writing import LONGEST, jpeg, png
from frostline.scenes.scene import Scene

STORES = ("copy", "reference", "encoded")  # dataset.store
_REDUCED = 2  # a large JPEG is decoded at a part of its size, but at no less than this many times the size wanted


@dataclass(frozen=True)
class PictureStore:
    """how: one of STORES. side: of encoded pictures the shorter side in pixels; smaller pictures stay as they are.

    Raises FrostlineError for another word, and where encoded pictures have no side.
    """

    how: str = "copy"
    side: int | None = None

    def __post_init__(self) -> None:
        check_choice("dataset.store", self.how, STORES)
        if self.how == "encoded":
            if self.side is None:
                raise FrostlineError("dataset.store is encoded, and dataset.side is not set: set it to image_size.")
            check_number("dataset.side", self.side, 1, whole=True)

    def where(self, folder: Path) -> Where | None:
        """How the dataset in `folder` names pictures elsewhere; None where it has its own of each."""
        return partial(place, folder=folder) if self.how == "reference" else None

    def put(self, scene: Scene, checked: Checked, folder: Path) -> Record:
        """What is known of a scene, once its picture and mask are in the dataset in `folder`."""
        record = checked.record
        if not checked.picture:
            return record
        if self.how == "reference" and isinstance(scene.image, Path) and checked.digest is not None:
            record.picture, record.reference = place(scene.image, folder), checked.digest
        else:
            self._write(checked, folder)
        if checked.mask is not None:
            record.mask = f"masks/{record.id}.png"
            content = png(checked.mask)
            write_new(folder / record.mask, content)
            record.files[record.mask] = sha256(content).hexdigest()
        return record

    def _write(self, checked: Checked, folder: Path) -> None:
        record, content, suffix, digest = checked.record, checked.picture, checked.suffix, checked.digest
        now = record.stored or record.size
        if self.side is not None and self.how == "encoded" and min(now) > self.side:
            small = round(now[0] * self.side / min(now)), round(now[1] * self.side / min(now))
            if max(small) <= LONGEST:
                image = open_picture(content, now[0] * now[1], _REDUCED * self.side)
                content, suffix, digest, record.stored = jpeg(image, small), ".jpg", None, small
        record.picture = f"images/{record.id}{suffix}"
        write_new(folder / record.picture, content)
        record.files[record.picture] = digest or sha256(content).hexdigest()


def place(picture: Path, folder: Path) -> str:
    """How the dataset in `folder` names a picture that stays where it is: as whoever named it meant it.

    Absolute where it was; else from the dataset's folder, so that both can be moved together, or lie elsewhere alike on
    another machine.
    """
    return os.path.abspath(picture) if picture.is_absolute() else os.path.relpath(picture, os.path.realpath(folder))
