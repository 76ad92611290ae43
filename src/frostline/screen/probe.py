"""Heads trained on activations that are kept: what `runs.fit` does of a run whose line stays at the head, and no more.

The same batches, losses, steps and metrics, so the same figures to the last digit. Left out is what a probe of a
second does not need, and what costs more than that: checkpoints, progress and hooks of a trainer.
"""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from frostline.errors import FrostlineError
from frostline.freezing.activations import CacheBelow
from frostline.freezing.frosted import Frosted
from frostline.freezing.schedule import depth_of
from frostline.loading.batch import Activations, Batch, Shortcut
from frostline.loading.module import SceneLoader
from frostline.parallel import cores
from frostline.runs.build import Built
from frostline.runs.fit import Fitted
from frostline.runs.process import precision_of
from frostline.runs.timing import now
from frostline.tasks.base import Row, Task, Tested
from frostline.tasks.guards import check_gradients, check_losses

Floats = np.ndarray[Any, np.dtype[np.float64]]
READ = 64  # scenes at once
MOST = 2000  # pictures that estimates read: a decomposition of more takes longer than the heads


@dataclass(frozen=True)
class Probed:
    """A trained head. fitted: as of a run. epochs: of each, what a journal has."""

    fitted: Fitted
    epochs: Sequence[Mapping[str, float]]


class Kept:
    """What lies below the head, of all views and splits, for all seeds of a backbone in a task: computed where it is
    not in the cache. Where the cache is off or fails, there is none, and heads are trained from pictures.

    seconds: that it took. shortcuts: by split and view.
    """

    def __init__(self, built: Built, trainer: pl.Trainer) -> None:
        since = time.perf_counter()
        model, data = built.task.model, built.data
        depth = depth_below_head(model)
        assert data.views is not None
        wanted = [*(("train", view) for view in range(data.views)), ("val", 0), ("test", 0)]
        self.shortcuts: dict[tuple[str, int], Shortcut | None] = dict.fromkeys(wanted)
        self._cache = None
        if built.recipe is not None and data.store is not None:
            model.eval()
            model.move_line(0)
            self._cache = CacheBelow(model, data.store, data, built.recipe)
            for split, view in wanted:
                if split == "test":
                    model.forget_line()  # a test is of the weights as whoever loads them computes by them
                self.shortcuts[split, view] = self._cache.shortcut(trainer, split, view, depth)
            if None in self.shortcuts.values():
                self.shortcuts = dict.fromkeys(wanted)
        self.seconds = time.perf_counter() - since

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache is not None:
            self._cache.close()

    def pooled(self, count: int) -> tuple[Floats, list[Activations]]:
        """Of at most MOST of `count` training scenes, evenly spaced: the highest activation that the head reads, with
        the mean over places, (n, d); and their batches. Empty where nothing is kept."""
        read = self.shortcuts["train", 0]
        places = np.linspace(0, count - 1, min(count, MOST)).astype(int).tolist() if read is not None else []
        batches = [read([(p, 0) for p in places[n : n + READ]]) for n in range(0, len(places), READ)] if read else []
        return np.concatenate([_pooled(batch) for batch in batches]) if batches else np.zeros((0, 0)), batches


def depth_below_head(model: Frosted) -> int:
    """How many groups lie below the line. Raises FrostlineError where it moves, or where nothing below can be kept."""
    depths = {depth_of(model.state_at(epoch)) for epoch in range(model.planned.epochs)}
    whole = len(model.backbone.groups)
    if depths != {whole}:
        raise FrostlineError("A probe trains the head alone: leave schedule out.")
    if not model.activations(whole):
        raise FrostlineError(
            f"nothing below its head can be kept: {model.backbone.name} or its head looks at pictures each time"
        )
    return whole


def trainer_for(built: Built) -> pl.Trainer:
    """Which knows device and precision, and trains nothing."""
    settings = built.trainer
    precision = precision_of(settings.precision, settings.accelerator)
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=precision,
        logger=False,
        deterministic="warn",
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def probe(built: Built, kept: Kept, trainer: pl.Trainer) -> Probed:
    """Train the head of one seed, and test it with its best epoch. Afterwards the task is as it was tested."""
    task, data, model = built.task, built.data, built.task.model
    task.to(trainer.strategy.root_device)
    loader = data.train_dataloader()
    epochs, views = model.planned.epochs, data.views
    assert views is not None
    optimizer = task.make_optimizer(model.parameter_groups(task.weight_decay))
    plan = task.rate(optimizer, epochs * len(loader), epochs)
    best, best_epoch, held = -math.inf, 0, dict[str, Tensor]()
    journal: list[dict[str, float]] = []
    seen, seconds = 0, 0.0
    model.move_line(0)  # where it stays
    task.eval()
    for epoch in range(epochs):
        since = now(task.device)
        loader.shortcut = kept.shortcuts["train", epoch % views]
        cast(Any, loader.batch_sampler).sampler.set_epoch(epoch)
        torch.manual_seed(built.seed * 1_000_003 + epoch)  # as runs.fit does: dropout draws from it
        rate = float(optimizer.param_groups[0]["lr"])
        images, loss = _train(task, loader, optimizer, plan, built.trainer.clip_norm, trainer, epoch)
        seen, seconds = seen + images, seconds + now(task.device) - since
        values, _ = _measure(task, data.val_dataloader(), kept.shortcuts["val", 0], "val", trainer)
        told = {f"val_{name}": value for name, value in values.items()} | {"train_loss": loss}
        if isinstance(plan["scheduler"], ReduceLROnPlateau):
            plan["scheduler"].step(told[plan["monitor"]])
        if not journal or values[task.primary] > best:  # as Lightning's ModelCheckpoint takes it
            value = values[task.primary]
            best, best_epoch, held = -math.inf if math.isnan(value) else value, epoch, _copy(model)
        times = {"time": round(time.time(), 3), "images_seen": float(seen), "train_seconds": seconds}
        journal.append({"epoch": float(epoch), "lr_base": rate, **times, **told})
    model.load_state_dict(held, strict=False)
    model.forget_line()
    tested, rows = _measure(task, data.test_dataloader(), kept.shortcuts["test", 0], "test", trainer)
    task.tested = Tested.of(rows[1], sorted(rows[0], key=lambda row: row["index"]), task.classes)
    load = os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else 0.0
    fitted = Fitted(trainer, dict(sorted(tested.items())), best_epoch, seen, max(seconds, 1e-6), load)
    return Probed(fitted, journal)


def _train(
    task: Task, loader: SceneLoader, optimizer: Any, plan: Any, clip: float, trainer: pl.Trainer, epoch: int
) -> tuple[int, float]:
    """One epoch; how many pictures it had, and the mean loss."""
    _in_mode(task, True)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    seen, summed = 0, 0.0
    for number, batch in enumerate(_moved(loader, task)):
        task.model.set_rates(optimizer, epoch + number / len(loader))
        with trainer.precision_plugin.forward_context():
            losses = task.losses(task.answers(batch), batch)
            total = torch.stack(list(losses.values())).sum()
        check_losses(losses, total, batch["id"], epoch)
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        check_gradients(parameters, {name: one.detach() for name, one in losses.items()}, batch["id"], epoch)
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if plan["interval"] == "step":
            plan["scheduler"].step()
        seen, summed = seen + len(batch["id"]), summed + float(total.detach()) * len(batch["id"])
    return seen, summed / max(1, seen)


@torch.no_grad()
def _measure(
    task: Task, loader: SceneLoader, shortcut: Shortcut | None, split: str, trainer: pl.Trainer
) -> tuple[dict[str, float], tuple[list[Row], dict[str, Tensor]]]:
    """The figures of a split with its loss; of the test, what is told of each scene, and all values of its metrics."""
    _in_mode(task, False)
    loader.shortcut = shortcut
    rows: list[Row] = []
    # Summed as Lightning sums what is logged, so that the last digit is the same.
    summed, scenes = torch.zeros((), device=task.device), torch.zeros((), device=task.device)
    for batch in _moved(loader, task):
        with trainer.precision_plugin.forward_context():
            total, outputs, predictions = task.counted(split, batch)
            if split == "test":
                rows += task.told(outputs, predictions, batch)
        summed += total.float() * len(batch["id"])
        scenes += len(batch["id"])
    values, scalars = task.computed(split)
    figures = {"loss": summed / scenes} | scalars
    return {name: float(value) for name, value in figures.items()}, (rows, values)


def _in_mode(task: Task, train: bool) -> None:
    """As `task.train`, without a walk through a backbone that is in evaluation mode for good."""
    task.training = task.model.training = train
    task.model.head.train(train)


def _moved(loader: SceneLoader, task: Task) -> Iterator[Batch]:
    for batch in loader:
        yield batch if task.device.type == "cpu" else move_data_to_device(batch, task.device)


def _copy(model: Frosted) -> dict[str, Tensor]:
    """The head, which alone is trained."""
    return {name: held.clone() for name, held in model.state_dict().items() if name.startswith("head.")}


def _pooled(batch: Activations) -> Floats:
    highest = list(batch["activations"].values())[-1].double()
    if highest.ndim == 4:
        highest = highest.mean((2, 3))
    elif highest.ndim == 3:  # tokens
        highest = highest.mean(1)
    pooled: Floats = highest.numpy()
    return pooled
