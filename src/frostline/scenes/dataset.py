"""A prepared dataset: what `prepare` wrote and everything else reads."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from frostline.errors import FrostlineError
from frostline.files import let_go
from frostline.scenes.layout import read_info, read_scenes
from frostline.scenes.scene import SPLITS, Classes, Scene


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset; make one with `Dataset.open`.

    info: the content of dataset.json.
    """

    path: Path
    info: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Open a prepared dataset. Raises FrostlineError where there is none, one of another format or half of one."""
        path = Path(path)
        info = read_info(path)
        # Listing each folder once is far cheaper than asking for every file.
        present = {f"{folder}/{file.name}" for folder in ("images", "masks") for file in (path / folder).glob("*")}
        present |= {file.name for file in path.glob("*.json")}
        if missing := sorted(set(info["files"]) - present):
            raise FrostlineError(
                f"{path} lacks {len(missing)} of its files, {missing[0]} first: prepare the dataset anew."
            )
        return cls(path, info)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, `prepare` does not replace it. Raises FrostlineError as `check_same`."""
        with _locked(self.path, fcntl.LOCK_SH):
            self.check_same()
            yield

    def check_same(self) -> None:
        """Raises FrostlineError where another state of it has been prepared since it was opened."""
        if read_info(self.path)["data_hash"] != self.data_hash:
            raise FrostlineError(
                f"{self.path} has been prepared anew meanwhile: start again, and its new state is read."
            )

    @property
    def name(self) -> str:
        return str(self.info["name"])

    @property
    def data_hash(self) -> str:
        """One sha256 over the contents: equal wherever and whenever the same scenes were prepared and split alike."""
        return str(self.info["data_hash"])

    @cached_property
    def classes(self) -> Classes:
        names = self.info["classes"]
        return Classes(**{kind: tuple(names[kind]) if names[kind] is not None else None for kind in names})

    def scenes(self, split: str) -> list[Scene]:
        """The scenes of one of SPLITS in the order of their ids, with pictures and masks as paths."""
        return list(self._scenes[split])

    @cached_property
    def _scenes(self) -> dict[str, tuple[Scene, ...]]:
        return {split: tuple(read_scenes(self.path, split, self.classes)) for split in SPLITS}


@contextmanager
def unread(path: Path) -> Iterator[None]:
    """Within, nobody begins to read the dataset there. Raises FrostlineError where somebody does already."""
    with ExitStack() as stack:
        if path.exists():
            try:
                stack.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                raise FrostlineError(
                    f"{path} is to be replaced, and a run is reading it: wait until that has ended, or give the new "
                    "state another dataset.name."
                ) from None
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """The folder itself, as a lock. Raises BlockingIOError where others have it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, how)
        except OSError as error:  # some file systems have no locks: nobody is heeded there
            if isinstance(error, BlockingIOError):
                raise
        yield
    finally:
        let_go(handle)
        os.close(handle)
