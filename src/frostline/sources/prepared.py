"""A prepared dataset as a source: for checking it again, or for preparing it anew in another way."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from frostline.parsing.files import existing
from frostline.scenes.dataset import Dataset
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, Scene
from frostline.sources.base import Source

_HELD = {
    "reference": "its pictures are not in its folder: they are read where they lie",
    "encoded": "its pictures are stored with at most {} px on the shorter side; boxes, masks and sizes are their own",
}


class Prepared(Source):
    """Scenes of a prepared dataset with the splits that they are in; files that are not what was written are faults.

    Raises FrostlineError where `root` holds no prepared dataset, or one that lacks files.
    """

    def __init__(self, root: str | Path) -> None:
        self.dataset = Dataset.open(existing(root, "a prepared dataset"))
        self.classes = self.dataset.classes
        self.derived = dict(self.dataset.info["derived"])
        if (store := self.dataset.info.get("store")) is not None:
            self.notes = [_HELD[store].format(self.dataset.info.get("side"))]

    def scenes(self) -> Iterator[Scene]:
        for split in SPLITS:
            scenes = self.dataset.scenes(split)
            for index, scene in enumerate(scenes):
                changed = [self._changed(self.dataset.path / name, was) for name, was in scenes.files(index).items()]
                yield replace(scene, scaled=True, faults=tuple(fault for fault in changed if fault is not None))

    def _changed(self, path: Path, digest: str) -> Fault | None:
        if path.is_file() and sha256(path.read_bytes()).hexdigest() != digest:
            return Fault("file_changed", path, "is not what was prepared")
        return None
