"""A manifest: one CSV file, or one a split, that names the pictures and says what is on them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.files import boxes_of, inside, is_file, split_named
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import split_of_folders
from frostline.parsing.places import chosen, few_below, told
from frostline.parsing.shapes import Size, size_in
from frostline.parsing.tables import Table, read_table
from frostline.parsing.turned import Annotated, Turned
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.csv_columns import CORNERS, roles_of
from frostline.sources.drawn import ABSENT, absent_note

_OF_THE_PICTURE = ("label", "mask", "split", "group")
_SURPLUS = "has more cells than the first line"
_WHAT = "a manifest in CSV"
_OURS, _ROBOFLOW = "manifest.csv", "_annotations.csv"


class _Row(NamedTuple):
    """table: whose row it is. line: where it begins. cells: by role, stripped; "surplus" where there are more of them
    than columns. image: the picture's file; None where there is none.
    """

    table: Table
    line: int
    cells: dict[str, str]


class CsvManifest(Source):
    """A CSV file: a header, then a row per picture, or per box of one: rows with one path are one picture.

    root: a folder with `manifest.csv`, with `_annotations.csv` in it or in folders below as Roboflow writes them, or
    with one CSV file alone; or the file itself. manifest: the file's name in the folder, where it is another.

    path: the picture, relative to the file's folder, or its name where that is there once; the only column that must be
    there. label: name of the picture's class. x0, y0, x1, y1: corners of a box in pixels; the first pixel reaches from
    0 to 1, so a box over the whole of a picture w wide has x0 = 0 and x1 = w. box_label: name of the box's class
    (without such a column, every box is an "object"). mask: a PNG of class numbers, relative to the file. split: train,
    val or test; without the column, the folder of that name that a picture lies in. group: what belongs together. An
    empty cell means that nobody annotated this, not that there is nothing.

    columns: how the file calls them, where otherwise, as in {path: file_name}; usual other names are taken by
    themselves where that is unambiguous (`csv_columns`), which `notes` tells. masks: names of the masks' classes, in
    the order of their numbers. Classes of labels and boxes are the names found, sorted. delimiter: what separates
    cells, by default the one of , ; tab and | that makes most columns; where it is no comma, numbers may have a decimal
    one. absent: what pictures are that no row names: "skip", none of the dataset, or "empty", without boxes. turned:
    whether boxes are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root or manifest, columns that are not there, a file that is no CSV.
    """

    def __init__(
        self,
        root: str | Path,
        manifest: str | None = None,
        columns: Mapping[str, str] | None = None,
        masks: Sequence[str] | None = None,
        delimiter: str | None = None,
        absent: str = "skip",
        turned: str = "auto",
    ) -> None:
        if delimiter is not None and len(delimiter) != 1:
            raise FrostlineError(f"dataset.source.delimiter is {delimiter!r}: it is one sign, such as ';'.")
        check_choice("dataset.source.absent", absent, ABSENT)
        self.root, files = chosen(root, manifest, f"{_WHAT} ({_OURS}, or the only table there)", _files, "manifest")
        self._file = files[0]
        for file in files:
            if not is_file(file):
                raise FrostlineError(
                    f"{file} is not there: put a manifest there, or set dataset.source.manifest to its name."
                )
        self.notes: list[str] = []
        self._rows = [row for file in files for row in self._read(file, dict(columns or {}), delimiter)]
        self._has_box_labels = any("box_label" in row.cells for row in self._rows)
        if masks is None and any(row.cells.get("mask") for row in self._rows):
            raise FrostlineError(f"{self._file} names masks: list the names of their classes in dataset.source.masks.")
        boxes = ("object",) if self._has_boxes() else None
        self.classes = Classes(
            labels=self._names("label"),
            boxes=self._names("box_label") if self._has_box_labels else boxes,
            masks=tuple(masks) if masks is not None else None,
        )
        self._labels = {name: number for number, name in enumerate(self.classes.labels or ())}
        self._box_labels = {name: number for number, name in enumerate(self.classes.boxes or ())}
        self._pictures = Pictures(self.root)
        self._found = self._by_picture()
        self._turned = Turned(turned, self._annotated())
        self.notes += [self._turned.note] if self._turned.note else []
        painted = ((row, name) for row in self._rows if (name := row.cells.get("mask")))
        ours = {inside(self.root, name, row.table.path.parent) for row, name in painted} | set(self._found)
        left = [path for path in self._pictures.all if path not in ours]
        self.notes += absent_note(left, len(self._pictures.all), self.root, absent)
        self._absent = left if absent == "empty" else []

    def _annotated(self) -> Iterator[Annotated]:
        """Pictures with the size that their rows state, and their boxes."""
        for picture, rows in self._found.items():
            if (size := _size(rows)) is not None:
                yield picture, size, boxes_of(self._boxes(rows, [])[0])

    def _read(self, file: Path, columns: dict[str, str], delimiter: str | None) -> list[_Row]:
        table = read_table(file, delimiter)
        roles, notes = roles_of(table.header, columns, file)
        if delimiter is None and table.separator != ",":
            notes.append(f"cells are separated by {table.separator!r}")
        rows = []
        for line, cells in table.records():
            if len(cells) > len(table.header):
                said = {"path": cells[roles["path"]].strip(), "surplus": "yes"}
            else:
                said = {role: cells[at].strip() for role, at in roles.items() if at < len(cells)}
            rows.append(_Row(table, line, said))
        if any(table.has_comma(row.cells.get(corner, "")) for row in rows for corner in CORNERS):
            notes.append("numbers have decimal commas")
        self.notes += [note for note in notes if note not in self.notes]
        return rows

    def _by_picture(self) -> dict[Path, list[_Row]]:
        """Rows by their picture's file, or by what names it where there is none: a row without a path is a scene of its
        own, to carry its fault. a/b.png and ./a/b.png are one picture.
        """
        found: dict[Path, list[_Row]] = {}
        known: dict[tuple[Path, str], Path] = {}
        for row in self._rows:
            name = row.cells.get("path", "")
            key = (row.table.path.parent, name)
            if name and key not in known:
                known[key] = self._image_named(name, row.table.path.parent)
            picture = known[key] if name else Path(f"line {row.line} of {row.table.path.name}")
            found.setdefault(picture, []).append(row)
        return found

    def _image_named(self, name: str, folder: Path) -> Path:
        exact = inside(self.root, name, folder)
        if exact is not None and is_file(exact):
            return exact
        return self._pictures.find(name, folder)[0] or (exact if exact not in (None, self.root) else None) or Path(name)

    def _names(self, role: str) -> tuple[str, ...] | None:
        return tuple(sorted({row.cells[role] for row in self._rows if row.cells.get(role)})) or None

    def _has_boxes(self) -> bool:
        return any(row.cells.get(corner) for row in self._rows for corner in CORNERS)

    def scenes(self) -> Iterator[Scene]:
        paths = [*self._found, *self._absent]
        relative = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in paths]
        ids = scene_ids(path if path.name else PurePath("unnamed") for path in relative)
        for scene_id, (picture, rows) in zip(ids, self._found.items(), strict=False):
            yield self._scene(scene_id, picture, rows)
        for scene_id, picture in zip(ids[len(self._found) :], self._absent, strict=True):
            scene = Scene(scene_id, picture, split=split_of_folders(picture.relative_to(self.root)))
            if self.classes.boxes:
                none = np.zeros(0, np.int64)
                scene = replace(scene, boxes=boxes_of([]), box_labels=none, boxes_file=self._file)
            yield scene

    def _scene(self, scene_id: str, picture: Path, rows: list[_Row]) -> Scene:
        """The scene of all rows with one path."""
        faults = [self._fault("annotation_unreadable", row, _SURPLUS) for row in rows if "surplus" in row.cells]
        image = self._image(picture, rows[0], faults)
        said = self._said_once(rows, faults)
        split = self._split(said["split"], faults) if "split" in said else None
        if image is not None and "split" not in said:
            split = split_of_folders(image.relative_to(self.root))
        boxes, names, lines = self._boxes(rows, faults)
        return Scene(
            id=scene_id,
            image=image,
            label=self._labels[said["label"].cells["label"]] if "label" in said else None,
            boxes=boxes_of(boxes) if boxes else None,
            box_labels=np.array([self._box_labels[name] for name in names], np.int64) if boxes else None,
            mask=self._mask(said["mask"], faults) if "mask" in said else None,
            split=split,
            group=said["group"].cells["group"] if "group" in said else None,
            boxes_file=rows[0].table.path if boxes else None,
            box_lines=tuple(lines) if boxes else None,
            faults=tuple(faults),
            size=self._turned.size(image, _size(rows)),
        )

    def _fault(self, kind: str, row: _Row, what: str) -> Fault:
        return Fault(kind, row.table.path, what, row.line)

    def _image(self, picture: Path, row: _Row, faults: list[Fault]) -> Path | None:
        """The picture's file; None with a fault where there is none, as nothing outside the root is ever opened."""
        name = row.cells.get("path", "")
        if not name:
            faults.append(self._fault("annotation_unreadable", row, "has no path"))
        elif picture.is_relative_to(self.root) and is_file(picture):
            return picture
        else:
            _, kind, what = self._pictures.find(name, row.table.path.parent)
            faults.append(self._fault(kind, row, what))
        return None

    def _said_once(self, rows: list[_Row], faults: list[Fault]) -> dict[str, _Row]:
        """For each role that belongs to the whole picture, the first row that has it; others must agree."""
        said: dict[str, _Row] = {}
        for row in rows:
            for role in _OF_THE_PICTURE:
                if not (value := row.cells.get(role)):
                    continue
                first = said.setdefault(role, row)
                if first.cells[role] != value:
                    what = f"gives {row.cells.get('path', '')} the {role} '{value}' where line {first.line} gives "
                    faults.append(self._fault("annotation_unreadable", row, f"{what}'{first.cells[role]}'"))
        return said

    def _boxes(self, rows: list[_Row], faults: list[Fault]) -> tuple[list[list[float]], list[str], list[int]]:
        """Corners, class and line of each box."""
        boxes, names, lines = [], [], []
        for row in rows:
            corners = [row.cells.get(corner, "") for corner in CORNERS]
            if not any(corners):
                continue
            try:
                box = [row.table.number(corner) for corner in corners]
            except ValueError:
                what = f"has a box whose corners are no numbers ({', '.join(corners)})"
                faults.append(self._fault("annotation_unreadable", row, what))
                continue
            if self._has_box_labels and not row.cells.get("box_label"):
                faults.append(self._fault("label_unknown", row, "has a box without a label"))
                continue
            boxes.append(box)
            names.append(row.cells.get("box_label") or "object")
            lines.append(row.line)
        return boxes, names, lines

    def _mask(self, row: _Row, faults: list[Fault]) -> Path | None:
        name = row.cells["mask"]
        mask = inside(self.root, name, row.table.path.parent)
        if mask is None:
            faults.append(self._fault("path_outside", row, f"names the mask '{name}', which lies outside {self.root}"))
        elif not is_file(mask):
            faults.append(self._fault("annotation_missing", row, f"names the mask '{name}', which is not there"))
            return None
        return mask

    def _split(self, row: _Row, faults: list[Fault]) -> str | None:
        split = split_named(row.cells["split"])
        if split is None:
            what = f"has the split '{row.cells['split']}', which is none of train, val and test"
            faults.append(self._fault("annotation_unreadable", row, what))
        return split


def _size(rows: Sequence[_Row]) -> Size | None:
    """Width and height of the picture, where all rows tell the same."""
    found = {size_in(row.cells.get("width"), row.cells.get("height")) for row in rows}
    return found.pop() if len(found) == 1 else None


def _files(root: Path) -> list[Path]:
    """`manifest.csv`, Roboflow's files, or the only CSV file. Raises FrostlineError where nobody can tell."""
    if is_file(root / _OURS):
        return [root / _OURS]
    found = few_below(root, _ROBOFLOW)
    if found:
        return found
    alone = [path for path in few_below(root, "*.csv", "*.tsv") if path.parent == root]
    if len(alone) > 1:
        raise FrostlineError(
            f"{root} holds several tables, such as {alone[0].name} and {alone[1].name}: set dataset.source.manifest to "
            "the name of one."
        )
    return alone


def fits(root: Path) -> str | None:
    """What lies there as a manifest; None where nothing does."""
    try:
        files = few_below(root, "*.csv", "*.tsv") if is_file(root) else _files(root)
        found = [path for path in files if roles_of(read_table(path).header, {}, path)]
    except (FrostlineError, csv.Error):
        return None
    return f"{_WHAT}, {told(found)}" if found else None
