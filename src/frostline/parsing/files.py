"""What several sources do with files: paths that stay inside the root, lists, names of splits, sizes."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError
from frostline.pictures.reading import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from frostline.pictures.reading import read_file
from frostline.scenes.faults import Fault

_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_SYSTEM = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}  # what systems leave behind
# What goes with pictures: annotations, lists, and words about them.
_TEXTS = {
    ".json",
    ".xml",
    ".txt",
    ".csv",
    ".tsv",
    ".yaml",
    ".yml",
    ".data",
    ".names",
    ".md",
    ".html",
    ".log",
    ".py",
    ".rst",
}
_TOLD = 8  # kinds of files that are named
_MOST_TEXT = 1 << 28  # bytes of a list or of a picture's annotations


def existing(root: str | Path, meant: str) -> Path:
    """The folder that a source reads. Raises FrostlineError where there is none. meant: what it was to hold."""
    path = Path(root).expanduser()
    if not os.path.isdir(path):
        what = "is no folder" if os.path.exists(path) else "is not there"
        raise FrostlineError(f"{path} {what}: point dataset.root at {meant.removesuffix('.')}.")
    return path


def inside(root: Path, name: str, start: Path | None = None) -> Path | None:
    """`name` as a path below `root`, None where it leads out of it; a relative one starts at `start`, or at `root`.

    The names alone decide: a link that somebody put into the root is followed, a `..` that climbs out of it is not.
    """
    top = os.path.abspath(root)
    path = Path(os.path.normpath(os.path.join(top, start.absolute() if start else "", name)))
    return root / path.relative_to(top) if path.is_relative_to(top) and "\0" not in name else None


def is_file(path: Path) -> bool:
    """As Path.is_file, and False for a name too long for the disk, where that raises."""
    return os.path.isfile(path)


def files_below(folder: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """Every file below a folder, however deep, sorted, without the hidden ones and those that systems leave behind.

    suffixes: in small letters, where only some are meant. Links are followed. A folder that is reached in two ways is
    read once, where it really lies if that is below, so a loop of links ends.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    links = _walked(os.fspath(folder), seen, found)
    while links:
        links += _walked(links.pop(0), seen, found)
    meant = [path for path in found if suffixes is None or os.path.splitext(path)[1].lower() in suffixes]
    return [Path(path) for path in sorted(meant, key=lambda path: path.split(os.sep))]  # in the order of paths, sooner


def _walked(top: str, seen: set[tuple[int, int]], found: list[str]) -> list[str]:
    """Add the files below `top`, where it is no link into a folder seen already; the links to folders, sorted."""
    links: list[str] = []
    waiting = [top]
    while waiting:
        here = waiting.pop()
        try:
            known = os.stat(here)
            if (known.st_dev, known.st_ino) in seen:
                continue
            seen.add((known.st_dev, known.st_ino))
            with os.scandir(here) as listed:
                entries = [entry for entry in listed if visible_name(entry.name)]
        except OSError:  # gone meanwhile, or not to be read
            continue
        for entry in entries:
            if entry.is_symlink():  # which may lead nowhere, or in a circle
                if os.path.isdir(entry.path):
                    links.append(entry.path)
                elif os.path.isfile(entry.path):
                    found.append(entry.path)
            elif entry.is_dir():
                waiting.append(entry.path)
            elif entry.is_file():
                found.append(entry.path)
    return sorted(links)


def visible_name(name: str) -> bool:
    """Whether it is no hidden file or folder, and none that a system leaves behind."""
    return not name.startswith(".") and name.lower() not in _SYSTEM


def picture_files(folder: Path) -> list[Path]:
    """Every picture file below a folder, by suffix, as `files_below`."""
    return files_below(folder, PICTURE_SUFFIXES)


def passed_over(files: Iterable[Path]) -> str | None:
    """Words on those that are neither pictures nor texts, such as "3 files are passed over: 2 .heic, 1 .zip"."""
    suffixes = Counter(path.suffix.lower() or "without suffix" for path in files)
    others = {suffix: n for suffix, n in suffixes.items() if suffix not in PICTURE_SUFFIXES and suffix not in _TEXTS}
    if not others:
        return None
    most = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))
    told = ", ".join(f"{count} {suffix}" for suffix, count in most[:_TOLD])
    count = sum(others.values())
    more = f" and {len(most) - _TOLD} more kinds" if len(most) > _TOLD else ""
    plugin = " (pillow-heif reads .heic: pip install pillow-heif)" if {".heic", ".heif"} & others.keys() else ""
    return f"{count} {'file is' if count == 1 else 'files are'} passed over: {told}{more}{plugin}"


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Files by their path relative to `folder` without the suffix, sorted.

    Where two differ in nothing but the suffix, the first has that name, and the other's keeps its suffix: nobody knows
    whose annotation it is then, and `namesake` tells.
    """
    found: dict[str, Path] = {}
    for path in sorted(paths):
        whole = path.relative_to(folder)
        name = whole.with_suffix("").as_posix()
        found[whole.as_posix() if name in found else name] = path
    return dict(sorted(found.items()))


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Every picture below `folder`, as `by_name`."""
    return by_name(picture_files(folder), folder)


def namesake(name: str, picture: Path) -> list[Fault]:
    """The fault of a picture whose name in `by_name` had to keep its suffix, as another one has that name."""
    if PurePath(name).name != picture.name:
        return []
    what = "has no annotation of its own: another picture has the same name but for the suffix"
    return [Fault("annotation_missing", picture, what)]


def visible(folder: Path, pattern: str) -> list[Path]:
    """The files right in `folder` whose name fits, sorted, without the hidden ones that macOS leaves behind."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and path.is_file())


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text that are not blank, stripped, each with its number. Raises FrostlineError."""
    try:
        text = read_file(path, _MOST_TEXT).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FrostlineError(f"{path} cannot be read as text ({error}): save it as UTF-8.") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def split_named(name: str) -> str | None:
    """The one split that a name tells of, such as train in `instances_train2017`; None for `trainval` and the like."""
    found = {_SPLITS[word] for word in re.findall("[a-z]+", name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def split_folder(name: str) -> str | None:
    """The split whose name a folder has as a whole, so that `freight_train` is none."""
    return _SPLITS.get(name.lower())


def boxes_of(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """(n, 4) float32; what is too large becomes infinite, which the check tells."""
    with np.errstate(over="ignore"):
        return np.array(rows, np.float32).reshape(-1, 4)


def fetched(name: str, root: str | Path) -> str:
    """How to get one of torchvision's datasets, as the end of a sentence."""
    call = f"torchvision.datasets.{name}({str(root)!r}, download=True)"
    return f'or fetch it with `python -c "import torchvision; {call}"`.'
