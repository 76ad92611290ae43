"""Room on the disk for entries: what each takes, which of them goes where there is too little, and who has it open.

<entry>/used: its time says when the entry was last opened or closed
<entry>/held, filling: locked (flock) by whoever has the entry open, and by the one who fills it; a lock ends with its
process
<root>/.lock is locked while room is made, <root>/.trash-* are evicted entries on their way out.
"""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.errors import FrostlineError
from frostline.files import let_go

USED, HELD, FILLING = "used", "held", "filling"
BLOCK = 4096  # bytes; what a file takes on disk comes in blocks
STEP = 256 << 20  # bytes granted ahead to a filling entry, so that the store is seldom scanned


class CacheError(FrostlineError):
    """The cache cannot be had: what, where, and what to do. Whoever meets it goes on without."""


class Room:
    """A folder of entries that together take at most `limit` bytes on disk; the least recently used make room."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self.sweep()

    def reserve(self, folder: Path, needed: int, rest: int) -> int:
        """Let a filling entry grow by `needed` bytes, where room is left by up to `rest`; gives how large it may be.

        That number goes into its file `filling`, and counts for other processes as taken while the file is locked.
        """
        with self._locked("make room in"):
            self.sweep()
            own = taken(folder)
            costs = {other: _cost(other) for other in self.folders() if other != folder}
            room = self.make_way(self.limit - own - sum(costs.values()), needed, costs.items())
            if room < needed:
                raise CacheError(
                    f"The cache {self.root} has no room for {rest / 1e9:.3g} GB more within its limit of "
                    f"{self.limit / 1e9:.3g} GB, as what running jobs use stays: raise cache.size_gb, or run "
                    "`frostline cache clear` when they have ended."
                )
            granted = own + min(room, max(needed, min(rest, STEP)))
            (folder / FILLING).write_text(str(granted))
            return granted

    def most(self, folder: Path) -> int:
        """How many bytes on disk an entry may take at most: as the limit and the disk have it once all others that
        nobody has open are gone."""
        with self._locked("look at"):  # else two that look at once take each other for who has an entry open
            free, kept = shutil.disk_usage(self.root).free + taken(folder), 0
            for other in self.folders():
                if other != folder:
                    with alone(other) as unused:
                        if unused:
                            free += taken(other)
                        else:
                            kept += _cost(other)
        return min(self.limit - kept, free)

    @contextmanager
    def _locked(self, what: str) -> Iterator[None]:
        """Within, no other process makes room, or looks how much there is."""
        with disk_errors(what, self.root), ExitStack() as locks:
            lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            locks.callback(release, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def make_way(self, room: int, needed: int, costs: Iterable[tuple[Path, int]]) -> int:
        """Remove entries that nobody has open, in this order, until the room is as large as needed; gives how large.

        costs: what each entry takes. Where all of them together would not do, none goes.
        """
        evicted = []
        with ExitStack() as locks:
            for other, cost in costs:
                if room >= needed:
                    break
                if locks.enter_context(alone(other)):
                    evicted.append(other)
                    room += cost
            if room >= needed:
                for other in evicted:
                    self.discard(other)
        return room

    def folders(self) -> list[Path]:
        """The entries' folders, the least recently used first. What else lies in the root is none of the store's."""
        return sorted((path for path in self.root.glob("?" * 32) if re.fullmatch("[0-9a-f]+", path.name)), key=used)

    def discard(self, folder: Path) -> None:
        """Remove an entry that this process has alone; after the rename nobody finds it half removed."""
        trash = self.root / f".trash-{uuid.uuid4().hex}"
        with disk_errors("remove", folder):
            folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def sweep(self) -> None:
        """Finish what killed processes left. What a living one is removing, two may remove."""
        for trash in self.root.glob(".trash-*"):
            shutil.rmtree(trash, ignore_errors=True)


@contextmanager
def disk_errors(what: str, where: Path) -> Iterator[None]:
    """OSErrors within as CacheErrors: that the cache cannot do `what` with a place."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"The cache cannot {what} {where} ({error.strerror}): "
            "free space there, make it writable, or choose another folder."
        ) from error


def locked(folder: Path, how: int) -> int:
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


def release(lock: int) -> None:
    """Unlock and close a descriptor."""
    let_go(lock)
    os.close(lock)


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether no process has this entry open; if so, none opens it inside the block."""
    with ExitStack() as stack:
        try:
            stack.callback(release, locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
            alone = True
        except OSError:
            alone = False
        yield alone


def used(folder: Path) -> float:
    """When an entry was last opened or closed, in seconds since 1970; 0 where nothing tells."""
    with suppress(OSError):
        return (folder / USED).stat().st_mtime
    return 0.0


def touch(folder: Path) -> None:
    """Note that an entry is used now."""
    with suppress(OSError):  # a read-only store evicts nothing
        (folder / USED).touch()


def taken(folder: Path) -> int:
    """Bytes that a folder with its files takes on disk."""
    size = 0
    for path in (folder, *folder.glob("*")):
        with suppress(OSError):
            size += path.stat().st_blocks * 512
    return size


def _cost(folder: Path) -> int:
    """Bytes that an entry takes on disk; while a process fills it, those that it was granted."""
    size = taken(folder)
    with suppress(OSError), ExitStack() as stack:
        lock = os.open(folder / FILLING, os.O_RDONLY)
        stack.callback(release, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            size = max(size, int(os.read(lock, 32) or 0))
    return size


def on_disk(size: int) -> int:
    """What a file, or a row that begins with a block, of so many bytes takes."""
    return -(-size // BLOCK) * BLOCK


def blocks(rows: npt.NDArray[np.integer[Any]], row_bytes: int) -> int:
    """Bytes on disk that writing these rows takes at most: all blocks that they touch, each counted once."""
    rows = np.unique(rows)
    first, last = rows * row_bytes // BLOCK, ((rows + 1) * row_bytes - 1) // BLOCK
    return int((last - first + 1).sum() - np.count_nonzero(first[1:] == last[:-1])) * BLOCK
