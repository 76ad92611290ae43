"""CVAT's XML for images: boxes, polygons, ellipses and masks of pictures, and tags of whole ones.

The format is that of https://docs.cvat.ai/docs/manual/advanced/xml_format, version 1.1; other tools write it without
its version and meta.
"""

from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.files import split_named
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import head_of
from frostline.parsing.places import below, chosen, content_of, few_below, told
from frostline.parsing.shapes import Page, Shape, number_in, runs, size_in
from frostline.parsing.xml_lines import line_of, parse
from frostline.sources.drawn import Drawn

_UNMARKED = ("empty", "unknown")
_WHAT = "CVAT's XML for images"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(content: bytes, file: Path) -> list[Page]:
    """The pictures that a file names. file: its name in messages.

    A shape that cannot be read is in its page's `odd`. Raises FrostlineError for what is no such file.
    """
    try:
        root = parse(lambda: content)
    except ValueError as error:
        raise FrostlineError(f"{file} {error}: export from CVAT again.") from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise FrostlineError(f"{file} is not CVAT's XML for images: export as 'CVAT for images 1.1'.")
    pages = []
    for picture in root.findall("image"):
        page = Page(
            picture.get("name", ""),
            file,
            line_of(picture),
            size=size_in(picture.get("width"), picture.get("height")),
            split=split_named(picture.get("subset", "")),
        )
        pages.append(page)
        for element in picture:
            if element.tag == "tag":
                page.labels += [label] if (label := element.get("label", "").strip()) else []
            elif element.tag in _SHAPES:
                _add(page, element)
            else:
                page.strange.append(f"<{element.tag}>")
    return pages


def _add(page: Page, element: Element) -> None:
    label = element.get("label", "").strip()
    if not label:
        page.wrong(f"has a {element.tag} without a label", line_of(element), "label_unknown")
        return
    try:
        page.shapes.append(_SHAPES[element.tag](element, label))
    except ValueError as error:
        page.wrong(f"has a {element.tag} that cannot be read ({error})", line_of(element))


def _box(element: Element, label: str) -> Shape:
    corners = tuple(number_in(element.get(key)) for key in _CORNERS)
    # CVAT turns a box about its centre.
    return Shape(label, "box", corners, degrees=number_in(element.get("rotation", "0")), line=line_of(element))


def _polygon(element: Element, label: str) -> Shape:
    points = tuple(number_in(value) for pair in element.get("points", "").split(";") for value in _pair(pair))
    if len(points) < 6:
        raise ValueError("less than three points")
    return Shape(label, "polygon", outlines=(points,), line=line_of(element))


def _pair(text: str) -> list[str]:
    pair = text.split(",")
    if len(pair) != 2:
        raise ValueError(f"'{text[:40]}' is no point x,y")
    return pair


def _ellipse(element: Element, label: str) -> Shape:
    values = tuple(number_in(element.get(key)) for key in ("cx", "cy", "rx", "ry"))
    return Shape(label, "ellipse", values, degrees=number_in(element.get("rotation", "0")), line=line_of(element))


def _mask(element: Element, label: str) -> Shape:
    left, top = number_in(element.get("left")), number_in(element.get("top"))
    size = size_in(element.get("width"), element.get("height"))
    if size is None:
        raise ValueError("no width and height")
    return Shape(
        label, "pixels", (left, top), grid=partial(_grid, element.get("rle", ""), *size), line=line_of(element)
    )


def _grid(text: str, width: int, height: int) -> np.ndarray:
    """(height, width) bool. Raises ValueError."""
    counts = [int(count) if count.strip().isdecimal() and len(count) < 12 else -1 for count in text.split(",")]
    return runs(counts, width, height)


_SHAPES = {"box": _box, "polygon": _polygon, "ellipse": _ellipse, "mask": _mask}


class Cvat(Drawn):
    """XML files that CVAT exports as 'CVAT for images 1.1', and the pictures that they name.

    root: a folder in which every XML file of that kind is read, however deep, or one such file.
    annotations: one file below `root` in their place. images: the folder of the pictures, or several, by default all of
    `root`. A picture is found by its path or, where that is there once, by its name.

    Boxes, polygons, ellipses and masks become boxes, turned ones by the upright box around them, and masks where there
    are outlines. A tag is the picture's label. Points, lines, cuboids and skeletons have no area: they are passed over,
    which `notes` tells. A picture's subset, or the folder train, val or test that it lies in, is its split.

    unmarked: CVAT lists pictures that nobody looked at as well, so one without shapes or tags may be either: "empty",
    looked at and without objects, or "unknown", not annotated. absent: what pictures are that no file names: "skip",
    none of the dataset, or "empty".
    turned: whether shapes are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root or file, and for a file that is no such XML.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | None = None,
        images: str | list[str] | None = None,
        unmarked: str = "empty",
        absent: str = "skip",
        turned: str = "auto",
    ) -> None:
        check_choice("dataset.source.unmarked", unmarked, _UNMARKED)
        folder, files = chosen(root, annotations, _WHAT, _files)
        pages = [page for path in files for page in read_cvat(content_of(path), path)]
        self.notes: list[str] = []
        bare = [page for page in pages if not page.shapes and not page.labels and not page.odd]
        if bare and len(bare) < len(pages):
            as_ = "looked at and empty" if unmarked == "empty" else "not annotated"
            other = next(each for each in _UNMARKED if each != unmarked)
            self.notes.append(
                f"{len(bare)} of {len(pages)} pictures have no shape and count as {as_}, as CVAT does not tell; "
                f"dataset.source.unmarked={other} takes the other way"
            )
        for page in bare if unmarked == "unknown" else ():
            page.looked = False
        self._take(folder, pages, Pictures(folder, images), absent, turned=turned)


def _files(root: Path) -> list[Path]:
    return [path for path in below(root, "*.xml") if b"<annotations" in head_of(path)]


def fits(root: Path) -> str | None:
    """What lies there as CVAT's XML; None where nothing does."""
    files = [path for path in few_below(root, "*.xml") if b"<annotations" in head_of(path)]
    return f"{_WHAT}, {told(files)}" if files else None
