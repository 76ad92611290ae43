"""Columns in one file that is mapped and never read whole: a million rows are opened as fast as ten.

A column has one value of a fixed form in every row, or (`ragged`) as many as the row happens to have; a text is a
ragged column of bytes. Where each column lies in the file is told by its writer, and kept elsewhere, with a checksum: a
file that was cut off is not taken for a short one.
"""

import mmap
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from frostline.errors import FrostlineError

ALIGNED = 64  # bytes: where columns begin
AT_ONCE = 2048  # rows written together
LET_GO = 16  # rows read, after which a process gives the mapped pages back: they stay in the system's cache
_OFFSETS = np.dtype("<i8")


@dataclass(frozen=True)
class Form:
    """What a column holds in a row: a value of `dtype` and `shape`, or, where it is ragged, any number of them."""

    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = False

    def size(self) -> int:
        """Bytes of one value."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=int))


TEXT = Form("u1", ragged=True)


@dataclass(frozen=True)
class Table:
    """What is known of a file of columns: rows, bytes, its sha256, and each part's place, (first byte, bytes)."""

    rows: int
    size: int
    sha256: str
    places: Mapping[str, tuple[int, int]]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "places": {name: list(place) for name, place in self.places.items()}}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for what `as_json` did not give."""
        places = {name: (int(first), int(size)) for name, (first, size) in known["places"].items()}
        return cls(int(known["rows"]), int(known["size"]), str(known["sha256"]), places)


class Writer:
    """Takes rows one by one, and writes the file in the end; meanwhile each column grows in a file of its own.

    So memory holds a few thousand rows, however many there are.
    """

    def __init__(self, path: Path, forms: Mapping[str, Form]) -> None:
        self._path, self._forms, self._aside = path, forms, path.with_name(f"{path.name}.parts")
        self._sizes = {name: form.size() for name, form in forms.items()}
        self._pending: dict[str, list[Any]] = {name: [] for name in forms}
        self._ends: dict[str, list[int]] = {name: [] for name, form in forms.items() if form.ragged}
        self._total = dict.fromkeys(self._ends, 0)
        self._rows = 0
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        for name in self._ends:
            (self._aside / f"{name}.ends").write_bytes(np.zeros(1, _OFFSETS).tobytes())

    def add(self, row: Mapping[str, Any]) -> None:
        """A row with a value for each column: a text, bytes, or what NumPy takes for its form."""
        for name, form in self._forms.items():
            value = row[name]
            if form.ragged:
                if isinstance(value, str):
                    value = value.encode("utf-8", "surrogatepass")
                elif not isinstance(value, bytes):
                    value = np.asarray(value, form.dtype).tobytes()
                self._total[name] += len(value) // self._sizes[name]
                self._ends[name].append(self._total[name])
            self._pending[name].append(value)
        self._rows += 1
        if self._rows % AT_ONCE == 0:
            self._flush()

    def _flush(self) -> None:
        for name, pending in self._pending.items():
            with (self._aside / name).open("ab") as file:
                form = self._forms[name]
                file.write(b"".join(pending) if form.ragged else np.array(pending, form.dtype).tobytes())
            pending.clear()
        for name, ends in self._ends.items():
            with (self._aside / f"{name}.ends").open("ab") as file:
                file.write(np.array(ends, _OFFSETS).tobytes())
            ends.clear()

    def close(self) -> Table:
        """Write the file."""
        self._flush()
        places: dict[str, tuple[int, int]] = {}
        digest, at = sha256(), 0
        with self._path.open("wb") as file:

            def write(content: bytes) -> None:
                nonlocal at
                file.write(content)
                digest.update(content)
                at += len(content)

            for name in [*self._forms, *(f"{name}.ends" for name in self._ends)]:
                write(b"\0" * (-at % ALIGNED))
                first = at
                with (self._aside / name).open("rb") as part:
                    while content := part.read(1 << 20):
                        write(content)
                places[name] = (first, at - first)
        shutil.rmtree(self._aside)
        return Table(self._rows, at, digest.hexdigest(), places)


@dataclass(eq=False)
class Columns:
    """A file of columns, opened by its path, in each process anew. Raises FrostlineError where it is not whole."""

    path: Path
    table: Table
    forms: Mapping[str, Form]
    _arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    _map: mmap.mmap | None = field(default=None, repr=False)
    _read: int = 0

    def __post_init__(self) -> None:
        places, rows = self.table.places, self.table.rows
        if not self.path.is_file() or self.path.stat().st_size != self.table.size:
            raise FrostlineError(f"{self.path} is not as it was written: prepare the dataset anew.")
        for name, form in self.forms.items():
            values = places.get(name, (0, -1))[1]
            ends = places.get(f"{name}.ends", (0, -1))[1] if form.ragged else (rows + 1) * _OFFSETS.itemsize
            fits = values % form.size() == 0 if form.ragged else values == rows * form.size()
            if not fits or ends != (rows + 1) * _OFFSETS.itemsize:
                raise FrostlineError(f"{self.path} has no column '{name}': prepare the dataset anew.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}, "_map": None}  # a mapped array would be pickled with all its content

    def __getitem__(self, name: str) -> np.ndarray:
        """All values of a column, (rows or values, *shape), mapped and read-only."""
        if name not in self._arrays:
            form = self.forms[name]
            self._arrays[name] = self._array(name, form.dtype).reshape(-1, *form.shape)
        return self._arrays[name]

    def ends(self, name: str) -> np.ndarray:
        """Of a ragged column, (rows + 1,): row i has the values from ends[i] to ends[i + 1]."""
        key = f"{name}.ends"
        if key not in self._arrays:
            self._arrays[key] = self._array(key, _OFFSETS.str)
        return self._arrays[key]

    def ragged(self, name: str, row: int) -> np.ndarray:
        """The values of one row of a ragged column."""
        ends = self.ends(name)
        return self[name][ends[row] : ends[row + 1]]

    def text(self, name: str, row: int) -> str:
        return self.ragged(name, row).tobytes().decode("utf-8", "surrogatepass")

    def was_read(self) -> None:
        """Told after each row: now and then the pages are given back, so that a process stays small."""
        self._read += 1
        if self._read % LET_GO == 0 and self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)

    def _array(self, part: str, dtype: str) -> np.ndarray:
        first, size = self.table.places[part]
        if size == 0:
            return np.zeros(0, dtype)
        if self._map is None:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype, size // np.dtype(dtype).itemsize, first)
