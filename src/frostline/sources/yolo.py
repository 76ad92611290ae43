"""YOLO's layout: `data.yaml`, pictures, and a text file of boxes or outlines beside each."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from frostline.errors import FrostlineError
from frostline.pictures.reading import MAX_PIXELS, displayed_size, read_file
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import (
    boxes_of,
    existing,
    inside,
    is_file,
    picture_files,
    read_lines,
    split_named,
    visible,
)
from frostline.sources.paint import MOST_PAINT, paint, run_lengths

_MOST_YAML = 1 << 22  # bytes; a thousand times what data.yaml needs
_MASKS = "painted from the outlines, smaller ones over larger ones"
_BOXES = "around the outlines"
_KEYS = ("train", "val", "valid", "validation", "test")
_A_SHARE = 1.5  # what is larger is no share of a picture, even of an object that hangs over its edge


@dataclass
class _Objects:
    """The objects of one file. values: cx, cy, w, h, or x, y, x, y, ... of an outline, as they stand there."""

    classes: list[int] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    in_pixels: bool = False


class _PlainLoader(yaml.SafeLoader):
    """Refuses anchors, with which a few lines could grow beyond all memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to anchors")
        return super().compose_node(parent, index)


class Yolo(Source):
    """`root/data.yaml`, the pictures that it names, and `labels/**/<picture>.txt` for `images/**/<picture>.jpg`.

    data.yaml: `names`, a list or {0: name, ...}, are the classes; `train`, `val` and `test` each a folder, a list of
    folders, or a .txt file that lists pictures. They start at `path`, where that is a folder inside `root`, or else at
    `root`: exporters write there what was right on their machine. A picture's text file lies where its path has
    `labels` in place of the last `images`, or, without such a folder, beside the picture.

    A line is an object: its class, then centre x, centre y, width and height as shares of the displayed picture, or an
    outline of three or more points, which gets the box around it. Only where all objects of the dataset are outlines
    there are masks: 0 is the background, then the classes from 1, smaller objects lie over larger ones. A picture
    without a text file has no objects where the folder for text files is there, and is not annotated where it is not;
    a text file without a picture is a fault. A file with a value above 1.5 counts as pixels, which is a fault.

    Raises FrostlineError for a missing root, a data.yaml without names or pictures, and what it names but is not there.
    """

    def __init__(self, root: str | Path, data: str = "data.yaml") -> None:
        self.root = existing(root, "data in YOLO's layout")
        self._data = self.root / data
        try:
            content = yaml.load(read_file(self._data, _MOST_YAML), _PlainLoader)
        except OSError as error:
            raise FrostlineError(
                f"{self._data} cannot be read ({error.strerror}): point dataset.root at data in YOLO's layout, or set "
                f"dataset.source.data to the name of its YAML file."
            ) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2020-13-32 is a ValueError
            what = " ".join(str(error).split())
            raise FrostlineError(f"{self._data} is no YAML ({what}): mend it.") from error
        self._names = self._classes(content)
        if "kpt_shape" in content:
            raise FrostlineError(f"{self._data} describes key points, which are no boxes: take a dataset of boxes.")
        base = inside(self.root, content["path"]) if isinstance(content.get("path"), str) else None
        self._base = base if base is not None and os.path.isdir(base) else self.root
        self._listed = [
            (split_named(key), *found) for key in _KEYS if content.get(key) for found in self._pictures(content[key])
        ]
        if not self._listed:
            raise FrostlineError(f"{self._data} leads to no pictures: name their folders under train, val and test.")
        # Looked through until the first box: then there are no masks.
        outlines = (
            len(values) > 4
            for text in dict.fromkeys(self._text(path) for _, path, *_ in self._listed if path is not None)
            if is_file(text)
            for values in self._read(text).values
        )
        masks = next(outlines, False) and all(outlines)
        self.classes = Classes(boxes=self._names, masks=(BACKGROUND, *self._names) if masks else None)
        self.derived = {"masks": _MASKS, "boxes": _BOXES} if masks else {}

    def _classes(self, content: Any) -> tuple[str, ...]:
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict) and set(names) == set(range(len(names))):
            names = [names[number] for number in range(len(names))]
        if not isinstance(names, list) or not names or not all(isinstance(name, str | int | float) for name in names):
            raise FrostlineError(f"{self._data} has no 'names': list the classes there, or number them from 0.")
        return tuple(map(str, names))

    def _pictures(self, entries: Any) -> Iterator[tuple[Path | None, str, Path, int | None]]:
        """Pictures (None: outside the root) that an entry leads to, and who says so: the words, the file, the line."""
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, str):
                raise FrostlineError(f"{self._data} has no path where pictures are meant: mend it.")
            path = self._path(entry)
            if path.is_dir():
                yield from ((picture, picture.name, self._data, None) for picture in picture_files(path))
                continue
            for line, name in read_lines(path):
                found = [inside(self.root, name, start) for start in (self._base, path.parent)]
                inner = [picture for picture in found if picture is not None]
                yield next((file for file in inner if is_file(file)), inner[0] if inner else None), name, path, line

    def _path(self, entry: str) -> Path:
        """The folder or list that an entry of data.yaml means."""
        for name in (entry, re.sub(r"^(\.\./)+", "", entry)):
            for start in (self._base, self._data.parent):
                path = inside(self.root, name, start)
                if path is not None and os.path.exists(path):
                    return path
        raise FrostlineError(
            f"{self._data} names '{entry[:200]}', which is not there below {self.root}: mend the path."
        )

    def _text(self, picture: Path) -> Path:
        """The file of a picture's objects."""
        parts = list(picture.relative_to(self.root).parts)
        folders = [at for at, part in enumerate(parts[:-1]) if part == "images"]
        if folders:
            parts[folders[-1]] = "labels"
        return self.root.joinpath(*parts).with_suffix(".txt")

    def _read(self, text: Path) -> _Objects:
        objects = _Objects()
        try:
            lines = read_lines(text)
        except FrostlineError:
            objects.faults.append(Fault("annotation_unreadable", text, "cannot be read as text"))
            return objects
        for line, content in lines:
            try:
                number, *values = map(float, content.split())
                if not all(map(math.isfinite, (number, *values))):
                    raise ValueError
            except ValueError:
                objects.faults.append(Fault("annotation_unreadable", text, "has a line that is no numbers", line))
                continue
            if len(values) != 4 and (len(values) < 6 or len(values) % 2):
                what = f"has a line of {len(values) + 1} numbers, neither a class and a box nor a class and an outline"
                objects.faults.append(Fault("annotation_unreadable", text, what, line))
                continue
            if number not in range(len(self._names)):
                what = f"has an object of class {number:g}, and data.yaml names {len(self._names)} from 0"
                objects.faults.append(Fault("label_unknown", text, what, line))
                continue
            if max(values) > _A_SHARE and not objects.in_pixels:
                what = f"has the value {max(values):g} where shares of the picture, up to 1, are meant"
                objects.faults.append(Fault("box_units", text, what, line))
                objects.in_pixels = True
            objects.classes.append(int(number))
            objects.values.append(values)
            objects.lines.append(line)
        return objects

    def scenes(self) -> Iterator[Scene]:
        names = [path.relative_to(self.root) if path is not None else Path(name) for _, path, name, *_ in self._listed]
        alone = self._without_picture()
        names += [text.relative_to(self.root) for text in alone]
        ids = scene_ids(name if name.name else Path("unnamed") for name in names)
        for scene_id, (split, path, name, said, line) in zip(ids, self._listed, strict=False):
            if path is None:
                fault = Fault("path_outside", said, f"names '{name}', which lies outside {self.root}", line)
            elif not is_file(path):
                fault = Fault("picture_missing", said, f"names '{name}', which is not there", line)
            else:
                yield self._scene(scene_id, split, path)
                continue
            yield Scene(id=scene_id, image=None, split=split, faults=(fault,))
        for scene_id, text in zip(ids[len(self._listed) :], alone, strict=True):
            yield Scene(id=scene_id, image=None, faults=(Fault("picture_missing", text, "has no picture"),))

    def _without_picture(self) -> list[Path]:
        """Text files to which there is no picture, in the folders where those of the pictures lie."""
        folders = {self._text(path).parent: path.parent for _, path, *_ in self._listed if path is not None}
        found = []
        for texts, pictures in sorted(folders.items()):
            if texts != pictures:  # beside pictures lie texts of all kinds
                stems = {path.stem for path in visible(pictures, "*")}
                texts_alone = (text for text in visible(texts, "*.txt") if text.stem not in stems)
                found += [text for text in texts_alone if text.name != "classes.txt"]  # LabelImg's list of names
        return found

    def _scene(self, scene_id: str, split: str | None, path: Path) -> Scene:
        size, text = displayed_size(path), self._text(path)
        # A picture that cannot be read has no size to scale by; its own check tells.
        if size is None or not (is_file(text) or text.parent.is_dir()):
            return Scene(id=scene_id, image=path, split=split)
        objects = self._read(text) if is_file(text) else _Objects()
        scale = np.array([1, 1] if objects.in_pixels else size, np.float64)
        boxes, outlines = [], []
        for values in objects.values:
            points = np.array(values).reshape(-1, 2) * scale
            if len(points) == 2:
                centre, half = points[0], points[1] / 2
                points = np.array([centre - half, centre + half])
                boxes.append([*points[0], *points[1]])
            else:
                boxes.append([*points.min(axis=0), *points.max(axis=0)])
            outlines.append(points)
        mask = None
        faults = list(objects.faults)
        if self.classes.masks and size[0] * size[1] * len(outlines) > MOST_PAINT:
            what = f"has {len(outlines)} outlines, more than can be painted on {size[0]} x {size[1]} pixels"
            faults.append(Fault("annotation_unreadable", text, what))
        elif self.classes.masks and size[0] * size[1] <= MAX_PIXELS:
            regions = []
            for number, points, line in zip(objects.classes, outlines, objects.lines, strict=True):
                try:
                    regions.append((number + 1, run_lengths([points.ravel().tolist()], *size)))
                except ValueError as error:
                    faults.append(Fault("annotation_unreadable", text, str(error), line))
            mask = paint(regions, *size)
        return Scene(
            id=scene_id,
            image=path,
            boxes=boxes_of(boxes),
            box_labels=np.array(objects.classes, np.int64),
            mask=mask,
            split=split,
            boxes_file=text,
            box_lines=tuple(objects.lines),
            faults=tuple(faults),
            size=size,
        )
