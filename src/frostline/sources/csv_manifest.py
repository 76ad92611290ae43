"""A manifest: one CSV file that names the pictures and says what is on them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from frostline.errors import FrostlineError
from frostline.pictures.reading import MAX_BYTES
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import boxes_of, existing, inside, is_file, split_named

_CORNERS = ("x0", "y0", "x1", "y1")
_OF_THE_PICTURE = ("label", "mask", "split", "group")
_SURPLUS = "has more cells than the first line"
COLUMNS = ("path", *_CORNERS, "box_label", *_OF_THE_PICTURE)


class _Row(NamedTuple):
    """line: where it begins. cells: by role, stripped; "surplus" where there are more of them than columns."""

    line: int
    cells: dict[str, str]


class CsvManifest(Source):
    """`root/manifest.csv`: a header, then a row per picture, or per box of one: rows with one path are one picture.

    path: the picture, relative to `root`; the only column that must be there.
    label: name of the picture's class. x0, y0, x1, y1: corners of a box in pixels; the first pixel reaches from 0 to 1,
    so a box over the whole of a picture w wide has x0 = 0 and x1 = w. box_label: name of the box's class (without such
    a column, every box is an "object"). mask: a PNG of class numbers, relative to `root`. split: train, val or test.
    group: what belongs together. An empty cell means that nobody annotated this, not that there is nothing.

    columns: how the file calls them, where otherwise, as in {path: file_name}. masks: names of the masks' classes, in
    the order of their numbers. Classes of labels and boxes are the names found, sorted.

    Raises FrostlineError for a missing root or manifest, columns that are not there, a file that is no CSV.
    """

    def __init__(
        self,
        root: str | Path,
        manifest: str = "manifest.csv",
        columns: Mapping[str, str] | None = None,
        masks: Sequence[str] | None = None,
        delimiter: str = ",",
    ) -> None:
        self.root = existing(root, "one that holds a manifest")
        self._file = self.root / manifest
        if not self._file.is_file():
            raise FrostlineError(
                f"{self._file} is not there: put a manifest there, or set dataset.source.manifest to its name."
            )
        if strange := sorted(set(columns or {}) - set(COLUMNS)):
            raise FrostlineError(
                f"dataset.source.columns has the key '{strange[0]}', which is none of {', '.join(COLUMNS)}."
            )
        self._rows = self._read(dict(columns or {}), delimiter)
        self._has_box_labels = any("box_label" in cells for _, cells in self._rows)
        if masks is None and any(cells.get("mask") for _, cells in self._rows):
            raise FrostlineError(f"{self._file} names masks: list the names of their classes in dataset.source.masks.")
        self.classes = Classes(
            labels=self._names("label"),
            boxes=self._names("box_label") if self._has_box_labels else ("object",) if self._has_boxes() else None,
            masks=tuple(masks) if masks is not None else None,
        )
        self._labels = {name: number for number, name in enumerate(self.classes.labels or ())}
        self._box_labels = {name: number for number, name in enumerate(self.classes.boxes or ())}

    def _read(self, columns: dict[str, str], delimiter: str) -> list[_Row]:
        rows = []
        end = 0
        if self._file.stat().st_size > MAX_BYTES:
            raise FrostlineError(f"{self._file} has more than {MAX_BYTES} bytes, which is no manifest.")
        try:
            with self._file.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                header = [cell.strip() for cell in next(reader, [])]
                roles = self._roles(header, columns)
                end = reader.line_num
                for cells in reader:
                    line, end = end + 1, reader.line_num
                    if len(cells) > len(header):
                        rows.append(_Row(line, {"path": cells[roles["path"]].strip(), "surplus": "yes"}))
                    elif any(cells):
                        said = {role: cells[at].strip() for role, at in roles.items() if at < len(cells)}
                        rows.append(_Row(line, said))
        except (csv.Error, UnicodeDecodeError) as error:
            raise FrostlineError(f"{self._file}:{end + 1} is no CSV in UTF-8 ({error}): save it as such.") from error
        return rows

    def _roles(self, header: list[str], columns: dict[str, str]) -> dict[str, int]:
        for role in ("path", *columns):
            name = columns.get(role, role)
            if name not in header:
                raise FrostlineError(
                    f"{self._file} has no column '{name}' in its first line: add it, or say in dataset.source.columns "
                    f"what it is called."
                )
        roles = {role: header.index(columns.get(role, role)) for role in COLUMNS if columns.get(role, role) in header}
        if 0 < len(set(_CORNERS) & set(roles)) < 4:
            raise FrostlineError(f"{self._file} has only some of the columns x0, y0, x1 and y1: a box needs all four.")
        if "box_label" in roles and "x0" not in roles:
            raise FrostlineError(f"{self._file} has labels of boxes but no columns x0, y0, x1, y1: add these.")
        return roles

    def _names(self, role: str) -> tuple[str, ...] | None:
        return tuple(sorted({cells[role] for _, cells in self._rows if cells.get(role)})) or None

    def _has_boxes(self) -> bool:
        return any(cells.get(corner) for _, cells in self._rows for corner in _CORNERS)

    def scenes(self) -> Iterator[Scene]:
        # a/b.png and ./a/b.png are one picture; a row without a path is a scene of its own, to carry its fault.
        pictures: dict[str, list[_Row]] = {}
        for row in self._rows:
            path = inside(self.root, row.cells.get("path", ""))
            name = row.cells.get("path") or f"line {row.line} of {self._file.name}"
            pictures.setdefault(name if path in (None, self.root) else str(path), []).append(row)
        paths = [Path(name) for name in pictures]
        relative = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in paths]
        ids = scene_ids(path if path.name else PurePath("unnamed") for path in relative)
        for scene_id, rows in zip(ids, pictures.values(), strict=True):
            yield self._scene(scene_id, rows)

    def _scene(self, scene_id: str, rows: list[_Row]) -> Scene:
        """The scene of all rows with one path."""
        faults = [self._fault("annotation_unreadable", row, _SURPLUS) for row in rows if "surplus" in row.cells]
        image = self._image(rows[0], faults)
        said = self._said_once(rows, faults)
        boxes, names, lines = self._boxes(rows, faults)
        return Scene(
            id=scene_id,
            image=image,
            label=self._labels[said["label"].cells["label"]] if "label" in said else None,
            boxes=boxes_of(boxes) if boxes else None,
            box_labels=np.array([self._box_labels[name] for name in names], np.int64) if boxes else None,
            mask=self._mask(said["mask"], faults) if "mask" in said else None,
            split=self._split(said["split"], faults) if "split" in said else None,
            group=said["group"].cells["group"] if "group" in said else None,
            boxes_file=self._file if boxes else None,
            box_lines=tuple(lines) if boxes else None,
            faults=tuple(faults),
        )

    def _fault(self, kind: str, row: _Row, what: str) -> Fault:
        return Fault(kind, self._file, what, row.line)

    def _image(self, row: _Row, faults: list[Fault]) -> Path | None:
        """The picture's file; None with a fault where there is none, as nothing outside the root is ever opened."""
        name = row.cells.get("path", "")
        image = inside(self.root, name)
        if not name:
            faults.append(self._fault("annotation_unreadable", row, "has no path"))
        elif image is None:
            what = f"names '{name}', which lies outside {self.root}"
            faults.append(self._fault("path_outside", row, what))
        elif not is_file(image):
            faults.append(self._fault("picture_missing", row, f"names '{name}', which is not there"))
        else:
            return image
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
            corners = [row.cells.get(corner, "") for corner in _CORNERS]
            if not any(corners):
                continue
            try:
                box = [float(corner) for corner in corners]
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
        mask = inside(self.root, name)
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
