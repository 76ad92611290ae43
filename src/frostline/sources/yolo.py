"""YOLO's layout: `data.yaml`, pictures, and a text file of boxes or outlines beside each."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.files import boxes_of, inside, is_file, picture_files, read_lines
from frostline.parsing.lookup import root_of, split_of_folders
from frostline.parsing.named import Wanted, meant, told
from frostline.parsing.paint import MOST_PAINT, paint, run_lengths
from frostline.parsing.turned import Turned
from frostline.pictures.reading import MAX_PIXELS, displayed_size
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.yolo_data import DATA, SPLIT_KEYS, described, fits, path_below
from frostline.sources.yolo_evidence import Evidence
from frostline.sources.yolo_texts import Objects, Texts, read_objects

__all__ = ["Yolo", "fits"]

UNANNOTATED = ("fault", "empty")
MASKS = ("auto", "outlines", "none")
_MASKS = "painted from the outlines, smaller ones over larger ones"
_BOXES = "around the outlines"


class _Listed:
    """A picture that is to be read: its path (None: outside the root), its name, and the file and line that say so.

    depth: of the folder that is named; None where the picture itself is.
    """

    def __init__(
        self, split: str | None, path: Path | None, name: str, said: Path, line: int | None, depth: int | None = None
    ) -> None:
        self.split, self.path, self.name, self.said, self.line, self.depth = split, path, name, said, line, depth


class Yolo(Source):
    """A YAML file, the pictures that it names, and `labels/**/<picture>.txt` for `images/**/<picture>.jpg`. `root` may
    be that file.

    data: its name; where there is no data.yaml, the only YAML file counts, else darknet's obj.data, else a list of the
    classes' names (classes.txt, obj.names, notes.json). classes: their names, in place of those. In a YAML file
    `names`, a list or {0: name, ...}, perhaps with gaps, are the classes; `train`, `val` and `test` each a folder, a
    list of folders, or a .txt file that lists pictures. They start at `path`, where that is a folder inside `root`, or
    else at `root`; of a path on the exporter's machine counts the end that is there. Where nothing names pictures, they
    are all below `root`, and folders called train, val or test tell splits. Pictures of an entry that repeats another
    are its own; where the folder of one lies in that of another, its pictures are its alone.

    How a text file is found tells `yolo_texts.Texts`. A line is an object: its class, then centre x, centre y, width
    and height as shares of the displayed picture, perhaps with an angle, or an outline of three or more points. A box
    with an angle and an outline get the upright box around them. Only where all objects of the dataset are outlines,
    and not all of four corners, which are oriented boxes, there are masks, or as `masks` says: 0 is the background,
    then the classes from 1, smaller objects lie over larger ones.
    angle: the unit of a sixth number; none: it is a confidence, and left aside; auto: what `yolo_evidence` finds.

    A picture without a text file has no objects where another picture of its folder has one; where none has, that is a
    fault, or, with `unannotated: empty`, all have no objects. A text file without a picture is a fault. So is a file in
    pixels, and a value above 1.5 in another one. turned: `stored` takes shares of the picture as it is stored.

    Raises FrostlineError for a missing root, no names of classes or no pictures, and what is named but is not there.
    """

    def __init__(
        self,
        root: str | Path,
        data: str = DATA,
        classes: Sequence[str] | None = None,
        masks: str = "auto",
        angle: str = "auto",
        unannotated: str = "fault",
        turned: str = "auto",
    ) -> None:
        check_choice("dataset.source.unannotated", unannotated, UNANNOTATED)
        check_choice("dataset.source.masks", masks, MASKS)
        self.root, file = root_of(root, "data in YOLO's layout", "")
        self._data = described(self.root, file or (self.root / data if data != DATA else None), classes)
        self._unannotated, self._turned = unannotated, Turned(turned, ())
        self._notes: list[str] = []
        self._seen: Counter[str] = Counter()
        self._number = {number: at for at, number in enumerate(self._data.names)}
        self._names = tuple(self._data.names.values())
        missing = (number for number in range(max(self._number) + 1) if number not in self._number)
        if gaps := [*islice(missing, 6)]:  # no more: a number may be large
            what = f"no name for the number {', '.join(map(str, gaps[:5]))}{' and others' if len(gaps) > 5 else ''}"
            self._notes.append(f"{self._data.file.name} has {what}: the classes are those that it names")
        self._listed = self._pictures() if self._data.entries else self._all_pictures()
        if not self._listed and self._data.entries:
            raise FrostlineError(
                f"{self._data.file} leads to no pictures: name their folders under train, val and test."
            )
        if not self._listed:
            raise FrostlineError(f"{self.root} holds no pictures: put them into a folder 'images' beside 'labels'.")
        self._texts = Texts(self.root, (each.path for each in self._listed if each.path is not None))
        if self._texts.elsewhere:
            self._notes.append(
                f"the texts of {self._texts.elsewhere} picture(s) were found in other folders by their names"
            )
        texts = (self._texts.of(each.path) for each in self._listed if each.path is not None)
        self._evidence = Evidence((text for text in texts if text is not None), angle)
        painted = self._look_through(masks)
        self.classes = Classes(boxes=self._names, masks=(BACKGROUND, *self._names) if painted else None)
        self.derived = {"masks": _MASKS, "boxes": _BOXES} if painted else {}

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What was taken for granted; how many pictures have no text file is known when all scenes were given."""
        empty = self._seen["empty"]
        what = f"{empty} picture(s) have no text file and are taken as looked at, without objects"
        return [*self._notes, *self._evidence.notes, *([what] if empty else [])]

    def _all_pictures(self) -> list[_Listed]:
        said = self._data.file
        return [
            _Listed(split_of_folders(path.relative_to(self.root)), path, path.name, said, None)
            for path in picture_files(self.root)
        ]

    def _pictures(self) -> list[_Listed]:
        """The pictures that entries lead to, those of an entry that repeats another one's left out."""
        base = None
        if self._data.path is not None:
            starts = (self._data.file.parent, self.root)
            inner = (inside(self.root, self._data.path, start) for start in starts)
            base = next((path for path in inner if path is not None and os.path.isdir(path)), None)
        self._starts = tuple(dict.fromkeys((base or self.root, self._data.file.parent)))
        listed: list[_Listed] = []
        seen: dict[tuple[Path | None, ...], str] = {}
        for key, entries in self._data.entries.items():
            split = SPLIT_KEYS[key]
            found = [each for entry in _as_list(entries) for each in self._entry(entry, split)]
            paths = tuple(each.path for each in found)
            other = seen.get(paths)
            seen.setdefault(paths, split)
            if other is None:
                listed += found
            elif found and other != split:
                self._notes.append(
                    f"{self._data.file.name} names the same pictures for {other} and {split}: they are {other}'s, and "
                    f"{split} is drawn from them"
                )
        return self._nearest(listed)

    def _nearest(self, listed: list[_Listed]) -> list[_Listed]:
        """Without the pictures that an entry has by a folder around the one that another entry names, or has twice."""
        nearest: dict[Path | None, _Listed] = {}
        for each in listed:
            other = nearest.setdefault(each.path, each)
            if (each.depth or 0) > (other.depth or 0):
                nearest[each.path] = each
        taken: list[_Listed] = []
        moved: Counter[str | None] = Counter()
        for each in listed:
            of = nearest[each.path]
            if each is of or not each.depth or (each.depth == of.depth and each.split != of.split) or not of.depth:
                taken.append(each)
            elif each.split != of.split:
                moved[of.split] += 1
        self._notes += [
            f"{self._data.file.name} names {count} picture(s) of {split} for another split, too, by a folder around "
            f"theirs: they are {split}'s alone"
            for split, count in moved.items()
        ]
        return taken

    def _entry(self, entry: Any, split: str) -> list[_Listed]:
        if not isinstance(entry, str):
            raise FrostlineError(f"{self._data.file} has no path where pictures are meant: mend it.")
        path = path_below(self.root, entry, self._starts)
        if path is None:
            raise FrostlineError(
                f"{self._data.file} names '{entry[:200]}', which is not there below {self.root}: mend the path."
            )
        if path.is_dir():
            said, depth = self._data.file, len(path.parts)
            return [_Listed(split, picture, picture.name, said, None, depth) for picture in picture_files(path)]
        lines = read_lines(path)
        wanted = [Wanted(name, path.parent, split) for _, name in lines]
        found = meant(self.root, self._starts, wanted)
        if (note := told(found, wanted, self.root)) is not None:
            self._notes.append(note)
        listed = []
        for (line, name), each in zip(lines, found, strict=True):
            where = each.path
            if where is None and not each.outside:
                where = next((inner for start in self._starts if (inner := inside(self.root, name, start))), None)
            listed.append(_Listed(split, where, name, path, line))
        return listed

    def _look_through(self, masks: str) -> bool:
        """Whether there are masks. Looks into texts until the first plain box, after which that is found out."""
        self._evidence.read(until_box=True)
        kinds = self._evidence.kinds
        if masks == "outlines" and (kinds[4] or kinds[5]):
            raise FrostlineError(
                f"{self.root} has boxes among its outlines: dataset.source.masks=outlines needs outlines alone."
            )
        outlines = bool(kinds) and not kinds[4] and not kinds[5]
        oriented = outlines and set(kinds) == {8}
        if oriented and masks == "auto":
            self._notes.append(
                "all objects have four corners, as oriented boxes have: the upright box around each is taken; "
                "dataset.source.masks=outlines paints them"
            )
        return outlines and (masks == "outlines" or (masks == "auto" and not oriented))

    def scenes(self) -> Iterator[Scene]:
        self._seen.clear()
        listed, alone = self._listed, self._texts.alone()
        names = [each.path.relative_to(self.root) if each.path is not None else Path(each.name) for each in listed]
        names += [text.relative_to(self.root) for text in alone]
        ids = scene_ids(name if name.name else Path("unnamed") for name in names)
        for scene_id, each in zip(ids, listed, strict=False):
            if each.path is None:
                what = f"names '{each.name}', which lies outside {self.root}"
                fault = Fault("path_outside", each.said, what, each.line)
            elif not is_file(each.path):
                fault = Fault("picture_missing", each.said, f"names '{each.name}', which is not there", each.line)
            else:
                yield self._scene(scene_id, each.split, each.path)
                continue
            yield Scene(id=scene_id, image=None, split=each.split, faults=(fault,))
        for scene_id, text in zip(ids[len(listed) :], alone, strict=True):
            yield Scene(id=scene_id, image=None, faults=(Fault("picture_missing", text, "has no picture"),))

    def _scene(self, scene_id: str, split: str | None, path: Path) -> Scene:
        text = self._texts.of(path)
        size = self._turned.size(path, displayed_size(path))
        if size is None:  # a picture that cannot be read has no size to scale by; its own check tells
            return Scene(id=scene_id, image=path, split=split)
        if text is None and path.parent in self._texts.bare and self._unannotated == "fault":
            what = "has no text file, nor has any picture of its folder: dataset.source.unannotated=empty takes all "
            fault = Fault("annotation_missing", path, what + "without one as looked at, without objects")
            return Scene(id=scene_id, image=path, split=split, faults=(fault,))
        self._seen["empty"] += text is None
        objects = self._objects(text) if text is not None else Objects()
        outlines = [self._points(values, size, objects.in_pixels) for values in objects.values]
        boxes = [[*points.min(axis=0), *points.max(axis=0)] for points in outlines]
        faults = list(objects.faults)
        mask = self._mask(objects, outlines, size, text, faults) if self.classes.masks else None
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

    def _objects(self, text: Path) -> Objects:
        return read_objects(text, self._number, self._data.file.name, self._evidence)

    def _points(self, values: list[float], size: tuple[int, int], in_pixels: bool) -> np.ndarray:
        """The corners of an object in pixels, (n, 2): two of a box, the hull's of one with an angle."""
        scale = np.array([1, 1] if in_pixels else size, np.float64)
        if len(values) > 5:
            points: np.ndarray = np.array(values).reshape(-1, 2) * scale
            # An oriented box hangs over the edge where its object ends there.
            return points.clip(0, size) if len(values) == 8 and not self.classes.masks else points
        centre, half = np.array(values[:2]) * scale, np.array(values[2:4]) * scale / 2
        if len(values) == 5:
            turn = math.radians(values[4]) if self._evidence.sixth == "degrees" else values[4]
            cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
            half = np.array([half[0] * cos + half[1] * sin, half[0] * sin + half[1] * cos])
            return np.array([centre - half, centre + half]).clip(0, size)
        return np.array([centre - half, centre + half])

    def _mask(
        self,
        objects: Objects,
        outlines: list[np.ndarray],
        size: tuple[int, int],
        text: Path | None,
        faults: list[Fault],
    ) -> np.ndarray | None:
        said = text or ""
        if size[0] * size[1] * len(outlines) > MOST_PAINT:
            what = f"has {len(outlines)} outlines, more than can be painted on {size[0]} x {size[1]} pixels"
            faults.append(Fault("annotation_unreadable", said, what))
            return None
        if size[0] * size[1] > MAX_PIXELS:
            return None
        regions = []
        for number, points, line in zip(objects.classes, outlines, objects.lines, strict=True):
            try:
                regions.append((number + 1, run_lengths([points.ravel().tolist()], *size)))
            except ValueError as error:
                faults.append(Fault("annotation_unreadable", said, str(error), line))
        return paint(regions, *size)


def _as_list(entries: Any) -> list[Any]:
    return entries if isinstance(entries, list) else [entries]
