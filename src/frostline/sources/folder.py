"""One folder per class: the label of a picture is the name of the folder it lies in."""

from collections.abc import Iterator
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.scenes.scene import Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import existing, picture_files, split_named


class Folder(Source):
    """`root/<class>/**/<picture>`; the sorted names of the folders are the classes.

    Where all folders of `root` are named after splits (train, val or valid, test), these hold the folders of the
    classes, and tell the split.

    Raises FrostlineError where `root` is missing or has no folders.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = existing(root, "one that holds a folder per class")
        self._splits: dict[Path, str | None] = {self.root: None}
        top = _folders(self.root)
        if top and all(split_named(folder.name) for folder in top):
            self._splits = {folder: split_named(folder.name) for folder in top}
        names = sorted({folder.name for top in self._splits for folder in _folders(top)})
        if not names:
            raise FrostlineError(f"{self.root} holds no folders: put the pictures of each class into its own folder.")
        self.classes = Classes(labels=tuple(names))

    def scenes(self) -> Iterator[Scene]:
        found = [
            (split, label, path)
            for top, split in self._splits.items()
            for label, name in enumerate(self.classes.labels or ())
            for path in picture_files(top / name)
        ]
        ids = scene_ids(path.relative_to(self.root) for *_, path in found)
        for scene_id, (split, label, path) in zip(ids, found, strict=True):
            yield Scene(id=scene_id, image=path, label=label, split=split)


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
