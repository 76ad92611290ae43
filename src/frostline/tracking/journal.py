"""What is written down of every epoch: one JSON line in the run's folder, whatever becomes of the tracker."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Stopwatch(pl.Callback):
    """Counts what training costs: `images_seen`, and `train_seconds` without validation. Survives a resume."""

    def __init__(self) -> None:
        self.images_seen = 0
        self.train_seconds = 0.0
        self._since: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images_seen += len(batch["id"]) * trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()
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
        return {"images_seen": self.images_seen, "train_seconds": self.train_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen = state_dict["images_seen"]
        self.train_seconds = state_dict["train_seconds"]


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
        aside = self.path.with_suffix(".kept")
        aside.write_text("".join(line + "\n" for line in kept))
        aside.replace(self.path)

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
        metrics = logged | self._rates
        line = {"epoch": trainer.current_epoch, **{k: v if math.isfinite(v) else None for k, v in metrics.items()}}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _epoch(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError):  # cut short by a kill
        return math.inf
