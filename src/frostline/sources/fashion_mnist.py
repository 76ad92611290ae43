"""Fashion-MNIST's four files: 70,000 grey pictures of clothes, 28 x 28."""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from frostline.errors import FrostlineError, check_number
from frostline.parsing.files import existing, fetched
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Classes, Scene
from frostline.sources.base import Source

NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_SIDE = 28
_FILES = {"train": "train", "test": "t10k"}
_MOST = 100_000  # pictures: more is no Fashion-MNIST, and a header's word alone is no reason to take memory


class FashionMnist(Source):
    """`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two of `t10k`, plain or as .gz, in one folder
    anywhere below `root`; so torchvision's and Debian's copies both fit.

    The pictures of t10k have the split "test", the others "train". first: take only so many of each.

    Raises FrostlineError where the files are not there or are not what their headers say.
    """

    def __init__(self, root: str | Path, first: int | None = None) -> None:
        meant = f"Fashion-MNIST's files, {fetched('FashionMNIST', root)}"
        self.root = existing(root, meant)
        if first is not None:
            check_number("dataset.source.first", first, 1, whole=True)
        folders = sorted({path.parent for path in self.root.rglob("train-images-idx3-ubyte*") if path.is_file()})
        # MNIST and others have files of the same names.
        folders = [folder for folder in folders if "fashion" in folder.as_posix().lower()] or folders
        if not folders:
            raise FrostlineError(f"{self.root} holds no train-images-idx3-ubyte or .gz: point dataset.root at {meant}")
        if len(folders) > 1:
            raise FrostlineError(f"{folders[0]} and {folders[1]} both hold such files: point dataset.root at one.")
        self._parts = {split: _read(folders[0], name, first) for split, name in _FILES.items()}
        self.classes = Classes(labels=NAMES)

    def scenes(self) -> Iterator[Scene]:
        for split, (pictures, labels, file) in self._parts.items():
            for number, (picture, value) in enumerate(zip(pictures, labels.tolist(), strict=True)):
                known = value < len(NAMES)
                what = f"gives picture {number} the label {value}, which is not 0 to {len(NAMES) - 1}"
                yield Scene(
                    id=f"{split}-{number:05}",
                    image=np.repeat(picture[:, :, None], 3, axis=2),
                    label=value if known else None,
                    split=split,
                    faults=() if known else (Fault("label_unknown", file, what),),
                )


def _read(folder: Path, name: str, first: int | None) -> tuple[np.ndarray, np.ndarray, Path]:
    """Pictures, labels, and the file of the labels."""
    pictures, file = _idx(folder / f"{name}-images-idx3-ubyte", (_SIDE, _SIDE))
    labels, of_labels = _idx(folder / f"{name}-labels-idx1-ubyte", ())
    if len(pictures) != len(labels):
        counts = f"{len(pictures)} pictures and {of_labels} {len(labels)} labels"
        raise FrostlineError(f"{file} has {counts}: fetch both again.")
    return pictures[:first].copy(), labels[:first].copy(), of_labels


def _idx(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, Path]:
    """The content of an idx file of unsigned bytes, (count, *shape), and the file: `path` or its .gz."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise FrostlineError(f"{path} is not there, nor its .gz: fetch Fashion-MNIST's four files into one folder.")
    found = path if path.is_file() else packed
    try:
        with found.open("rb") if found == path else gzip.open(found) as file:
            layout = struct.Struct(f">{2 + len(shape)}I")
            kind, count, *sizes = layout.unpack(file.read(layout.size).ljust(layout.size, b"\0"))
            if kind != 0x0801 + len(shape) or sizes != list(shape):
                raise FrostlineError(f"{found} is none of Fashion-MNIST's files, by its header: fetch it again.")
            if count > _MOST:
                raise FrostlineError(f"{found} has {count} items by its header, more than {_MOST}: fetch it again.")
            size = count * math.prod(shape)
            content = file.read(size + 1)  # one more than there should be
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise FrostlineError(f"{found} cannot be read ({error}): fetch it again.") from error
    if len(content) != size:
        raise FrostlineError(f"{found} does not hold the {count} items that its header says: fetch it again.")
    return np.frombuffer(content, np.uint8).reshape(count, *shape), found
