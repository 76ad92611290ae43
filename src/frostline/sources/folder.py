"""One folder per class: the label of a picture is the name of the folder it lies in."""

from collections.abc import Iterator
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.parsing.files import (
    existing,
    files_below,
    passed_over,
    picture_files,
    split_folder,
    visible,
    visible_name,
)
from frostline.pictures.reading import PICTURE_SUFFIXES
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources.base import Source

_SHOWN = 3  # names of classes in a line


class Folder(Source):
    """`root/<class>/**/<picture>`; the sorted names of the folders are the classes.

    Where all folders of `root` are called train, val (or valid, validation) or test, these hold the folders of the
    classes, and tell the split. Links are followed, files and folders.

    Raises FrostlineError where `root` is missing or has no folders.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = existing(root, "one that holds a folder per class")
        self._splits = _splits(self.root)
        names = sorted({folder.name for top in self._splits for folder in _folders(top)})
        if not names:
            raise FrostlineError(
                f"{' and '.join(map(str, self._splits))} holds no folders: put the pictures of each class into its own "
                "folder."
            )
        self.classes = Classes(labels=tuple(names))
        self.notes: list[str] = []

    def scenes(self) -> Iterator[Scene]:
        files = [
            (split, label, path)
            for top, split in self._splits.items()
            for label, name in enumerate(self.classes.labels or ())
            for path in files_below(top / name)
        ]
        told = passed_over(path for *_, path in files)
        loose = [path for top in self._splits for path in visible(top, "*") if path.suffix.lower() in PICTURE_SUFFIXES]
        self.notes = [told] if told else []
        if loose:
            self.notes.append(f"{len(loose)} pictures lie in no class's folder and are passed over: {loose[0]} first")
        found = [each for each in files if each[2].suffix.lower() in PICTURE_SUFFIXES]
        ids = scene_ids(path.relative_to(self.root) for *_, path in found)
        for scene_id, (split, label, path) in zip(ids, found, strict=True):
            yield Scene(id=scene_id, image=path, label=label, split=split)


def fits(root: Path) -> str | None:
    """What lies there as this layout; None where nothing does: one folder of pictures alone is no class."""
    if not root.is_dir():
        return None
    tops = _splits(root)
    names = sorted({folder.name for top in tops for folder in _folders(top) if _has_picture(folder)})
    if len(names) < 2:
        return None
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    splits = [top.name for top, split in tops.items() if split]
    return f"folders of {len(names)} classes ({shown})" + (f" under {'/'.join(splits)}" if splits else "")


def _has_picture(folder: Path) -> bool:
    """Without looking at all of them, where one lies right in it."""
    return any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir()) or bool(picture_files(folder))


def _splits(root: Path) -> dict[Path, str | None]:
    """The folders that hold those of the classes, each with its split."""
    top = _folders(root)
    if top and all(split_folder(folder.name) for folder in top):
        return {folder: split_folder(folder.name) for folder in top}
    return {root: None}


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if visible_name(path.name) and path.is_dir())
