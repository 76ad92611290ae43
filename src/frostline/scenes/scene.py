"""A scene: one picture with whatever was annotated on it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath

import numpy as np

from frostline.scenes.faults import Fault

SPLITS = ("train", "val", "test")
_LONGEST = 200  # bytes of an id; disks take names of 255, with a suffix
BACKGROUND = "background"  # name of the class of masks that shows no object, where a dataset has one
VOID = 255  # value of a mask's pixel that nobody annotated; losses and metrics leave it out

# Marks of boxes. All but COUNTED count neither way: it is no mistake to find one, nor to miss it.
COUNTED = 0
CROWD = 1  # around several objects, any number of which may be found in it (COCO's iscrowd, Open Images' IsGroupOf)
DIFFICULT = 2  # one object, which is too hard to be asked for (Pascal VOC's difficult)


@dataclass(frozen=True)
class Classes:
    """Names of the classes of each kind of annotation; None where a dataset has no such annotation.

    The position in the tuple is the class number. `masks` counts the background, where there is one, as a class.
    """

    labels: tuple[str, ...] | None = None
    boxes: tuple[str, ...] | None = None
    masks: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Scene:
    """One annotated picture. An annotation that nobody made is None, which is not the same as an empty one.

    Boxes and masks belong to the picture as it is displayed, that is with its EXIF rotation applied. Where EXIF turns
    it by a quarter, `prepare` can tell those that belong to the picture as it is stored: a mask by its own size, boxes
    by `size`; these are turned along.

    id: unique within the dataset, usable as a file name (`scene_ids` makes such names).
    image: a file, or the picture itself, (height, width, 3) uint8 RGB; None where `faults` says why there is none.
    label: class number of the whole picture.
    boxes: (n, 4) float32, x0 y0 x1 y1 in pixels of the picture, 0 <= x0 < x1 <= width; n = 0: "looked, found none".
    box_labels: (n,) int64, class number of each box.
    box_marks: (n,) uint8, COUNTED, CROWD or DIFFICULT; None where all count.
    mask: a single-channel PNG or the array itself, (height, width) uint8 class numbers, VOID where unknown.
    split: one of SPLITS where the source says so.
    mask_map: class number of each value of the mask's pixels, where the source numbers them otherwise; VOID stays VOID
        unless it is named there. mask_colours: its keys are colours, 0xRRGGBB.
    group: name of what belongs together (a patient, a drive): scenes of one group never come into two splits.
    boxes_file: the file that tells the boxes; box_lines: for each box, its line there, from 1; for messages.
    faults: what the source itself found wrong, such as an annotation that it could not read; the rest is `check`'s.
    size: width and height of the picture that was annotated, where the source tells (always, in a prepared dataset).
    scaled: the file may show it with fewer pixels than `size`, to which boxes and mask belong all the same.
    digest: the sha256 that the picture's file had, where a prepared dataset refers to a file that is not its own.
    """

    id: str
    image: Path | np.ndarray | None
    label: int | None = None
    boxes: np.ndarray | None = None
    box_labels: np.ndarray | None = None
    mask: Path | np.ndarray | None = None
    split: str | None = None
    mask_map: Mapping[int, int] | None = None
    group: str | None = None
    boxes_file: Path | None = None
    box_lines: Sequence[int] | None = None
    faults: tuple[Fault, ...] = ()
    size: tuple[int, int] | None = None
    mask_colours: bool = False
    box_marks: np.ndarray | None = None
    scaled: bool = False
    digest: bytes | None = None

    @property
    def counted(self) -> np.ndarray:
        """(n,) bool: which boxes count; none where there are no boxes."""
        count = 0 if self.boxes is None else len(self.boxes)
        return np.ones(count, bool) if self.box_marks is None else self.box_marks == COUNTED

    @property
    def called(self) -> Path | str:
        """The picture as messages name it."""
        return self.image if isinstance(self.image, Path) else self.id


def scene_ids(paths: Iterable[PurePath]) -> list[str]:
    """File-name-safe ids of files given by their paths relative to one root, distinct even where case does not count.

    `rose/2.jpg` becomes `rose-2`; if that is taken (by `rose-2.png`, say), `rose-2~1`. The result depends on the order.
    One too long for a disk keeps its end, and a hash of the whole in front.
    """
    taken: set[str] = set()
    last: dict[str, int] = {}  # the number tried last for a stem, lest thousands of one name are tried from 0 each
    ids = []
    for path in paths:
        stem = re.sub(r"[^\w.-]", "-", "-".join(path.with_suffix("").parts))
        if len(stem.encode()) > _LONGEST:
            stem = f"{sha256(stem.encode()).hexdigest()[:12]}-{stem[-_LONGEST // 8 :]}"
        number = last.get(stem.casefold(), 0)
        candidate = f"{stem}~{number}" if number else stem
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}~{number}"
        last[stem.casefold()] = number
        taken.add(candidate.casefold())
        ids.append(candidate)
    return ids
