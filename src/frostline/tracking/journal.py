"""The journal of a run, a JSON line an epoch in its folder; and what tells a tracker of it while it is trained."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl

from frostline.files import write_whole
from frostline.tracking.base import Epoch
from frostline.tracking.shipper import Shipper
from frostline.words import reason_of


class Journal(pl.Callback):
    """Appends a line to `epochs.jsonl` after each epoch: all logged metrics, and the rates of its last step.

    A resumed run takes back the lines that it will write again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rates: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        kept = [line for line in lines if _epoch(line) < trainer.current_epoch]
        write_whole(self.path, "".join(line + "\n" for line in kept))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Read before the step: after the epoch's last one the scheduler has already moved on to the next epoch.
        self._rates = {}
        for group in trainer.optimizers[0].param_groups:
            name = f"lr_{group['name'].split('/')[0]}"  # of the parts of one group, the fastest
            self._rates[name] = max(self._rates.get(name, 0.0), float(group["lr"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        logged = {name: float(value) for name, value in sorted(trainer.callback_metrics.items()) if name != "step"}
        epoch = {"epoch": trainer.current_epoch, "time": round(time.time(), 3), **logged, **self._rates}
        with self.path.open("a") as file:
            file.write(line_of(epoch))


def line_of(epoch: Mapping[str, float]) -> str:
    """As a journal has an epoch: its number, which is whole, and what was logged; null for what is no number."""
    told = {key: value if math.isfinite(value) else None for key, value in epoch.items()}
    return json.dumps(told | {"epoch": int(epoch["epoch"])}) + "\n"


class Follow(pl.Callback):
    """Has a tracker begin after the first step, told of each line of the journal, and of the test's figures and files
    last: by a `Shipper`, so that training waits for its begin alone.

    Raises FrostlineError as the tracker's `begin`. leave_out: told the seconds that were no training.
    """

    def __init__(self, shipper: Shipper, leave_out: Callable[[float], None]) -> None:
        self._shipper, self._leave_out = shipper, leave_out
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if error is not None:
            self._shipper.stop("failed" if isinstance(error, Exception) else "killed", reason_of(error))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self._begun and trainer.is_global_zero:
            since = time.perf_counter()
            self._shipper.begin()
            self._begun = True
            self._leave_out(time.perf_counter() - since)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._shipper.tell()

    def conclude(self, tested: Epoch, files: Sequence[Path]) -> None:
        """The figures of the test, what the run has made, and that it has ended."""
        self._shipper.finish(tested, files)


def _epoch(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError):  # cut short by a kill
        return math.inf
