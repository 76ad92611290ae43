"""What several sources do with files: paths that stay inside the root, lists, names of splits, sizes."""

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from frostline.data.sources.folder import picture_files
from frostline.errors import FrostlineError

_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


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


def by_name(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Files by their path relative to `folder` without the suffix, sorted.

    Raises FrostlineError where two files differ in nothing but the suffix: nobody knows whose annotation it is then.
    """
    found: dict[str, Path] = {}
    for path in sorted(paths):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise FrostlineError(f"{path} and {found[name].name} share one name: rename one, or take it away.")
        found[name] = path
    return found


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Every picture below `folder`, as `by_name`."""
    return by_name(picture_files(folder), folder)


def visible(folder: Path, pattern: str) -> list[Path]:
    """The files right in `folder` whose name fits, sorted, without the hidden ones that macOS leaves behind."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and path.is_file())


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text that are not blank, stripped, each with its number. Raises FrostlineError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FrostlineError(f"{path} cannot be read as text ({error}): save it as UTF-8.") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def split_named(name: str) -> str | None:
    """The one split that a name tells of, such as train in `instances_train2017`; None for `trainval` and the like."""
    found = {_SPLITS[word] for word in re.findall("[a-z]+", name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def displayed_size(path: Path) -> tuple[int, int] | None:
    """Width and height with the EXIF rotation applied, from the file's header alone; None where it has none to read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decoded here
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    except Exception:  # readers raise OSError, SyntaxError, struct.error, ... on damaged files; the picture check tells
        return None
    return (height, width) if turned else (width, height)
