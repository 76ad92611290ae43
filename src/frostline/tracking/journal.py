"""What is written down of every epoch: one JSON line in the run's folder, whatever becomes of the tracker."""

import json
import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from frostline.files import write_whole


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
        metrics = logged | self._rates
        line = {"epoch": trainer.current_epoch, **{k: v if math.isfinite(v) else None for k, v in metrics.items()}}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _epoch(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError):  # cut short by a kill
        return math.inf
