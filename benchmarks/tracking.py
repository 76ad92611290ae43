"""What tracking costs: a step of a run that is tracked, and a study that is sent afterwards to a server."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.row import Row

RUNS, EPOCHS, METRICS = 200, 50, 20
WORKERS = 4  # of a server, as MLflow has by default
STEPS, STEP = 600, 0.17  # and seconds of one, as EfficientNet-Lite0 takes for 16 pictures at 96 px on two cores


def tracking() -> list[Row]:
    """Of a run whose epochs are one step long, as no other tells so much.

    What holds the training thread up: its own time in the journal and in what tells the tracker, and that of the
    threads that do tell it, as each of these may hold the interpreter meanwhile. Both are measured, as seconds of a
    processor: a run with and one without differ by less than the noise of a machine. That ratio stands beside it.
    """
    from tests.helpers.store import serving

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        with serving(folder / "server") as (_, address):
            without = _trained(folder, None)
            for kind, uri in (("sqlite", f"sqlite:///{folder}/mlflow.db"), ("server", address)):
                with_it = _trained(folder, uri)
                calls, beside, step = (1e3 * n / STEPS for n in (with_it.calls, with_it.threads, with_it.seconds))
                told = f"{calls:.2f} ms in callbacks and {beside:.2f} ms beside, of {step:.1f} ms"
                ratio = f"the whole, of that without: {with_it.seconds / without.seconds:.3f}"
                value = (with_it.calls + with_it.threads) / with_it.seconds
                what = f"tracking's share of a step with {METRICS} metrics a step and the machine's use, {kind}"
                rows.append(Row(f"tracking_{kind}", what, value, "<= 0.01", told, ratio))
    return rows


@dataclass
class _Trained:
    """In seconds of a processor. seconds: all steps. calls: of these, callbacks. threads: a tracker's."""

    seconds: float = 0.0
    calls: float = 0.0
    threads: float = 0.0


def _trained(folder: Path, uri: str | None) -> _Trained:
    """STEPS epochs of one step, tracked there; without any journal where there is none."""
    import psutil
    import pytorch_lightning as pl
    import torch

    from frostline.tracking.base import Run
    from frostline.tracking.journal import Follow, Journal
    from frostline.tracking.mlflow import MlflowTracker
    from frostline.tracking.shipper import Shipper

    found = _Trained()

    def beside() -> float:
        ours = {thread.native_id for thread in threading.enumerate() if thread.name in ("tracker", "machine")}
        return sum(one.user_time + one.system_time for one in psutil.Process().threads() if one.id in ours)

    class Steps(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.begun = torch.nn.Parameter(torch.zeros(1)), False

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            until = time.thread_time() + STEP
            while time.thread_time() < until:
                batch @ batch
            self.log_dict({f"val_{n}": self.weight.detach() + n for n in range(METRICS)}, on_step=False, on_epoch=True)
            return self.weight.sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD([{"params": [self.weight], "name": "base"}], 0.1)

        def on_train_batch_end(self, *_: Any) -> None:
            if not self.begun:  # before that a tracker may hold the step up, as it begins
                self.begun = True
                found.seconds, found.threads, found.calls = -time.thread_time(), -beside(), 0.0

    def timed(callback: pl.Callback, name: str) -> None:
        called = getattr(callback, name)

        def call(*given: Any) -> None:
            start = time.thread_time()
            called(*given)
            found.calls += time.thread_time() - start

        setattr(callback, name, call)

    callbacks: list[pl.Callback] = []
    if uri is not None:
        journal = folder / "epochs.jsonl"
        journal.unlink(missing_ok=True)
        shipper = Shipper(MlflowTracker(uri), Run("bench", "run", folder, id=uri), {"a": "1"}, {"seed": "0"}, journal)
        callbacks = [Journal(journal), Follow(shipper, lambda seconds: None)]
        for callback in callbacks:
            for name in ("on_train_batch_start", "on_train_batch_end", "on_train_epoch_end"):
                timed(callback, name)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer = pl.Trainer(
        max_epochs=1 + STEPS, accelerator="cpu", logger=False, callbacks=callbacks, default_root_dir=folder, **quiet
    )
    trainer.fit(Steps(), torch.utils.data.DataLoader(torch.zeros(1, 200, 200), batch_size=None))
    found.seconds += time.thread_time()
    found.threads += beside()
    torch.set_num_threads(threads)
    if uri is not None:
        shipper.stop("killed")
    return found


def sync() -> list[Row]:
    from tests.helpers.finished import FILES, finished_run
    from tests.helpers.postgres import postgres
    from tests.helpers.store import serving

    with tempfile.TemporaryDirectory() as name, postgres() as database:
        folder = Path(name)
        (folder / "server").mkdir()
        for number in range(RUNS):
            finished_run(folder / "runs" / "sent" / "results" / f"run-{number:03}", number, EPOCHS, METRICS)
        with serving(folder / "server", database.uri(), workers=WORKERS) as (_, address):
            first, again = (_sync(folder, address) for _ in range(2))
        points = int(database.sql("SELECT count(*) FROM metrics", "mlflow"))
        runs = int(database.sql("SELECT count(*) FROM runs WHERE status = 'FINISHED'", "mlflow"))
    assert (runs, points) == (RUNS, RUNS * (EPOCHS * METRICS + 2)), (runs, points)
    size = sum(FILES.values()) / 1e6
    what = (
        f"`frostline sync` of {RUNS} runs, each of {EPOCHS} epochs with {METRICS} metrics and {len(FILES) + 3} files "
    )
    what += f"({size:.1f} MB), to `mlflow server` of {WORKERS} workers on PostgreSQL on the same machine"
    return [
        Row("sync", f"{what}: seconds", first, "<= 60", f"{first:.1f} s, {points / first:.0f} points/s"),
        Row("sync_again", f"{what}, sent a second time: seconds", again, "<= 10", f"{again:.1f} s"),
    ]


def _sync(folder: Path, address: str) -> float:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "frostline", "sync", "sent"], cwd=folder, env=environment, check=True)
    return time.perf_counter() - start


MEASURES: dict[str, Callable[[], list[Row]]] = {"tracking": tracking, "sync": sync}
