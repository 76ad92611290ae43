"""Open Images' CSV: a row a box, its corners as shares of the picture.

The format is that of https://storage.googleapis.com/openimages/web/download_v7.html.
"""

from pathlib import Path

from frostline.errors import FrostlineError
from frostline.parsing.files import split_named
from frostline.parsing.found import Pictures
from frostline.parsing.places import below, chosen, few_below, told
from frostline.parsing.shapes import Page, Shape, number_in
from frostline.parsing.tables import Table, read_table
from frostline.scenes.scene import COUNTED, CROWD
from frostline.sources.drawn import Drawn

_WHAT = "Open Images' CSV"
_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_NEEDED = ("ImageID", "LabelName", *_CORNERS)
_CLASSES = "*class-descriptions*.csv"  # a code and its name in each row, with a header in newer versions


class OpenImages(Drawn):
    """CSV files of boxes as Open Images has them, and the pictures that they name.

    root: a folder in which every such file is read, however deep, or one file. annotations: one file below `root` in
    their place. images: the folder of the pictures, or several, by default all of `root`. A picture is found by its
    ImageID, with or without a suffix, where that is there once.

    Classes have the names of `class-descriptions*.csv` where that is there, else those that the boxes have. A box
    around a group of objects (IsGroupOf) is marked as a crowd, which counts neither way and `notes` tells; groups: true
    takes it for an object. The split is told by the file's name, as in train-annotations-bbox.csv, or by the picture's
    folder.

    Pictures without boxes are not in the file. absent: such a picture is none of the dataset ("skip"), or without
    objects ("empty").
    turned: whether shares are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root or file, and for a file without these columns.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | None = None,
        images: str | list[str] | None = None,
        groups: bool = False,
        absent: str = "skip",
        turned: str = "auto",
    ) -> None:
        folder, files = chosen(root, annotations, _WHAT, _files)
        pages: list[Page] = []
        names = _class_names(folder)
        for file in files:
            pages += read_boxes(file, names, groups)
        if crowds := sum(shape.mark == CROWD for page in pages for shape in page.shapes):
            self.notes = [
                f"{crowds} box(es) around groups count neither way; dataset.source.groups=true takes them for objects"
            ]
        self._take(folder, pages, Pictures(folder, images), absent, turned=turned)


def read_boxes(file: Path, names: dict[str, str], groups: bool) -> list[Page]:
    """The pictures that a file names. names: of classes, by their code. groups: take boxes around groups for objects.

    What cannot be read is in a page's `odd`. Raises FrostlineError for what is no such file.
    """
    table = read_table(file)
    if lacking := [name for name in _NEEDED if name not in table.header]:
        raise FrostlineError(f"{file} has no column '{lacking[0]}', which Open Images' boxes have: take another file.")
    at = {name: place for place, name in enumerate(table.header)}
    split = split_named(file.stem)
    pages: dict[str, Page] = {}
    for line, cells in table.records():
        row = {name: cells[place].strip() for name, place in at.items() if place < len(cells)}
        name = row.get("ImageID", "")
        page = pages.get(name)
        if page is None:
            page = pages[name] = Page(name, file, line, shares=True, split=split)
        label = row.get("LabelName", "")
        if not label:
            page.wrong("has a box without a LabelName", line, "label_unknown")
            continue
        try:
            corners = tuple(_corner(table, row.get(corner)) for corner in _CORNERS)
            mark = CROWD if row.get("IsGroupOf") == "1" and not groups else COUNTED
            page.shapes.append(Shape(names.get(label, label), "box", corners, line=line, mark=mark))
        except ValueError as error:
            page.wrong(f"has a box whose corners are no numbers ({error})", line)
    return list(pages.values())


def _corner(table: Table, text: str | None) -> float:
    return number_in(text.replace(",", ".") if text is not None and table.has_comma(text) else text)


def _class_names(root: Path) -> dict[str, str]:
    """The name of each code."""
    rows = (cells for path in few_below(root, _CLASSES) for _, cells in read_table(path).rows())
    return {cells[0].strip(): cells[1].strip() for cells in rows if len(cells) > 1 and cells[1].strip()}


def _is_one(path: Path) -> bool:
    try:
        return set(_NEEDED) <= set(read_table(path).header)
    except FrostlineError:
        return False


def _files(root: Path) -> list[Path]:
    return [path for path in below(root, "*.csv") if _is_one(path)]


def fits(root: Path) -> str | None:
    """What lies there as Open Images' CSV; None where nothing does."""
    files = [path for path in few_below(root, "*.csv") if _is_one(path)]
    return f"{_WHAT}, {told(files)}" if files else None
