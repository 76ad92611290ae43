"""While one run is timed, the other runs of its study on this machine hold still."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import pytorch_lightning as pl

from frostline.files import let_go
from frostline.tracking.journal import Stopwatch

PATIENCE = 300.0  # seconds after which nobody waits for a run any longer that may have been stopped in its batch


class HoldStill(pl.Callback):
    """Between two batches, waits as long as another run is timed: `alone`. What is waited is no time of training.

    All runs whose `folder` is the same heed each other, by two locks on files in it. `busy` is shared by those that
    compute a batch, and held by one who is timed. `gate` is passed on the way there, and kept shut by who waits to be
    timed: else the others could share `busy` for ever. Both are let go of when a process ends, however it ends.
    """

    def __init__(self, folder: Path, stopwatch: Stopwatch) -> None:
        self.stopwatch = stopwatch
        # Readable and writable, as locks over a network are of the one kind or the other.
        self._gate, self._busy = ((folder / f".timing-{name}.lock").open("a+") for name in ("gate", "busy"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for lock in (self._busy, self._gate):
            let_go(lock)
            lock.close()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within, no other run is timed."""
        self._start()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within, no other run computes a batch or is `busy`. (Some may decode the next batch, or fill a cache.)"""
        _take(self._gate, fcntl.LOCK_EX)
        _take(self._busy, fcntl.LOCK_EX)
        try:
            yield
        finally:
            let_go(self._busy)
            let_go(self._gate)

    def _start(self, *_: Any, **__: Any) -> None:
        since = time.perf_counter()
        _take(self._gate, fcntl.LOCK_EX)
        _take(self._busy, fcntl.LOCK_SH)
        let_go(self._gate)
        self.stopwatch.leave_out(time.perf_counter() - since)

    def _end(self, *_: Any, **__: Any) -> None:
        let_go(self._busy)

    on_train_batch_start = on_validation_batch_start = on_test_batch_start = _start
    on_train_batch_end = on_validation_batch_end = on_test_batch_end = _end


def _take(lock: IO[str], how: int) -> None:
    since = time.monotonic()
    while time.monotonic() - since < PATIENCE:
        try:
            return fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:  # no locks on this file system: nobody can be heeded
            return None
    return None
