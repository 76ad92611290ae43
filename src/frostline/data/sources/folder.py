"""One folder per class: the label of a picture is the name of the folder it lies in."""

from collections.abc import Iterator
from pathlib import Path

from frostline.data.scenes import Classes, Scene, scene_ids
from frostline.errors import FrostlineError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def picture_files(folder: Path) -> list[Path]:
    """Every picture file below a folder, however deep, by suffix, sorted; hidden files and folders are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


class Folder:
    """`root/<class>/**/<picture>`; the sorted names of the folders are the classes.

    Raises FrostlineError where `root` is missing or has no folders.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FrostlineError(f"{self.root} is no folder: point dataset.root at one that holds a folder per class.")
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not names:
            raise FrostlineError(f"{self.root} holds no folders: put the pictures of each class into its own folder.")
        self.classes = Classes(labels=tuple(names))

    def scenes(self) -> Iterator[Scene]:
        names = self.classes.labels or ()
        found = [(label, path) for label, name in enumerate(names) for path in picture_files(self.root / name)]
        ids = scene_ids(path.relative_to(self.root) for _, path in found)
        for scene_id, (label, path) in zip(ids, found, strict=True):
            yield Scene(id=scene_id, image=path, label=label)
