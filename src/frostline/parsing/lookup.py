"""Where annotations and pictures lie: below folders, through links, under names that an upload or a system changed."""

import os
import re
from pathlib import Path, PurePath

from frostline.parsing.files import PICTURE_SUFFIXES, existing, is_file, split_named

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts eight signs before the name of what is uploaded


def root_of(root: str | Path, meant: str, annotations: str) -> tuple[Path, Path | None]:
    """The folder that a source reads, and the file where `root` is one that tells all annotations.

    The folder is the file's own, or the one above where that is called `annotations`, as pictures lie beside it then.
    Raises FrostlineError as `existing`.
    """
    path = Path(root).expanduser()
    if not is_file(path):
        return existing(path, meant), None
    folder = path.absolute().parent
    return folder.parent if folder.name.lower() == annotations else folder, path.absolute()


def folder_called(folder: Path, name: str) -> Path | None:
    """The folder of a name right in another, whatever the case of its letters; the exact one first."""
    if (exact := folder / name).is_dir():
        return exact
    try:
        alike = sorted(entry for entry in os.listdir(folder) if entry.lower() == name.lower())
    except OSError:
        return None
    return next((path for entry in alike if (path := folder / entry).is_dir()), None)


def head_of(path: Path, count: int = 4096) -> bytes:
    """The first bytes of a regular file; nothing where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except (OSError, ValueError):
        return b""


def plain_stem(name: str) -> str:
    """The bare name in a path, in small letters, without its suffix and the signs that an upload puts before it."""
    base = name.replace("\\", "/").rpartition("/")[2]
    stem = PurePath(base).stem if PurePath(base).suffix.lower() in PICTURE_SUFFIXES else base
    return _UPLOADED.sub("", stem).lower()


def same_but_upload(name: str, other: str) -> bool:
    """Whether names that have one `plain_stem` are of one picture: not of two uploads, with other signs before each."""
    signs = [found[0] for each in (name, other) if (found := _UPLOADED.match(PurePath(each).name))]
    return len(signs) < 2 or signs[0] == signs[1]


def split_of_folders(path: PurePath) -> str | None:
    """The split that a folder of a relative path is called after, the nearest first: it is train, val or test."""
    return next((split for part in path.parts[-2::-1] if part.isalpha() and (split := split_named(part))), None)
