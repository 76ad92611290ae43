"""Pascal VOC's layout: pictures, an XML file of boxes for each, lists of splits, and masks where there are some."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from frostline.errors import FrostlineError
from frostline.pictures.reading import read_file
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import boxes_of, by_name, existing, inside, namesake, pictures_by_name, read_lines, visible

VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_MOST_XML = 1 << 24  # bytes; an element in memory is many times larger than its text
_LISTS = ("test", "val", "train", "trainval")  # a name of several lists belongs to the first of them


@dataclass(frozen=True)
class VocBoxes:
    """The objects of one file.

    corners: (n, 4) float32, xmin ymin xmax ymax as they stand there. lines: of each box. size: width and height of the
    picture, where the file tells them.
    """

    corners: np.ndarray
    names: tuple[str, ...]
    difficult: tuple[bool, ...]
    lines: tuple[int, ...]
    size: tuple[int, int] | None


class _WithLines(TreeBuilder):
    """Notes the line of each element in its attribute `line`."""

    expat: Any = None

    def start(self, tag: Any, attrs: Any, /) -> Element:
        return super().start(tag, {**attrs, "line": str(self.expat.CurrentLineNumber)})


def read_voc_boxes(path: Path) -> VocBoxes:
    """The boxes of a VOC XML file, faulty or not; `from_one` makes them Scene's.

    Raises ValueError for a file that is not such XML or declares entities; the message goes on after the file's name.
    """
    builder = _WithLines()
    parser = ElementTree.XMLParser(target=builder)
    builder.expat = parser.parser
    try:
        parser.feed(read_file(path, _MOST_XML))
        root = parser.close()
    except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last: odd encodings
        raise ValueError(f"is no readable XML ({error})") from error
    if root.tag != "annotation":
        raise ValueError(f"is no VOC annotation: its first element is <{root.tag}>, not <annotation>")
    objects = root.findall("object")
    try:
        corners = [
            [float(found.findtext(f"bndbox/{key}", "absent")) for key in ("xmin", "ymin", "xmax", "ymax")]
            for found in objects
        ]
    except ValueError as error:
        raise ValueError(f"has a box whose corners are no numbers ({error})") from error
    boxes = [found.find("bndbox") for found in objects]
    sides = [root.findtext(f"size/{side}", "").strip() for side in ("width", "height")]
    known = all(side.isdecimal() and len(side) < 10 for side in sides)
    return VocBoxes(
        corners=boxes_of(corners),
        names=tuple(found.findtext("name", "").strip() for found in objects),
        difficult=tuple(found.findtext("difficult", "0").strip() == "1" for found in objects),
        lines=tuple(int(box.get("line", 0)) for box in boxes if box is not None),
        size=(int(sides[0]), int(sides[1])) if known else None,
    )


def from_one(corners: np.ndarray) -> np.ndarray:
    """Boxes x0 y0 x1 y1, from corners that count pixels from 1 and include the last one, as VOC does.

    Only the minima move: a box over the whole of a picture w wide has xmin = 1 and xmax = w there, 0 and w here. One
    whose xmax does not exceed its xmin stays as it is: moved, it would pass for a box of one pixel.
    """
    boxes: np.ndarray = np.where(_proper(corners)[:, None], corners - np.array([1, 1, 0, 0], np.float32), corners)
    return boxes


def _proper(corners: np.ndarray) -> np.ndarray:
    """Which boxes have their corners in order and some area."""
    proper: np.ndarray = np.all(corners[:, :2] < corners[:, 2:], axis=1)
    return proper


class Voc(Source):
    """`root/JPEGImages`, `root/Annotations/<picture>.xml`, and, where they are there, `root/ImageSets/Main/<list>.txt`
    and `root/SegmentationClass/<picture>.png`. For a VOCdevkit, `root` is its folder VOC2012 or the like.

    Every picture that a folder holds or a list names is a scene. The lists train, val and test tell its split, and
    trainval where those do not; without lists there is none. A picture without an XML file has no boxes, which is a
    fault where a list names it.

    VOC counts pixels from 1. But if in any file some box with an area has an xmin or ymin of 0, the whole dataset
    counts from 0, as many tools write it, and all corners are taken as they are.

    classes: names of the boxes' classes, by default those found, sorted; another name is a fault then. skip_difficult:
    leave out the boxes marked so. Masks have the background as class 0, then `classes`, or VOC's own 20 where the names
    found are all of these; 255 is unknown.

    Raises FrostlineError where `root` has no such layout, or has masks whose classes nobody tells.
    """

    def __init__(self, root: str | Path, classes: Sequence[str] | None = None, skip_difficult: bool = False) -> None:
        self.root = existing(root, "data in VOC's layout")
        for folder in ("JPEGImages", "Annotations"):
            if not (self.root / folder).is_dir():
                raise FrostlineError(
                    f"{self.root} has no folder '{folder}': point dataset.root at data in VOC's layout."
                )
        self._skip_difficult = skip_difficult
        self._pictures = pictures_by_name(self.root / "JPEGImages")
        self._xmls = by_name(visible(self.root / "Annotations", "*.xml"), self.root / "Annotations")
        self._masks = by_name(visible(self.root / "SegmentationClass", "*.png"), self.root / "SegmentationClass")
        self._listed: dict[str, tuple[str, Path, int]] = {}
        for split in _LISTS:
            path = self.root / "ImageSets" / "Main" / f"{split}.txt"
            for line, name in read_lines(path) if path.is_file() else ():
                self._listed.setdefault(name, ("train" if split == "trainval" else split, path, line))
        # All are read now: the names found are the classes, and where pixels count from shows in the whole only.
        self._read: dict[str, VocBoxes | ValueError] = {}
        for name, xml in self._xmls.items():
            try:
                self._read[name] = read_voc_boxes(xml)
            except ValueError as error:
                self._read[name] = error
        readable = [found for found in self._read.values() if isinstance(found, VocBoxes)]
        found = {name for boxes in readable for name in boxes.names if name}
        proper = (boxes.corners[_proper(boxes.corners), :2] for boxes in readable)
        self.counts_from = 0 if any(((minima >= 0) & (minima < 1)).any() for minima in proper) else 1
        if self._masks and classes is None and not found <= set(VOC_NAMES):
            raise FrostlineError(
                f"{self.root} has masks and boxes of classes other than VOC's: list their names in the order of the "
                f"masks' numbers, from 1, in dataset.source.classes."
            )
        self.classes = Classes(
            boxes=(tuple(classes) if classes is not None else tuple(sorted(found))) or None,
            masks=(BACKGROUND, *(classes if classes is not None else VOC_NAMES)) if self._masks else None,
        )

    def scenes(self) -> Iterator[Scene]:
        names = sorted({*self._pictures, *self._xmls, *self._masks, *self._listed})
        # `.png`, lest a dot in the name be taken for a suffix
        for scene_id, name in zip(scene_ids(PurePath(f"{name}.png") for name in names), names, strict=True):
            yield self._scene(scene_id, name)

    def _scene(self, scene_id: str, name: str) -> Scene:
        faults = []
        split, listing, line = self._listed.get(name, (None, None, None))
        xml, mask, picture = self._xmls.get(name), self._masks.get(name), self._pictures.get(name)
        if listing and inside(self.root / "JPEGImages", name) is None:
            faults.append(Fault("path_outside", listing, f"names '{name}', which lies outside JPEGImages", line))
        elif picture is None:
            what = f"names '{name}'" if listing else "has no picture"
            what += ", of which JPEGImages has no picture" if listing else f" '{name}' in JPEGImages"
            faults.append(Fault("picture_missing", listing or xml or mask or "", what, line))
        elif listing and xml is None:
            what = f"names '{name}', of which Annotations has no XML file"
            faults.append(Fault("annotation_missing", listing, what, line))
        faults += namesake(name, picture) if picture else []
        boxes = labels = lines = size = None
        read = self._read.get(name)
        if xml is not None and isinstance(read, ValueError):
            faults.append(Fault("annotation_unreadable", xml, str(read)))
        elif xml is not None and isinstance(read, VocBoxes):
            known = {name: number for number, name in enumerate(self.classes.boxes or ())}
            kept = [at for at, difficult in enumerate(read.difficult) if not (difficult and self._skip_difficult)]
            for at in kept:
                if read.names[at] not in known:
                    what = f"has a box of the class '{read.names[at]}', which is none of those given"
                    faults.append(Fault("label_unknown", xml, what, read.lines[at]))
            kept = [at for at in kept if read.names[at] in known]
            boxes = (read.corners if self.counts_from == 0 else from_one(read.corners))[kept]
            labels = np.array([known[read.names[at]] for at in kept], np.int64)
            lines = tuple(read.lines[at] for at in kept)
            size = read.size
        return Scene(
            id=scene_id,
            image=picture,
            boxes=boxes,
            box_labels=labels,
            mask=mask,
            split=split,
            boxes_file=xml,
            box_lines=lines,
            faults=tuple(faults),
            size=size,
        )
