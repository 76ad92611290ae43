"""Where the annotations of a tool lie: one file, or every file of its kind below a folder."""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.parsing.files import files_below, inside, is_file
from frostline.parsing.lookup import head_of
from frostline.pictures.reading import read_file

_MOST = 1 << 28  # bytes of annotations; an element in memory is many times larger than its text
_ANNOTATIONS = "annotations"  # a folder beside that of the pictures
_ZIP = b"PK\x03\x04"
_FEW = 20  # files that are looked into to see what a folder holds
_FOLDERS = 2000  # that are looked through for it


def chosen(
    root: str | Path,
    annotations: str | None,
    meant: str,
    find: Callable[[Path], list[Path]],
    key: str = "annotations",
) -> tuple[Path, list[Path]]:
    """The folder that a source reads, and the files of annotations in it: `root` itself where it is one (in its folder,
    or in the one above where that is called annotations, as pictures lie beside it then), what `annotations`
    where that names one, or those that are found. key: the setting that is `annotations` here.

    Raises FrostlineError where there are none, or they lie outside the root.
    """
    path = Path(root).expanduser()
    if is_file(path):
        if head_of(path).startswith(_ZIP):
            raise FrostlineError(f"{path} is a ZIP archive: unpack it, and point dataset.root at the folder.")
        beside = path.absolute().parent
        return beside.parent if beside.name.lower() == _ANNOTATIONS else path.parent, [path]
    if not os.path.isdir(path):
        what = "is neither a folder nor a file" if os.path.exists(path) else "is not there"
        raise FrostlineError(f"{path} {what}: point dataset.root at a folder that holds {meant}, or at its file.")
    if annotations:
        file = inside(path, annotations)
        if file is None:
            raise FrostlineError(
                f"dataset.source.{key} is '{annotations}', which lies outside {path}: name a file in it."
            )
        return path, [file]
    files = find(path)
    if not files:
        raise FrostlineError(
            f"{path} holds no file of {meant}: point dataset.root at one, or set dataset.source.{key} to its name."
        )
    return path, files


def content_of(path: Path) -> bytes:
    """A file of annotations. Raises FrostlineError where it cannot be read."""
    try:
        return read_file(path, _MOST)
    except OSError as error:
        raise FrostlineError(
            f"{path} cannot be read ({error.strerror}): set dataset.source.annotations to what the tool wrote."
        ) from error


def below(root: Path, *patterns: str) -> list[Path]:
    """The files at any depth whose name fits in small letters, sorted, without what is hidden."""
    return [path for path in files_below(root) if _fits(path.name, patterns)]


def few_below(root: Path, *patterns: str) -> list[Path]:
    """As `below`, but the first few, of the folders nearest to the root; `root` itself where it is such a file."""
    if is_file(root):
        return [root] if _fits(root.name, patterns) else []
    found: list[Path] = []
    for folder, path in _walk(root, patterns):
        if folder >= _FOLDERS or len(found) >= _FEW:
            break
        found.append(path)
    return found


def told(files: list[Path]) -> str:
    """The name of one file, or how many there are."""
    few = f"{_FEW} files or more" if len(files) >= _FEW else f"{len(files)} files"
    return files[0].name if len(files) == 1 else few


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return not name.startswith(".") and any(fnmatch(name.lower(), pattern) for pattern in patterns)


def _walk(root: Path, patterns: tuple[str, ...]) -> Iterator[tuple[int, Path]]:
    """The number of each file's folder, and the file. Links are followed, a folder that they lead back to once."""
    seen = set()
    for number, (folder, folders, names) in enumerate(os.walk(root, followlinks=True)):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if _fits(name, patterns) and is_file(path := Path(folder, name)):
                yield number, path
