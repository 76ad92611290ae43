"""A manifest: one CSV file that names the pictures and says what is on them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError
from frostline.pictures.reading import MAX_BYTES
from frostline.scenes.faults import Fault
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources._files import boxes_of, inside, is_file, split_named
from frostline.sources.base import Source

_CORNERS = ("x0", "y0", "x1", "y1")
_OF_THE_PICTURE = ("label", "mask", "split", "group")
COLUMNS = ("path", *_CORNERS, "box_label", *_OF_THE_PICTURE)


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
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FrostlineError(f"{self.root} is no folder: point dataset.root at one that holds a manifest.")
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

    def _read(self, columns: dict[str, str], delimiter: str) -> list[tuple[int, dict[str, str]]]:
        """Rows as the line where each begins and its cells by role."""
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
                        rows.append((line, {"path": cells[roles["path"]].strip(), "surplus": "yes"}))
                    elif any(cells):
                        rows.append((line, {role: cells[at].strip() for role, at in roles.items() if at < len(cells)}))
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
        pictures: dict[str, list[tuple[int, dict[str, str]]]] = {}
        for line, cells in self._rows:
            path = inside(self.root, cells.get("path", ""))
            name = cells.get("path") or f"line {line} of {self._file.name}"
            pictures.setdefault(name if path in (None, self.root) else str(path), []).append((line, cells))
        paths = [Path(name) for name in pictures]
        relative = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in paths]
        ids = scene_ids(path if path.name else PurePath("unnamed") for path in relative)
        for scene_id, rows in zip(ids, pictures.values(), strict=True):
            yield self._scene(scene_id, rows)

    def _scene(self, scene_id: str, rows: list[tuple[int, dict[str, str]]]) -> Scene:
        faults: list[Fault] = []
        said: dict[str, tuple[str, int]] = {}
        boxes: list[list[float]] = []
        names: list[str] = []
        lines: list[int] = []

        def fault(kind: str, line: int, what: str) -> None:
            faults.append(Fault(kind, self._file, what, line))

        first, cells = rows[0]
        name = cells.get("path", "")
        image = place = inside(self.root, name)
        if place is None or not is_file(place):
            image = None  # a fault says why; nothing outside the root is ever opened
        if not name:
            fault("annotation_unreadable", first, "has no path")
        elif place is None:
            fault("path_outside", first, f"names '{name}', which lies outside {self.root}")
        elif image is None:
            fault("picture_missing", first, f"names '{name}', which is not there")
        for line, cells in rows:
            if "surplus" in cells:
                fault("annotation_unreadable", line, "has more cells than the first line")
            for role in _OF_THE_PICTURE:
                value, earlier = cells.get(role), said.get(role)
                if not value:
                    continue
                if earlier is None:
                    said[role] = (value, line)
                elif earlier[0] != value:
                    what = f"gives {name} the {role} '{value}' where line {earlier[1]} gives '{earlier[0]}'"
                    fault("annotation_unreadable", line, what)
            corners = [cells.get(corner, "") for corner in _CORNERS]
            if not any(corners):
                continue
            try:
                box = [float(corner) for corner in corners]
            except ValueError:
                fault("annotation_unreadable", line, f"has a box whose corners are no numbers ({', '.join(corners)})")
                continue
            if self._has_box_labels and not cells.get("box_label"):
                fault("label_unknown", line, "has a box without a label")
                continue
            boxes.append(box)
            names.append(cells.get("box_label") or "object")
            lines.append(line)
        mask = None
        if "mask" in said:
            value, line = said["mask"]
            mask = inside(self.root, value)
            if mask is None:
                fault("path_outside", line, f"names the mask '{value}', which lies outside {self.root}")
            elif not is_file(mask):
                fault("annotation_missing", line, f"names the mask '{value}', which is not there")
                mask = None
        split = None
        if "split" in said:
            value, line = said["split"]
            if (split := split_named(value)) is None:
                fault("annotation_unreadable", line, f"has the split '{value}', which is none of train, val and test")
        return Scene(
            id=scene_id,
            image=image,
            label=self._labels[said["label"][0]] if "label" in said else None,
            boxes=boxes_of(boxes) if boxes else None,
            box_labels=np.array([self._box_labels[found] for found in names], np.int64) if boxes else None,
            mask=mask,
            split=split,
            group=said["group"][0] if "group" in said else None,
            boxes_file=self._file if boxes else None,
            box_lines=tuple(lines) if boxes else None,
            faults=tuple(faults),
        )
