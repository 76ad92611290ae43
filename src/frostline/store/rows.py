"""Arrays on disk: an entry has a row per scene of a split, filled partly or wholly, by any run.

So activations are kept, and decoded pictures.

<root>/<hash of format, key and rows>/
- meta.json: format, key, rows, and the form of a row: shape, dtype, layout. Comes with the first write
- rows.bin: the rows' bytes, one row after another; sparse while rows are absent, and where rows are ragged
- sums.bin: one CRC per row (uint32, little endian), written after the row; 0: absent
- used, held, filling: see `room`
"""

import fcntl
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from frostline.files import write_whole
from frostline.store.form import LENGTH, Bytes, Form
from frostline.store.room import (
    BLOCK,
    FILLING,
    CacheError,
    Room,
    alone,
    blocks,
    disk_errors,
    locked,
    on_disk,
    release,
    taken,
    touch,
    used,
)

FORMAT = 1
META, ROWS, SUMS = "meta.json", "rows.bin", "sums.bin"
MARGIN = 4 * BLOCK  # for meta.json, the file `filling`, and what a file system notes about where sparse files lie
RESIDENT = 256 << 20  # bytes of mapped pages that a process keeps for itself; the system has them all the same

Rows: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Usage:
    """One entry. size: bytes on disk; present: rows written, of `rows`; held: a process has it open.

    Where nothing was written yet, or nothing readable, the key is empty and the rows are 0.
    """

    key: Mapping[str, Any]
    size: int
    present: int
    rows: int
    used: datetime
    held: bool


class Store(Room):
    """A folder of entries that together take at most `limit` bytes on disk; the least recently used make room."""

    def open(self, key: Mapping[str, Any], rows: int) -> "Entry":
        """The entry of this key, made where there is none; nobody evicts it before it is closed.

        key: all that decides the content, in terms of JSON. Raises CacheError where the entry cannot be made.
        """
        folder = self.root / _name(key, rows)
        while True:
            with disk_errors("make", folder):
                folder.mkdir(parents=True, exist_ok=True)
            held = None
            try:
                held = locked(folder, fcntl.LOCK_SH)
            except FileNotFoundError:  # evicted meanwhile
                continue
            except OSError:  # a read-only store, or a file system without locks: reading works all the same
                pass
            return Entry(self, folder, key, rows, held)

    def usage(self) -> list[Usage]:
        """Every entry, the least recently used first."""
        found = []
        for folder in self.folders():
            meta = _read_meta(folder)
            sums = _read_sums(folder, meta.get("rows", 0))
            present, last = int(np.count_nonzero(sums)), datetime.fromtimestamp(used(folder), UTC)
            with alone(folder) as free:
                found.append(Usage(meta.get("key", {}), taken(folder), present, len(sums), last, not free))
        return found

    def clear(self) -> tuple[int, int]:
        """Remove all entries but those that a process holds; gives their number and the bytes freed."""
        self.sweep()
        freed = []
        for folder in self.folders():
            with alone(folder) as free:
                if free:
                    freed.append(taken(folder))
                    self.discard(folder)
        return len(freed), sum(freed)


class Entry:
    """One array of rows; `Store.open` makes it.

    rows: how many; present: (rows,) bool, those that are there and whole; folder: where they lie.
    """

    def __init__(self, room: Room, folder: Path, key: Mapping[str, Any], rows: int, held: int | None) -> None:
        self.rows = rows
        self.present: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
        self.folder = folder
        self._room, self._key, self._held = room, key, held
        self._form: Form | None = None
        self._map: Bytes | None = None  # (whole rows in the file, bytes of a row)
        self._pages: mmap.mmap | None = None  # where these bytes lie
        self._touched = 0  # bytes read since pages were let go
        self._seen: object = None  # the file that `present` was learnt from
        self._files: list[int] = []  # inside `filling`, from the first write: rows.bin and sums.bin
        self._granted: int | None = None  # inside `filling`: bytes that the folder may take on disk
        touch(folder)
        self._load()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Be the one who writes. Waits while another process fills, and then finds in `present` what that one wrote.

        Raises CacheError where the store cannot be written.
        """
        with ExitStack() as stack:
            with disk_errors("fill", self.folder):
                lock = os.open(self.folder / FILLING, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(release, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.ftruncate(lock, 0)  # what had been granted to a killed process
            stack.callback(self._end_filling)
            self._load()
            self._granted = 0
            yield

    def room(self) -> int:
        """Bytes on disk that it may grow by, if all that nobody has open made way."""
        return self._room.most(self.folder) - taken(self.folder)

    def write(self, rows: Rows, values: torch.Tensor, ragged: bool = False) -> None:
        """Store values (n, *shape) as these n rows, inside `filling`. Rows that are present stay as they are.

        ragged: values are bytes (n, width), of each row as many as it tells itself, see `Form`. The first write decides
        shape, dtype and layout. Raises CacheError where there is no room, the disk refuses, or rows of another shape or
        dtype are present.
        """
        assert self._granted is not None, "write inside filling()"
        rows = np.asarray(rows, np.int64)
        absent = np.flatnonzero(~self.present[rows])
        if not len(absent):
            return
        given = Form.of(values, ragged)
        form = self._form or given
        if (form.shape, form.dtype) != (given.shape, given.dtype):
            raise CacheError(
                f"{self.folder} holds rows of {form}, and {given} came for the same key: run `frostline cache clear`."
            )
        packed = form.pack(values)
        with disk_errors("write to", self.folder):
            if self._form is None:
                self._empty()
            self._make_room(form, rows[absent], packed[absent])
            if not self._files:
                self._open_files(form)
            for i in absent.tolist():
                row = int(rows[i])
                _write_all(self._files[0], form.counted(packed[i]).data, row * form.row_bytes)
                _write_all(self._files[1], memoryview(form.sum_of(packed[i]).to_bytes(4, "little")), row * 4)
                self.present[row] = True

    def read(self, rows: Rows) -> torch.Tensor:
        """These rows (n, *shape) in memory of their own, as they were written: bits, dtype and layout.

        Raises CacheError where one is absent.
        """
        rows = np.asarray(rows, np.intp)
        if self._form is None or self._map is None or not self.present[rows].all():
            raise CacheError(f"{self.folder} lacks rows that are asked for: fill them first.")
        taken = self._map.take(rows, axis=0)
        self._touch_pages(taken.nbytes)
        return self._form.unpack(taken)

    def read_ragged(self, row: int) -> Bytes:
        """What one ragged row holds behind its length, mapped. Raises CacheError where it is absent."""
        if self._form is None or self._map is None or not self.present[row]:
            raise CacheError(f"{self.folder} lacks a row that is asked for: fill it first.")
        held = self._form.counted(self._map[row])[LENGTH:]
        self._touch_pages(held.nbytes)
        return held

    def _touch_pages(self, count: int) -> None:
        """Let mapped pages go from time to time: read again, they come from the system's memory, not from the disk."""
        self._touched += count
        if self._touched > RESIDENT and self._pages is not None:
            self._pages.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def close(self) -> None:
        """Let go of the entry; from now on it can be evicted."""
        self._map = self._pages = None
        touch(self.folder)
        if self._held is not None:
            release(self._held)
            self._held = None
        if self._form is None:  # it was only looked at
            with suppress(CacheError), alone(self.folder) as free:
                if free and not (self.folder / META).exists():
                    self._room.discard(self.folder)

    def look_again(self) -> None:
        """Find what others have written since."""
        self._load()

    def _load(self) -> None:
        """Learn what is there. Rows that were not known before are checked against their sums."""
        form, found, seen = Form.from_meta(_read_meta(self.folder)), None, None
        self._pages = None
        if form is not None:
            with suppress(OSError, ValueError):  # where the file is missing, so are the rows
                found, seen = self._mapped(form)
        sums = _read_sums(self.folder, self.rows)
        sums[0 if found is None else len(found) :] = 0
        present = sums != 0
        unknown = present & ~self.present if seen == self._seen else present
        if form is not None and found is not None:
            for row in np.flatnonzero(unknown).tolist():
                present[row] = form.sum_of(found[row]) == sums[row]
                self._touch_pages(form.row_bytes)
        # Where no row is whole, the next write starts afresh.
        self._form, self._map, self._seen, self.present = form if present.any() else None, found, seen, present

    def _mapped(self, form: Form) -> tuple[Bytes, object]:
        """The rows that lie wholly within the file, read-only; and what tells this file from others."""
        with open(self.folder / ROWS, "rb") as file:
            status = os.fstat(file.fileno())
            seen = (form, status.st_dev, status.st_ino)
            whole = min(self.rows, status.st_size // form.row_bytes) if form.row_bytes else self.rows
            if not whole * form.row_bytes:  # no map can be empty
                return np.zeros((whole, form.row_bytes), np.uint8), seen
            # Not np.memmap, which spends microseconds on every view.
            self._pages = mmap.mmap(file.fileno(), whole * form.row_bytes, access=mmap.ACCESS_READ)
            return np.frombuffer(self._pages, np.uint8).reshape(whole, form.row_bytes), seen

    def _make_room(self, form: Form, rows: npt.NDArray[np.integer[Any]], packed: Bytes) -> None:
        needed = blocks(rows, 4) + MARGIN
        if form.ragged:
            needed += sum(on_disk(len(form.counted(row))) for row in packed)
        else:
            needed += blocks(rows, form.row_bytes)
        if self._granted is None or taken(self.folder) + needed > self._granted:
            absent = np.flatnonzero(~self.present)
            rest = blocks(absent, form.row_bytes) + blocks(absent, 4) + 2 * MARGIN
            self._granted = self._room.reserve(self.folder, needed, rest)

    def _empty(self) -> None:
        for name in (META, ROWS, SUMS):  # removed, not cut: who maps a file and reads beyond its end is killed
            (self.folder / name).unlink(missing_ok=True)

    def _open_files(self, form: Form) -> None:
        """Open rows.bin and sums.bin for writing, at their full, sparse, lengths; a new entry gets its meta.json."""
        try:
            for name, length in ((ROWS, self.rows * form.row_bytes), (SUMS, self.rows * 4)):
                self._files.append(os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666))
                if os.fstat(self._files[-1]).st_size < length:
                    os.ftruncate(self._files[-1], length)
            if self._form is None:
                meta = {"format": FORMAT, "key": self._key, "rows": self.rows} | form.as_meta()
                write_whole(self.folder / META, json.dumps(meta))
            self._map, self._seen = self._mapped(form)
        except OSError:
            self._close_files()
            raise
        self._form = form

    def _close_files(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def _end_filling(self) -> None:
        self._granted = None
        self._close_files()


def _name(key: Mapping[str, Any], rows: int) -> str:
    return sha256(json.dumps([FORMAT, key, rows], sort_keys=True).encode()).hexdigest()[:32]


def _read_meta(folder: Path) -> dict[str, Any]:
    """What meta.json says; nothing where it is missing, damaged, of another format or another entry's."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        meta: dict[str, Any] = json.loads((folder / META).read_bytes())
        if meta["format"] == FORMAT and _name(meta["key"], meta["rows"]) == folder.name:
            return meta
    return {}


def _read_sums(folder: Path, rows: int) -> npt.NDArray[np.uint32]:
    """(rows,) sums; 0 where the file ends before, or cannot be read."""
    sums = np.zeros(rows, np.uint32)
    with suppress(OSError):
        raw = (folder / SUMS).read_bytes()
        whole = min(rows, len(raw) // 4)
        sums[:whole] = np.frombuffer(raw, "<u4", whole)
    return sums


def _write_all(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
