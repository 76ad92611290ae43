"""What several sources do with files: paths that stay inside the root, lists, names of splits, sizes."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import numpy as np

from frostline.errors import FrostlineError
from frostline.pictures.reading import read_file
from frostline.scenes.faults import Fault

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
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


def picture_files(folder: Path) -> list[Path]:
    """Every picture file below a folder, however deep, by suffix, sorted; hidden files and folders are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


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


def boxes_of(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """(n, 4) float32; what is too large becomes infinite, which the check tells."""
    with np.errstate(over="ignore"):
        return np.array(rows, np.float32).reshape(-1, 4)


def fetched(name: str, root: str | Path) -> str:
    """How to get one of torchvision's datasets, as the end of a sentence."""
    call = f"torchvision.datasets.{name}({str(root)!r}, download=True)"
    return f'or fetch it with `python -c "import torchvision; {call}"`.'
