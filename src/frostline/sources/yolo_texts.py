"""The text files of pictures in YOLO's layout: which belongs to which, and the objects of one."""

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.parsing.files import files_below, read_lines
from frostline.parsing.lookup import folder_called, plain_stem, same_but_upload
from frostline.scenes.faults import Fault
from frostline.sources.yolo_evidence import A_SHARE, CONFIDENCE, Evidence, beyond_shares

_NO_TEXTS = ("classes.txt",)  # LabelImg's list of names


@dataclass
class Objects:
    """The objects of one file. classes: numbers of classes, from 0. values: cx, cy, w, h, perhaps an angle, or x, y,
    x, y, ... of an outline, as they stand there."""

    classes: list[int] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    in_pixels: bool = False


def read_objects(text: Path, numbers: Mapping[int, int], said: str, evidence: Evidence) -> Objects:
    """What a text file tells, faulty or not. numbers: the class of each number that it may give; said: by what file.

    evidence: of all texts of the dataset. A file is in pixels where it has a value that is no share of a picture, and
    most of its lines are such, or most of the dataset's; else that value is a slip.
    """
    objects = Objects()
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
        if (wrong := _wrong(values, evidence)) is not None:
            objects.faults.append(Fault("annotation_unreadable", text, wrong, line))
            continue
        if number not in numbers:
            what = f"has an object of class {number:g}, which {said} does not name"
            objects.faults.append(Fault("label_unknown", text, what, line))
            continue
        objects.classes.append(numbers[int(number)])
        objects.values.append(values[:4] if len(values) == 5 and evidence.sixth == CONFIDENCE else values)
        objects.lines.append(line)
    _tell_pixels(objects, text, evidence)
    return objects


def _wrong(values: list[float], evidence: Evidence) -> str | None:
    if len(values) == 5:
        return evidence.contradicts(values[4])
    if len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0):
        return None
    return f"has a line of {len(values) + 1} numbers, neither a class and a box nor a class and an outline"


def _tell_pixels(objects: Objects, text: Path, evidence: Evidence) -> None:
    """Find out whether the values are in pixels, or else leave out those objects that a value beyond shares spoils."""
    placed = [values[:4] if len(values) == 5 else values for values in objects.values]
    large = [at for at, values in enumerate(placed) if max(values) > A_SHARE]
    if not large:
        return
    first = max(placed[large[0]])
    if sum(map(beyond_shares, placed)) * 2 > len(placed) or evidence.in_pixels:
        what = f"has the value {first:g} where shares of the picture, up to 1, are meant"
        objects.faults.append(Fault("box_units", text, what, objects.lines[large[0]]))
        objects.in_pixels = True
        return
    for at in reversed(large):
        what = f"has the value {max(placed[at]):g}, which is no share of the picture, up to 1, as the others are"
        objects.faults.append(Fault("annotation_unreadable", text, what, objects.lines[at]))
        del objects.classes[at], objects.values[at], objects.lines[at]


class Texts:
    """The text file of each picture, by its name: where its path has `labels` in place of the last `images`, or else
    beside it, whatever the case of folders and suffix; for a folder of pictures of which none has one there, the only
    one of that name anywhere below `root`.

    elsewhere: how many pictures have theirs at such another place. bare: folders of pictures of which none has one.
    """

    def __init__(self, root: Path, pictures: Iterable[Path]) -> None:
        self._root = root
        self._listings: dict[Path, dict[str, Path]] = {}
        self._of: dict[Path, Path] = {}
        self._places: dict[Path, list[Path]] = {}
        folders: dict[Path, list[Path]] = defaultdict(list)
        for picture in dict.fromkeys(pictures):
            folders[picture.parent].append(picture)
        self.bare: set[Path] = set()
        for folder, found in folders.items():
            self._places[folder] = self._candidates(folder)
            for place in self._places[folder]:
                listing = self._listing(place)
                for picture in found:
                    if picture not in self._of and (text := listing.get(picture.stem)) is not None:
                        self._of[picture] = text
            if not any(picture in self._of for picture in found):
                self.bare.add(folder)
        self.elsewhere = self._look_elsewhere(folders) if self.bare else 0

    def of(self, picture: Path) -> Path | None:
        """The text file of a picture, None where there is none."""
        return self._of.get(picture)

    def alone(self) -> list[Path]:
        """Text files to which there is no picture, in the folders where those of the pictures lie."""
        stems: dict[Path, set[str]] = defaultdict(set)
        for folder, places in self._places.items():
            for place in places:
                if place != folder:  # beside pictures lie texts of all kinds
                    stems[place] |= {Path(name).stem for name in _names(folder)}
        used = set(self._of.values())
        return [
            text
            for place in sorted(stems)
            for stem, text in sorted(self._listing(place).items())
            if stem not in stems[place] and text not in used and text.name.lower() not in _NO_TEXTS
        ]

    def _candidates(self, folder: Path) -> list[Path]:
        parts = folder.relative_to(self._root).parts
        at = next((at for at in range(len(parts) - 1, -1, -1) if parts[at].lower() == "images"), None)
        found = None
        if at is not None:
            found = self._root.joinpath(*parts[:at])
            for part in ("labels", *parts[at + 1 :]):
                found = folder_called(found, part) if found is not None else None
        return [found, folder] if found is not None else [folder]

    def _listing(self, folder: Path) -> dict[str, Path]:
        """The texts right in a folder, by their names without the suffix."""
        if folder not in self._listings:
            found: dict[str, Path] = {}
            for name in _names(folder):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() == ".txt" and not name.startswith("."):
                    found.setdefault(stem, folder / name)
            self._listings[folder] = found
        return self._listings[folder]

    def _look_elsewhere(self, folders: Mapping[Path, list[Path]]) -> int:
        """Take texts for pictures of bare folders from anywhere; returns for how many."""
        used = set(self._of.values())
        texts: dict[str, list[Path]] = defaultdict(list)
        for path in files_below(self._root, {".txt"}):
            if path not in used:
                texts[plain_stem(path.stem)].append(path)
        wanted: dict[str, list[Path]] = defaultdict(list)
        for folder in self.bare:
            for picture in folders[folder]:
                wanted[plain_stem(picture.name)].append(picture)
        found = {
            pictures[0]: texts[stem][0]
            for stem, pictures in wanted.items()
            if len(pictures) == len(texts.get(stem, [])) == 1 and same_but_upload(pictures[0].name, texts[stem][0].name)
        }
        self._of |= found
        self.bare -= {picture.parent for picture in found}
        for picture, text in found.items():
            if text.parent not in self._places[picture.parent]:
                self._places[picture.parent].append(text.parent)
        return len(found)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), reverse=True)  # small letters first: a.txt before a.TXT
    except OSError:
        return []
