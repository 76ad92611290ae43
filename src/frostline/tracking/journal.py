"""The journal of a run, a JSON line an epoch in its folder; and a tracker follows it, as well as it can."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl

from frostline.files import write_whole
from frostline.tracking.base import Epoch, Run, Status, Tracker
from frostline.tracking.epochs import read_epochs
from frostline.words import one_line


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
        told = {key: value if math.isfinite(value) else None for key, value in metrics.items()}
        line = {"epoch": trainer.current_epoch, "time": round(time.time(), 3), **told}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Follow(pl.Callback):
    """Begins a tracker after the first step, tells it each line of the journal, and the test's figures and files last.

    Raises FrostlineError as the tracker's `begin`. Whatever it raises afterwards is one line on the terminal; what it
    has missed is told again with the next epoch. leave_out: told the seconds that were no training.
    """

    def __init__(
        self,
        tracker: Tracker,
        run: Run,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        journal: Path,
        leave_out: Callable[[float], None],
    ) -> None:
        self._tracker, self._run, self._params, self._tags = tracker, run, params, tags
        self._journal, self._leave_out = journal, leave_out
        self._begun = self._lost = False
        self._lines_told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and self._begun:
            status: Status = "failed" if issubclass(kind, Exception) else "killed"
            self._try(lambda: self._tracker.end(status))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self._begun and trainer.is_global_zero:
            since = time.perf_counter()
            self._begin()
            self._leave_out(time.perf_counter() - since)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._try(self._tell)

    def conclude(self, tested: Epoch, files: Sequence[Path]) -> None:
        """The figures of the test, what the run has made, and that it has ended."""

        def tell() -> None:
            if not self._begun:  # it was killed after its last epoch
                self._begin()
            self._tell()
            self._tracker.epochs([tested])
            self._tracker.files(files)
            self._tracker.end("finished")

        self._lost = False  # so that it is told if all of it was in vain
        told_later = type(self._tracker).lacking is not Tracker.lacking
        self._try(tell, "`frostline sync` sends it" if told_later else "")
        if self._lost and self._begun:
            self._try(lambda: self._tracker.end("killed"))  # until it is sent

    def _begin(self) -> None:
        self._tracker.begin(self._run, self._params, self._tags)
        self._begun = True

    def _tell(self) -> None:
        epochs = read_epochs(self._journal, time.time())
        if left := epochs[self._lines_told :]:
            self._tracker.epochs(left)
            self._lines_told = len(epochs)

    def _try(self, tell: Callable[[], None], later: str = "") -> None:
        """later: what mends it, where nothing here will."""
        try:
            tell()
        except Exception as error:  # of whatever kind: it is another's code, and often another's machine
            if not self._lost:
                reason = one_line(str(error))[:300] or type(error).__name__
                print(
                    f"frostline: the tracker takes nothing ({reason}); the run needs none, and has all in "
                    f"{self._journal.parent}{f': {later}' if later else ''}.",
                    file=sys.stderr,
                    flush=True,
                )
            self._lost = True
        else:
            self._lost = False


def _epoch(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError):  # cut short by a kill
        return math.inf
