"""Arrays on disk: an entry has a row per scene of a split, filled partly or wholly, by any run.

So activations are kept, and decoded pictures.

<root>/<hash of format, key and rows>/
- meta.json: format, key, rows, and the form of a row: shape, dtype, layout. Comes with the first write
- rows.bin: the rows' bytes, one row after another; sparse while rows are absent
- sums.bin: one CRC per row (uint32, little endian), written after the row; 0: absent
- used: its time says when the entry was last opened or closed
- held, filling: locked (flock) by whoever has the entry open, and by the one who fills it; a lock ends with its process
<root>/.lock is locked while room is made, <root>/.trash-* are evicted entries on their way out.
"""

import fcntl
import json
import math
import mmap
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from frostline.errors import FrostlineError
from frostline.files import let_go

FORMAT = 1
META, ROWS, SUMS, USED, HELD, FILLING = "meta.json", "rows.bin", "sums.bin", "used", "held", "filling"
BLOCK = 4096  # bytes; what a file takes on disk comes in blocks
MARGIN = 4 * BLOCK  # for meta.json, the file `filling`, and what a file system notes about where sparse files lie
RESIDENT = 256 << 20  # bytes of mapped pages that a process keeps for itself; the system has them all the same
STEP = 64 << 20  # bytes granted ahead to a filling entry, so that the store is seldom scanned

Rows: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]
Bytes: TypeAlias = npt.NDArray[np.uint8]


class CacheError(FrostlineError):
    """The cache cannot be had: what, where, and what to do. Whoever meets it goes on without."""


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


class Store:
    """A folder of entries that together take at most `limit` bytes on disk; the least recently used make room."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._sweep()

    def open(self, key: Mapping[str, Any], rows: int) -> "Entry":
        """The entry of this key, made where there is none; nobody evicts it before it is closed.

        key: all that decides the content, in terms of JSON. Raises CacheError where the entry cannot be made.
        """
        folder = self.root / _name(key, rows)
        while True:
            with _told("make", folder):
                folder.mkdir(parents=True, exist_ok=True)
            held = None
            try:
                held = _locked(folder, fcntl.LOCK_SH)
            except FileNotFoundError:  # evicted meanwhile
                continue
            except OSError:  # a read-only store, or a file system without locks: reading works all the same
                pass
            return Entry(self, folder, key, rows, held)

    def usage(self) -> list[Usage]:
        """Every entry, the least recently used first."""
        found = []
        for folder in self._folders():
            meta = _read_meta(folder)
            sums = _read_sums(folder, meta.get("rows", 0))
            used = datetime.fromtimestamp(_used(folder), UTC)
            with _alone(folder) as alone:
                found.append(
                    Usage(meta.get("key", {}), _disk(folder), int(np.count_nonzero(sums)), len(sums), used, not alone)
                )
        return found

    def clear(self) -> tuple[int, int]:
        """Remove all entries but those that a process holds; gives their number and the bytes freed."""
        self._sweep()
        freed = []
        for folder in self._folders():
            with _alone(folder) as alone:
                if alone:
                    freed.append(_disk(folder))
                    self._discard(folder)
        return len(freed), sum(freed)

    def _reserve(self, folder: Path, needed: int, rest: int) -> int:
        """Let a filling entry grow by `needed` bytes, where room is left by up to `rest`; gives how large it may be.

        That number goes into its file `filling`, and counts for other processes as taken while the file is locked.
        """
        with _told("make room in", self.root), ExitStack() as locks:
            lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            locks.callback(_release, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            own = _disk(folder)
            costs = {other: _cost(other) for other in self._folders() if other != folder}
            room = self.limit - own - sum(costs.values())
            evicted = []
            for other, cost in costs.items():
                if room < needed and locks.enter_context(_alone(other)):
                    evicted.append(other)
                    room += cost
            if room < needed:  # nothing goes where that would not help
                raise CacheError(
                    f"The cache {self.root} has no room for {rest / 1e9:.3g} GB more within its limit of "
                    f"{self.limit / 1e9:.3g} GB, as what running jobs use stays: raise cache.size_gb, or run "
                    "`frostline cache clear` when they have ended."
                )
            for other in evicted:
                self._discard(other)
            granted = own + min(room, max(needed, min(rest, STEP)))
            (folder / FILLING).write_text(str(granted))
            return granted

    def _folders(self) -> list[Path]:
        """The entries' folders, the least recently used first. What else lies in the root is none of the store's."""
        return sorted((path for path in self.root.glob("?" * 32) if re.fullmatch("[0-9a-f]+", path.name)), key=_used)

    def _discard(self, folder: Path) -> None:
        """Remove an entry that this process has alone; after the rename nobody finds it half removed."""
        trash = self.root / f".trash-{uuid.uuid4().hex}"
        with _told("remove", folder):
            folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def _sweep(self) -> None:
        """Finish what killed processes left. What a living one is removing, two may remove."""
        for trash in self.root.glob(".trash-*"):
            shutil.rmtree(trash, ignore_errors=True)


class Entry:
    """One array of rows; `Store.open` makes it.

    rows: how many; present: (rows,) bool, those that are there and whole; folder: where they lie.
    """

    def __init__(self, store: Store, folder: Path, key: Mapping[str, Any], rows: int, held: int | None) -> None:
        self.rows = rows
        self.present: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
        self.folder = folder
        self._store, self._key, self._held = store, key, held
        self._form: _Form | None = None
        self._map: Bytes | None = None  # (whole rows in the file, bytes of a row)
        self._pages: mmap.mmap | None = None  # where these bytes lie
        self._touched = 0  # bytes read since pages were let go
        self._seen: object = None  # the file that `present` was learnt from
        self._files: list[int] = []  # inside `filling`, from the first write: rows.bin and sums.bin
        self._granted: int | None = None  # inside `filling`: bytes that the folder may take on disk
        _touch(folder)
        self._load()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Be the one who writes. Waits while another process fills, and then finds in `present` what that one wrote.

        Raises CacheError where the store cannot be written.
        """
        with ExitStack() as stack:
            with _told("fill", self.folder):
                lock = os.open(self.folder / FILLING, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(_release, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.ftruncate(lock, 0)  # what had been granted to a killed process
            stack.callback(self._end_filling)
            self._load()
            self._granted = 0
            yield

    def write(self, rows: Rows, values: torch.Tensor) -> None:
        """Store values (n, *shape) as these n rows, inside `filling`. Rows that are present stay as they are.

        The first write decides shape, dtype and layout. Raises CacheError where there is no room, the disk refuses, or
        rows of another shape or dtype are present.
        """
        assert self._granted is not None, "write inside filling()"
        rows = np.asarray(rows, np.int64)
        absent = np.flatnonzero(~self.present[rows])
        if not len(absent):
            return
        given = _Form.of(values)
        form = self._form or given
        if (form.shape, form.dtype) != (given.shape, given.dtype):
            raise CacheError(
                f"{self.folder} holds rows of {form}, and {given} came for the same key: run `frostline cache clear`."
            )
        packed = form.pack(values)
        with _told("write to", self.folder):
            if self._form is None:
                self._empty()
            self._make_room(form, rows[absent])
            if not self._files:
                self._open_files(form)
            for i in absent.tolist():
                row = int(rows[i])
                _write_all(self._files[0], packed[i].data, row * form.row_bytes)
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

    def _touch_pages(self, count: int) -> None:
        """Let mapped pages go from time to time: read again, they come from the system's memory, not from the disk."""
        self._touched += count
        if self._touched > RESIDENT and self._pages is not None:
            self._pages.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def close(self) -> None:
        """Let go of the entry; from now on it can be evicted."""
        self._map = self._pages = None
        _touch(self.folder)
        if self._held is not None:
            _release(self._held)
            self._held = None

    def _load(self) -> None:
        """Learn what is there. Rows that were not known before are checked against their sums."""
        form, found, seen = _Form.from_meta(_read_meta(self.folder)), None, None
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

    def _mapped(self, form: "_Form") -> tuple[Bytes, object]:
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

    def _make_room(self, form: "_Form", rows: npt.NDArray[np.integer[Any]]) -> None:
        needed = _blocks(rows, form.row_bytes) + _blocks(rows, 4) + MARGIN
        if self._granted is None or _disk(self.folder) + needed > self._granted:
            absent = np.flatnonzero(~self.present)
            rest = _blocks(absent, form.row_bytes) + _blocks(absent, 4) + 2 * MARGIN
            self._granted = self._store._reserve(self.folder, needed, rest)

    def _empty(self) -> None:
        for name in (META, ROWS, SUMS):  # removed, not cut: who maps a file and reads beyond its end is killed
            (self.folder / name).unlink(missing_ok=True)

    def _open_files(self, form: "_Form") -> None:
        """Open rows.bin and sums.bin for writing, at their full, sparse, lengths; a new entry gets its meta.json."""
        try:
            for name, length in ((ROWS, self.rows * form.row_bytes), (SUMS, self.rows * 4)):
                self._files.append(os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666))
                if os.fstat(self._files[-1]).st_size < length:
                    os.ftruncate(self._files[-1], length)
            if self._form is None:
                meta = {"format": FORMAT, "key": self._key, "rows": self.rows} | form.as_meta()
                aside = self.folder / f"{META}.new"
                aside.write_text(json.dumps(meta))
                aside.replace(self.folder / META)
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


@dataclass(frozen=True)
class _Form:
    """How a row lies. shape: of a row, as torch has it; last: channels come last on disk, (h, w, c) for (c, h, w)."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    last: bool

    @classmethod
    def of(cls, values: torch.Tensor) -> "_Form":
        last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
        return cls(tuple(values.shape[1:]), values.dtype, last and not values.is_contiguous())

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "_Form | None":
        """The form that meta.json tells; None where it tells none."""
        with suppress(KeyError, TypeError, AttributeError, RuntimeError):
            form = cls(tuple(meta["shape"]), getattr(torch, meta["dtype"]), meta["layout"] == "channels_last")
            torch.empty((0, *form.shape), dtype=form.dtype)  # refuses what is no shape or no dtype
            return form
        return None

    def as_meta(self) -> dict[str, Any]:
        layout = "channels_last" if self.last else "contiguous"
        return {"shape": list(self.shape), "dtype": str(self.dtype).removeprefix("torch."), "layout": layout}

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"

    @cached_property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @cached_property
    def _seed(self) -> int:
        return zlib.crc32(json.dumps(self.as_meta()).encode())

    def sum_of(self, row: Bytes) -> int:
        """The CRC of a row's bytes. It begins with the form's, so that a wrong form makes no other values of them."""
        return zlib.crc32(row.data, self._seed) or 1

    def pack(self, values: torch.Tensor) -> Bytes:
        """(n, *shape), on any device and in any layout, to (n, bytes of a row)."""
        values = values.detach().cpu()
        values = (values.permute(0, 2, 3, 1) if self.last else values).contiguous()
        packed: Bytes = (
            values.reshape(len(values), math.prod(self.shape)).view(torch.uint8).numpy()
        )  # numpy has no bfloat16
        return packed

    def unpack(self, packed: Bytes) -> torch.Tensor:
        """(n, bytes of a row) to (n, *shape), in the same memory."""
        values = torch.from_numpy(packed.reshape(-1)).view(self.dtype)
        if not self.last:
            return values.view(len(packed), *self.shape)
        c, h, w = self.shape
        return values.view(len(packed), h, w, c).permute(0, 3, 1, 2)


@contextmanager
def _told(what: str, where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"The cache cannot {what} {where} ({error.strerror}): "
            "free space there, make it writable, or choose another folder."
        ) from error


def _locked(folder: Path, how: int) -> int:
    """A descriptor of an entry's file `held` with this lock; OSError where it cannot be had or the entry is gone."""
    path = folder / HELD
    try:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        if not path.exists():
            raise
        held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, how)
        if not os.path.samestat(os.fstat(held), path.stat()):  # evicted, and made anew, while this process waited
            raise FileNotFoundError(path)
    except OSError:
        os.close(held)
        raise
    return held


def _release(lock: int) -> None:
    let_go(lock)
    os.close(lock)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no process has this entry open; if so, none opens it inside the block."""
    with ExitStack() as stack:
        try:
            stack.callback(_release, _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
            alone = True
        except OSError:
            alone = False
        yield alone


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


def _used(folder: Path) -> float:
    """When an entry was last opened or closed, in seconds since 1970; 0 where nothing tells."""
    with suppress(OSError):
        return (folder / USED).stat().st_mtime
    return 0.0


def _touch(folder: Path) -> None:
    with suppress(OSError):  # a read-only store evicts nothing
        (folder / USED).touch()


def _disk(folder: Path) -> int:
    """Bytes that a folder with its files takes on disk."""
    size = 0
    for path in (folder, *folder.glob("*")):
        with suppress(OSError):
            size += path.stat().st_blocks * 512
    return size


def _cost(folder: Path) -> int:
    """Bytes that an entry takes on disk; while a process fills it, those that it was granted."""
    size = _disk(folder)
    with suppress(OSError), ExitStack() as stack:
        lock = os.open(folder / FILLING, os.O_RDONLY)
        stack.callback(_release, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            size = max(size, int(os.read(lock, 32) or 0))
    return size


def _blocks(rows: npt.NDArray[np.integer[Any]], row_bytes: int) -> int:
    """Bytes on disk that writing these rows takes at most: all blocks that they touch, each counted once."""
    rows = np.unique(rows)
    first, last = rows * row_bytes // BLOCK, ((rows + 1) * row_bytes - 1) // BLOCK
    return int((last - first + 1).sum() - np.count_nonzero(first[1:] == last[:-1])) * BLOCK


def _write_all(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
