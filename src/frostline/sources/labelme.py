"""labelme's JSON, a file for each picture, and the XML of the older LabelMe on the web."""

import json
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from frostline.parsing.files import PICTURE_SUFFIXES, is_file
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import head_of
from frostline.parsing.places import below, chosen, few_below, told
from frostline.parsing.shapes import Page, Shape, hull, number, number_in, size_in
from frostline.parsing.xml_lines import line_of, parse
from frostline.pictures.reading import UnreadablePictureError, open_picture, read_file
from frostline.sources.drawn import Drawn

_WHAT = "labelme's files"
_MOST = 1 << 28  # bytes of one file, which may hold its picture
_MOST_XML = 1 << 24
_TURNED = ("oriented_rectangle", "rotation")  # four corners of a turned rectangle


class Labelme(Drawn):
    """A JSON file of labelme (or an XML file of LabelMe) for each picture.

    root: a folder in which every such file is read, however deep, or one file. images: the folder of the pictures, or
    several, by default all of `root`. A picture is found by its path from the file or, where that is there once, by its
    name; `imageData`, the copy that a file may hold, is not read.

    Rectangles, polygons, circles and masks become boxes, and masks where there are outlines; the parts of one group
    with one label are one object. Points and lines have no area: they are passed over, which `notes` tells. A flag
    that is set is the picture's label. A file without shapes says "looked, found none"; a picture without a file was
    not looked at: absent: such a picture is none of the dataset ("skip"), or without objects ("empty").
    turned: whether shapes are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root, and where it holds no such file.
    """

    def __init__(
        self, root: str | Path, images: str | list[str] | None = None, absent: str = "skip", turned: str = "auto"
    ) -> None:
        folder, files = chosen(root, None, _WHAT, _files)
        pages = [read_xml(path) if path.suffix.lower() == ".xml" else read_json(path) for path in files]
        self.notes: list[str] = []
        if grouped := sum(_join(page) for page in pages):
            self.notes.append(
                f"{grouped} shape(s) are parts of others of their group and label, with one box around all"
            )
        self._take(folder, pages, Pictures(folder, images), absent, turned=turned)


def read_json(path: Path) -> Page:
    """What a file of labelme says of its picture; what cannot be read is in the page's `odd`."""
    page = Page(path.stem, path)
    try:
        content = json.loads(read_file(path, _MOST))
    except (OSError, ValueError, RecursionError) as error:
        page.wrong(f"is no readable JSON ({error})")
        return page
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        page.wrong("has no list of shapes, as labelme writes it")
        return page
    name = content.get("imagePath")
    page.name = name if isinstance(name, str) and name.strip() else path.stem
    page.size = size_in(content.get("imageWidth"), content.get("imageHeight"))
    flags = content.get("flags")
    page.labels = [name for name, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    for number_, shape in enumerate(content["shapes"], start=1):
        kind = (shape.get("shape_type") or "polygon") if isinstance(shape, dict) else None
        if not isinstance(shape, dict) or not isinstance(kind, str):
            page.wrong(f"has a shape that is none ({str(shape)[:40]})")
        elif kind not in _SHAPES:
            page.strange.append(kind)
        elif not isinstance(label := shape.get("label"), str) or not label.strip():
            page.wrong(f"has a {kind} without a label, its shape {number_}", kind="label_unknown")
        else:
            try:
                group = shape.get("group_id")
                found = _SHAPES[kind](shape, label.strip())
                page.shapes.append(replace(found, group=group if type(group) is int else None))
            except ValueError as error:
                page.wrong(f"has a {kind} that cannot be read ({error}), its shape {number_}")
    return page


def _join(page: Page) -> int:
    """Make one object of the rectangles and polygons of one group and label; returns how many are parts of others."""
    objects: dict[Any, Shape] = {}
    for place, shape in enumerate(page.shapes):
        whole = shape.group is None or shape.kind not in ("box", "polygon")
        key = place if whole else (shape.group, shape.label)
        objects[key] = _both(objects[key], shape) if key in objects else shape
    parts = len(page.shapes) - len(objects)
    page.shapes = list(objects.values())
    return parts


def _both(one: Shape, other: Shape) -> Shape:
    if one.kind == other.kind == "polygon":
        return replace(one, outlines=one.outlines + other.outlines)
    corners = [hull(shape, None) for shape in (one, other)]
    return replace(one, kind="box", values=_around([*(each[:2] for each in corners), *(each[2:] for each in corners)]))


def _points(shape: dict[str, Any], least: int) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("its points are no pairs of numbers")
    if len(points) < least:
        raise ValueError(f"less than {least} points")
    return [(number(x), number(y)) for x, y in points]


def _around(points: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _rectangle(shape: dict[str, Any], label: str) -> Shape:
    return Shape(label, "box", _around(_points(shape, 2)))  # its corners stand as they were drawn, from any side


def _turned(shape: dict[str, Any], label: str) -> Shape:
    return Shape(label, "polygon", outlines=(_flat(_points(shape, 4)),))


def _polygon(shape: dict[str, Any], label: str) -> Shape:
    return Shape(label, "polygon", outlines=(_flat(_points(shape, 3)),))


def _flat(points: Iterable[tuple[float, float]]) -> tuple[float, ...]:
    return tuple(side for point in points for side in point)


def _circle(shape: dict[str, Any], label: str) -> Shape:
    (x, y), edge = _points(shape, 2)[:2]
    radius = float(np.hypot(edge[0] - x, edge[1] - y))
    return Shape(label, "ellipse", (x, y, radius, radius))


def _mask(shape: dict[str, Any], label: str) -> Shape:
    if not isinstance(shape.get("mask"), str):
        raise ValueError("its mask is no text")
    return Shape(label, "pixels", _points(shape, 1)[0], grid=partial(_grid, shape["mask"]))


def _grid(text: str) -> np.ndarray:
    """(height, width) uint8, of a PNG in base 64. Raises ValueError."""
    try:
        pixels = np.asarray(open_picture(b64decode(text)).convert("L"))
    except (UnreadablePictureError, OSError) as error:
        raise ValueError(f"cannot be decoded ({error})") from error
    return pixels


_SHAPES = {"rectangle": _rectangle, "polygon": _polygon, "circle": _circle, "mask": _mask} | dict.fromkeys(
    _TURNED, _turned
)


def read_xml(path: Path) -> Page:
    """As `read_json`, of the XML of LabelMe."""
    page = Page(path.stem, path)
    try:
        root = parse(partial(read_file, path, _MOST_XML))
    except ValueError as error:
        page.wrong(str(error))
        return page
    if root.tag != "annotation":
        page.wrong(f"is no annotation of LabelMe: its first element is <{root.tag}>, not <annotation>")
        return page
    name, folder = (root.findtext(key, "").strip() for key in ("filename", "folder"))
    page.name = f"{folder}/{name}" if folder and name else name or path.stem
    page.size = size_in(*(root.findtext(f"imagesize/{side}", "").strip() for side in ("ncols", "nrows")))
    for element in root.findall("object"):
        label = element.findtext("name", "").strip()
        if element.findtext("deleted", "0").strip() == "1":
            continue
        if element.find("polygon") is None:
            page.strange.append("segment" if element.find("segm") is not None else "object without a polygon")
        elif not label:
            page.wrong("has an object without a name", line_of(element), "label_unknown")
        else:
            try:
                page.shapes.append(_object(element, label))
            except ValueError as error:
                page.wrong(f"has an object that cannot be read ({error})", line_of(element))
    return page


def _object(element: Element, label: str) -> Shape:
    points = [(number_in(pt.findtext("x")), number_in(pt.findtext("y"))) for pt in element.findall("polygon/pt")]
    if element.findtext("type", "").strip() == "bounding_box" and len(points) > 1:
        return Shape(label, "box", _around(points), line=line_of(element))
    if len(points) < 3:
        raise ValueError("less than three points")
    return Shape(label, "polygon", outlines=(_flat(points),), line=line_of(element))


def _files(root: Path) -> list[Path]:
    """Files that are labelme's, or that bear the name of a picture beside them and so should be."""
    files = below(root, "*.json", "*.xml")
    return [path for path in files if _is_one(path) or path.suffix.lower() == ".json" and _is_beside(path)]


def _is_beside(path: Path) -> bool:
    return any(is_file(path.with_suffix(suffix)) for suffix in PICTURE_SUFFIXES)


def _is_one(path: Path) -> bool:
    start = head_of(path)
    if path.suffix.lower() == ".json":
        return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and (
            b'"shapes"' in start or b'"imagePath"' in start
        )
    return b"<annotation" in start and any(mark in start for mark in (b"<imagesize", b"<polygon", b"<sourceImage"))


def fits(root: Path) -> str | None:
    """What lies there as labelme's files; None where nothing does."""
    files = [path for path in few_below(root, "*.json", "*.xml") if _is_one(path)]
    return f"{_WHAT}, {told(files)}" if files else None
