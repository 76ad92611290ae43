"""CreateML: one JSON list of pictures with boxes, each by its centre and size in pixels."""

import json
import re
from pathlib import Path
from typing import Any

from frostline.errors import FrostlineError
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import head_of
from frostline.parsing.places import below, chosen, content_of, few_below, told
from frostline.parsing.shapes import Page, Shape, number
from frostline.sources.drawn import Drawn

_WHAT = "CreateML's JSON"
_NAMES = ("image", "imagefilename")  # of a picture; the second one in files of older versions
_PICTURE = re.compile(rb'"(image|imagefilename)"\s*:')
_BOXES = re.compile(rb'"annotations?"\s*:\s*\[\s*(\]|\{\s*"(label|coordinates)"\s*:)')


class CreateMl(Drawn):
    """JSON files as CreateML's object detector takes them, and the pictures that they name.

    root: a folder in which every such file is read, however deep, or one file. annotations: one file below `root` in
    their place. images: the folder of the pictures, or several, by default all of `root`. A picture is found by its
    path or, where that is there once, by its name.

    x and y are a box's centre, counted from the left upper corner of the picture, all in pixels. A picture that is
    listed without annotations was looked at and has no objects. An annotation without coordinates is a label of the
    whole picture. The folder train, valid or test that a picture lies in is its split. absent: what pictures are that
    no file names: "skip", none of the dataset, or "empty", without objects.
    turned: whether shapes are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root or file, and for a file that is no such JSON.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | None = None,
        images: str | list[str] | None = None,
        absent: str = "skip",
        turned: str = "auto",
    ) -> None:
        folder, files = chosen(root, annotations, _WHAT, _files)
        pages = [page for path in files for page in read_createml(content_of(path), path)]
        self._take(folder, pages, Pictures(folder, images), absent, turned=turned)


def read_createml(content: bytes, file: Path) -> list[Page]:
    """The pictures that a file names. What cannot be read is in a page's `odd`.

    Raises FrostlineError for what is no such file.
    """
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FrostlineError(f"{file} is no JSON ({error}): export it again.") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FrostlineError(f"{file} is no list of pictures with their annotations, as CreateML takes it.")
    return [_page(entry, place, file) for place, entry in enumerate(entries, start=1)]


def _page(entry: dict[str, Any], place: int, file: Path) -> Page:
    name = next((entry[key] for key in _NAMES if isinstance(entry.get(key), str)), "")
    page = Page(name, file, called=f"the picture '{name}'" if name else f"the entry {place}")
    if not name:
        page.wrong("has no name of its image")
    annotations = entry.get("annotations", entry.get("annotation"))
    if not isinstance(annotations, list):
        page.wrong("has no list of annotations")
        return page
    for annotation in annotations:
        label = annotation.get("label") if isinstance(annotation, dict) else None
        if not isinstance(label, str) or not label.strip():
            page.wrong("has an annotation without a label", kind="label_unknown")
        elif "coordinates" not in annotation:
            page.labels.append(label.strip())
        else:
            try:
                page.shapes.append(_box(annotation["coordinates"], label.strip()))
            except ValueError as error:
                page.wrong(f"has a box that cannot be read ({error})")
    return page


def _box(coordinates: Any, label: str) -> Shape:
    if not isinstance(coordinates, dict):
        raise ValueError("its coordinates are no object")
    x, y, width, height = (number(coordinates.get(key)) for key in ("x", "y", "width", "height"))
    return Shape(label, "box", (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def _is_one(path: Path) -> bool:
    start = head_of(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") and bool(_PICTURE.search(start) and _BOXES.search(start))


def _files(root: Path) -> list[Path]:
    return [path for path in below(root, "*.json") if _is_one(path)]


def fits(root: Path) -> str | None:
    """What lies there as CreateML's JSON; None where nothing does."""
    files = [path for path in few_below(root, "*.json") if _is_one(path)]
    return f"{_WHAT}, {told(files)}" if files else None
