"""The Penn-Fudan pedestrians: pictures, and masks that number each person."""

from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError
from frostline.parsing.files import by_name, existing, namesake, pictures_by_name, visible
from frostline.pictures.masks import read_mask
from frostline.pictures.reading import UnreadablePictureError
from frostline.pictures.regions import box_around
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, VOID, Classes, Scene, scene_ids
from frostline.sources.base import Source

_ENDING = "_mask"
_MASK_MAP = {0: 0} | dict.fromkeys(range(1, VOID), 1)


class PennFudan(Source):
    """`PNGImages/<name>.png` with `PedMasks/<name>_mask.png`, below `root` or below `root/PennFudanPed`.

    A mask has 0 for the background and 1, 2, ... for the people; each gets the box around its pixels. Boxes have one
    class, pedestrian, and masks two, background and pedestrian. A picture without a mask is a fault, and the reverse.

    Raises FrostlineError where `root` has no such layout.
    """

    derived = {"boxes": "around the pixels of each number in the mask"}

    def __init__(self, root: str | Path) -> None:
        base = existing(root, "Penn-Fudan's")
        self.root = base / "PennFudanPed" if (base / "PennFudanPed").is_dir() else base
        for folder in ("PNGImages", "PedMasks"):
            if not (self.root / folder).is_dir():
                raise FrostlineError(f"{self.root} has no folder '{folder}': point dataset.root at Penn-Fudan's.")
        self._pictures = pictures_by_name(self.root / "PNGImages")
        masks = by_name(visible(self.root / "PedMasks", f"*{_ENDING}.png"), self.root / "PedMasks")
        self._masks = {name.removesuffix(_ENDING): path for name, path in masks.items()}
        self.classes = Classes(boxes=("pedestrian",), masks=(BACKGROUND, "pedestrian"))

    def scenes(self) -> Iterator[Scene]:
        names = sorted({*self._pictures, *self._masks})
        # `.png`, lest a dot in the name be taken for a suffix
        for scene_id, name in zip(scene_ids(PurePath(f"{name}.png") for name in names), names, strict=True):
            picture, mask = self._pictures.get(name), self._masks.get(name)
            faults = namesake(name, picture) if picture is not None else []
            if mask is None and picture is not None and not faults:
                faults.append(Fault("annotation_missing", picture, f"has no mask {name}{_ENDING}.png in PedMasks"))
            if picture is None and mask is not None:
                faults.append(Fault("picture_missing", mask, f"has no picture {name}.png in PNGImages"))
            boxes = None if mask is None else _boxes(mask)
            yield Scene(
                id=scene_id,
                image=picture,
                boxes=boxes,
                box_labels=None if boxes is None else np.zeros(len(boxes), np.int64),
                mask=mask,
                mask_map=_MASK_MAP,
                boxes_file=None if boxes is None else mask,
                faults=tuple(faults),
            )


def _boxes(mask: Path) -> np.ndarray | None:
    """(n, 4) float32, by the numbers of the people; None for a mask that is none, which its own check tells."""
    try:
        numbers = read_mask(mask)
    except (OSError, UnreadablePictureError):
        return None
    people = [number for number in np.unique(numbers).tolist() if number not in (0, VOID)]
    return np.array([box_around(numbers == number) for number in people], np.float32).reshape(-1, 4)
