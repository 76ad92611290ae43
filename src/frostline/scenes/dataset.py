"""A prepared dataset: what `prepare` wrote and everything else reads."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from frostline.errors import FrostlineError
from frostline.files import let_go
from frostline.scenes.columns import Columns, Table
from frostline.scenes.layout import COLUMNS, FAULTS, INFO, read_info
from frostline.scenes.listing import Scenes, open_columns
from frostline.scenes.scene import SPLITS, Classes


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset; make one with `Dataset.open`.

    info: the content of dataset.json. columns: every scene as a row, in the order of SPLITS. copy: the folder that its
    pictures and masks are read from, where that is not its own.
    """

    path: Path
    info: dict[str, Any] = field(repr=False)
    columns: Columns = field(repr=False)
    copy: Path | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Open a prepared dataset: what it costs does not grow with the number of its scenes.

        A picture or mask that is missing is told where it is read, and by `frostline doctor`.
        Raises FrostlineError where there is none, one of another format, or one whose lists are not whole.
        """
        path = Path(path)
        info = read_info(path)
        lists = [COLUMNS, FAULTS, *(f"{split}.json" for split in SPLITS)]
        if missing := [name for name in lists if not (path / name).is_file()]:
            raise FrostlineError(f"{path} lacks its file {missing[0]}: prepare the dataset anew.")
        try:
            table = Table.from_json(info["columns"])
            counts = [int(info["counts"][split]["scenes"]) for split in SPLITS]
            if sum(counts) != table.rows:
                raise ValueError(f"it counts {sum(counts)} scenes, and has {table.rows}")
        except (KeyError, TypeError, ValueError) as error:
            raise FrostlineError(f"{path / INFO} is damaged ({error}): prepare the dataset anew.") from error
        return cls(path, info, open_columns(path / COLUMNS, table))

    def read_from(self, copy: Path) -> Self:
        """The same dataset, of which columns, pictures and masks are read from a copy, and all else as before."""
        return replace(self, columns=open_columns(copy / COLUMNS, self.columns.table), copy=copy)

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

    def files(self) -> Iterator[tuple[str, str]]:
        """All files but dataset.json, as from its folder, each with its sha256 as it was prepared."""
        yield from self.info["files"].items()
        for split in SPLITS:
            scenes = self.scenes(split)
            for index in range(len(scenes)):
                yield from scenes.files(index).items()

    def scenes(self, split: str) -> Scenes:
        """The scenes of one of SPLITS in the order of their ids, with pictures and masks as paths; none is read yet."""
        first = 0
        for name in SPLITS[: SPLITS.index(split)]:
            first += self.info["counts"][name]["scenes"]
        rows = range(first, first + self.info["counts"][split]["scenes"])
        return Scenes(self.copy or self.path, split, self.columns, rows, self.classes)


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
    """Its dataset.json, as a lock. Raises BlockingIOError where others have it.

    Not the folder itself: network file systems that lock a file for all nodes lock a folder for one.
    """
    with ExitStack() as stack:
        try:
            handle = _opened(folder / INFO, how)
            stack.callback(os.close, handle)
            stack.callback(let_go, handle)
            fcntl.flock(handle, how)
        except BlockingIOError:
            raise
        except OSError:  # some file systems have no locks: nobody is heeded there; nor is what is not there at all
            pass
        yield


def _opened(file: Path, how: int) -> int:
    """A descriptor. Over NFS, a lock that keeps others out is one of a file that is open for writing."""
    if how & fcntl.LOCK_EX:
        with suppress(PermissionError):
            return os.open(file, os.O_RDWR)
    return os.open(file, os.O_RDONLY)
