"""The Oxford 102 Flowers in torchvision's layout, with masks and boxes where the segmentations are there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from frostline.errors import FrostlineError
from frostline.parsing.files import existing, fetched, read_lines
from frostline.pictures.reading import UnreadablePictureError, read_file, read_rgb
from frostline.pictures.regions import box_around
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, Classes, Scene
from frostline.sources.base import Source
from frostline.sources.mat import read_arrays

COUNT = 102
_SPLITS = {"trnid": "train", "valid": "val", "tstid": "test"}
_MOST_MAT = 1 << 20  # bytes: the real ones have 15,000 at most
_NEAR = 60  # levels in each channel by which JPEG may have moved the blue; a blue flower is farther off
_DERIVED = {
    "masks": "what is not painted blue in segmim is flower, by majority of 5 x 5 pixels",
    "boxes": "around the largest connected part of the mask; the class is the picture's label",
}


class Flowers102(Source):
    """`jpg/image_00001.jpg`, ..., `imagelabels.mat` and `setid.mat` below `root` or below `root/flowers-102`.

    The labels of imagelabels.mat, 1 to 102, are the classes 0 to 101. Their names are those of `class_names.txt` (one a
    line) or `cat_to_name.json` ({"1": name, ...}) beside it, or else "flower 1", .... setid.mat tells the splits.

    Where there is a folder `segmim`, a picture's segmentation there, in which the background is painted blue, gives its
    mask (flower or background) and one box. A segmentation that leaves no flower gives neither: it has failed.

    Raises FrostlineError where `root` has no such layout, and for files of labels, splits or names that are none.
    """

    def __init__(self, root: str | Path) -> None:
        meant = f"the 102 Flowers, {fetched('Flowers102', root)}"
        base = existing(root, meant)
        self.root = base / "flowers-102" if (base / "flowers-102").is_dir() else base
        if not (self.root / "jpg").is_dir():
            raise FrostlineError(f"{self.root} has no folder 'jpg': point dataset.root at {meant}")
        self._labels = self._numbers("imagelabels.mat", ("labels",))["labels"]
        self._split_of = {
            number: _SPLITS[key] for key, numbers in self._numbers("setid.mat", _SPLITS).items() for number in numbers
        }
        names = self._names()
        self._segmented = (self.root / "segmim").is_dir()
        self.classes = Classes(
            labels=names,
            boxes=names if self._segmented else None,
            masks=(BACKGROUND, "flower") if self._segmented else None,
        )
        self.derived = _DERIVED if self._segmented else {}

    def _numbers(self, name: str, keys: Any) -> dict[str, list[int]]:
        path = self.root / name
        try:
            content = read_arrays(read_file(path, _MOST_MAT))
            return {key: [int(number) for number in content[key]] for key in keys}
        except (OSError, ValueError, KeyError, OverflowError) as error:
            raise FrostlineError(
                f"{path} cannot be read as the flowers' {' and '.join(keys)} ({error}): fetch it again."
            ) from error

    def _names(self) -> tuple[str, ...]:
        lines, numbered = self.root / "class_names.txt", self.root / "cat_to_name.json"
        if lines.is_file():
            path, names = lines, [name for _, name in read_lines(lines)]
        elif numbered.is_file():
            path = numbered
            try:
                content = json.loads(read_file(numbered, _MOST_MAT))
                names = [str(content[str(number)]) for number in range(1, COUNT + 1)]
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise FrostlineError(f'{path} is no JSON of {{"1": name, ...}} ({error}): mend it.') from error
        else:
            return tuple(f"flower {number}" for number in range(1, COUNT + 1))
        if len(names) != COUNT or len(set(names)) != COUNT:
            raise FrostlineError(f"{path} has {len(set(names))} different names: give each of the {COUNT} its own.")
        return tuple(names)

    def scenes(self) -> Iterator[Scene]:
        for number, value in enumerate(self._labels, start=1):
            image = self.root / "jpg" / f"image_{number:05}.jpg"
            file = self.root / "imagelabels.mat"
            faults = []
            label = value - 1 if 1 <= value <= COUNT else None
            if label is None:
                what = f"gives {image.name} the label {value}, which is not 1 to {COUNT}"
                faults.append(Fault("label_unknown", file, what))
            there = image.is_file()
            if not there:
                faults.append(Fault("picture_missing", file, f"has a label for {image.name}, which is not there"))
            mask = box = None
            segmentation = self.root / "segmim" / f"segmim_{number:05}.jpg"
            if segmentation.is_file():
                try:
                    mask, box = _flower(np.asarray(read_rgb(segmentation)))
                except (OSError, UnreadablePictureError) as error:
                    faults.append(Fault("annotation_unreadable", segmentation, str(error)))
            boxed = box is not None and label is not None
            yield Scene(
                id=image.stem,
                image=image if there else None,
                label=label,
                boxes=np.array([box], np.float32) if boxed else None,
                box_labels=np.array([label], np.int64) if boxed else None,
                mask=mask,
                split=self._split_of.get(number),
                boxes_file=segmentation if boxed else None,
                faults=tuple(faults),
            )


def _flower(segmentation: np.ndarray) -> tuple[np.ndarray | None, list[int] | None]:
    """Mask and box of what is not painted blue; (None, None) where nothing is left."""
    blue = np.array((0, 0, 254), np.int16)
    flower = (np.abs(segmentation.astype(np.int16) - blue) > _NEAR).any(axis=2)
    # JPEG leaves fringes and specks of a pixel or two along the edge: each pixel goes with most of those around it.
    flower = ndimage.uniform_filter(flower.astype(np.float32), 5) > 0.5
    if not flower.any():
        return None, None
    parts, _ = ndimage.label(flower)
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return flower.astype(np.uint8), box_around(parts == largest)
