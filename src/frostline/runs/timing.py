"""What training and predicting cost; and while one run is timed, the others of its study on this machine hold still."""

import fcntl
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from frostline.files import let_go
from frostline.loading.batch import collate
from frostline.loading.module import SceneDataModule, of_all
from frostline.parallel import cores
from frostline.tasks.base import Task

PATIENCE = 300.0  # seconds after which nobody waits for a run any longer that may have been stopped in its batch
TIMED, ENOUGH = 20, 5.0  # pictures whose prediction is timed, and after how many seconds that is enough


@torch.no_grad()
def multiply_adds(task: Task, data: SceneDataModule) -> int:
    """Of the network for one picture: of its convolutions and products of matrices, as torch counts them."""
    picture = torch.zeros(1, 3, data.image_size, data.image_size, dtype=torch.uint8, device=task.device)
    task.eval()
    with FlopCounterMode(display=False) as counter:
        task(picture)
    return int(counter.get_total_flops()) // 2


class Stopwatch(pl.Callback):
    """Counts what training costs: `images_seen`, and `train_seconds` without validation. Survives a resume."""

    def __init__(self) -> None:
        self.images_seen = 0
        self.train_seconds = 0.0
        self.loads: list[float] = []  # of each epoch, how many processes wanted a processor, for each that there is
        self._since: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images_seen += of_all(trainer, batch, batch_idx)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()
        if hasattr(os, "getloadavg"):
            self.loads.append(os.getloadavg()[0] / cores())
        pl_module.log_dict({"images_seen": float(self.images_seen), "train_seconds": self.train_seconds})

    def leave_out(self, seconds: float) -> None:
        """So many of those since the start were no training."""
        if self._since is not None:
            self._since += seconds

    def _stop(self) -> None:
        if self._since is not None:
            self.train_seconds += time.perf_counter() - self._since
            self._since = None

    def state_dict(self) -> dict[str, Any]:
        return {"images_seen": self.images_seen, "train_seconds": self.train_seconds, "loads": self.loads}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen = state_dict["images_seen"]
        self.train_seconds = state_dict["train_seconds"]
        self.loads = list(state_dict.get("loads", []))  # a checkpoint of before has none


class HoldStill(pl.Callback):
    """Between two batches, waits as long as another run is timed: `alone`. What is waited is no time of training.

    All runs on one machine whose `folder` is the same heed each other, by two locks on files in it. `busy` is shared by
    those that compute a batch, and held by one who is timed. `gate` is passed on the way there, and kept shut by who
    waits to be timed: else the others could share `busy` for ever. Both are let go of when a process ends, however it
    ends.
    """

    def __init__(self, folder: Path, stopwatch: Stopwatch) -> None:
        self.stopwatch = stopwatch
        # Readable and writable, as locks over a network are of the one kind or the other.
        files = (folder / f".timing-{name}-{platform.node()}.lock" for name in ("gate", "busy"))
        self._gate, self._busy = (file.open("a+") for file in files)

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


def predict_ms(task: Task, data: SceneDataModule, pictures: int = TIMED) -> float:
    """Milliseconds to predict one picture: the median over so many of the test split, or fewer where that takes
    long."""
    items, seconds = data.items("test"), []
    task.eval()
    with torch.no_grad():
        for position in range(min(len(items), 1 + pictures)):
            batch = collate([items.plain(position)])
            picture = batch["image"].to(task.device)
            start = now(task.device)
            task.predict(task(picture), batch)
            seconds.append(now(task.device) - start)
            if sum(seconds) > ENOUGH:
                break
    return 1e3 * statistics.median(seconds[1:] or seconds)  # the first one also allocates


def now(device: torch.device) -> float:
    """Seconds, of a clock that is read once the device has computed what it was told to."""
    if device.type != "cpu":  # it computes while we go on
        torch.accelerator.synchronize(device)
    return time.perf_counter()
