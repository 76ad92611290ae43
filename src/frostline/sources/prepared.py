"""A prepared dataset as a source: for checking it again, or for preparing it anew in another way."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from frostline.scenes.dataset import Dataset
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, Scene
from frostline.sources.base import Source
from frostline.sources.files import existing


class Prepared(Source):
    """Scenes of a prepared dataset with the splits that they are in; files that are not what was written are faults.

    Raises FrostlineError where `root` holds no prepared dataset, or one that lacks files.
    """

    def __init__(self, root: str | Path) -> None:
        self.dataset = Dataset.open(existing(root, "a prepared dataset"))
        self.classes = self.dataset.classes
        self.derived = dict(self.dataset.info["derived"])

    def scenes(self) -> Iterator[Scene]:
        for split in SPLITS:
            for scene in self.dataset.scenes(split):
                files = [path for path in (scene.image, scene.mask) if isinstance(path, Path)]
                yield replace(scene, faults=tuple(fault for path in files for fault in self._changed(path)))

    def _changed(self, path: Path) -> list[Fault]:
        name = path.relative_to(self.dataset.path).as_posix()
        if path.is_file() and sha256(path.read_bytes()).hexdigest() != self.dataset.info["files"][name]:
            return [Fault("file_changed", path, "is not what was prepared")]
        return []
