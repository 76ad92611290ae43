"""One XML file as PASCAL VOC has it: the boxes of a picture, and what tells who wrote them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from frostline.parsing.corners import Written
from frostline.parsing.files import boxes_of
from frostline.pictures.reading import read_file

_MOST_XML = 1 << 24  # bytes; an element in memory is many times larger than its text


@dataclass(frozen=True)
class VocBoxes:
    """The objects of one file.

    corners: (n, 4) float32, xmin ymin xmax ymax as they stand there. lines: of each box. size: width and height of the
    picture, where the file tells them. picture: its name in the file. writer: as in `corners.WRITERS`.
    """

    corners: np.ndarray
    names: tuple[str, ...]
    difficult: tuple[bool, ...]
    lines: tuple[int, ...]
    size: tuple[int, int] | None
    picture: str = ""
    writer: str | None = None

    @property
    def written(self) -> Written:
        """What it tells of where corners are counted from."""
        return Written(self.corners, self.size, self.writer)


class _WithLines(TreeBuilder):
    """Notes the line of each element in its attribute `line`."""

    expat: Any = None

    def start(self, tag: Any, attrs: Any, /) -> Element:
        return super().start(tag, {**attrs, "line": str(self.expat.CurrentLineNumber)})


def read_voc_boxes(path: Path) -> VocBoxes:
    """The boxes of a VOC XML file, faulty or not; `corners.Counting.boxes` makes them Scene's.

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
    sides = [_text(root, f"size/{side}") for side in ("width", "height")]
    known = all(side.isdecimal() and len(side) < 10 for side in sides)
    return VocBoxes(
        corners=boxes_of(corners),
        names=tuple(_text(found, "name") for found in objects),
        difficult=tuple(_text(found, "difficult") == "1" for found in objects),
        lines=tuple(int(box.get("line", 0)) for box in boxes if box is not None),
        size=(int(sides[0]), int(sides[1])) if known else None,
        picture=_text(root, "filename"),
        writer=_writer(root),
    )


def _text(element: Element, path: str) -> str:
    return element.findtext(path, "").strip()


def _writer(root: Element) -> str | None:
    """The tool that is known by what it alone puts into its files (docs/boxes.md)."""
    database = _text(root, "source/database")
    if _text(root, "owner/name") == "Label Studio":
        return "Label Studio"
    if database.lower().startswith("roboflow"):
        return "Roboflow"
    if database.startswith("The VOC"):
        return "PASCAL VOC"
    if database == "Unknown" and _text(root, "source/annotation") == _text(root, "source/image") == "Unknown":
        return "datumaro"
    if database == "Unknown" and root.find("path") is not None:
        return "LabelImg"
    if any(found.find(key) is not None for found in root.findall("object") for key in ("pose", "truncated")):
        empty = (_text(found, key) == "" for found in root.findall("object") for key in ("pose", "truncated"))
        return "pylabel" if all(empty) else None
    return None
