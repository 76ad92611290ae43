"""What every process of a run does: train it, choose the best epoch on the validation split, and test that."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.plugins.precision import DoublePrecision

from frostline.config import build
from frostline.freezing.activations import CacheBelow
from frostline.freezing.callback import FrostLine
from frostline.ranks import by_torchrun
from frostline.runs.build import Built
from frostline.runs.checkpoints import WholeCheckpoints, resume_from
from frostline.runs.process import precision_of
from frostline.runs.sharded import Sharded, gather, spread
from frostline.runs.timing import Stopwatch
from frostline.shares import rank_of_world, told_by_first


@dataclass(frozen=True)
class Fitted:
    """A trained run. metrics: of the test split at the best epoch. load: see `Stopwatch.loads`; of most epochs."""

    trainer: pl.Trainer
    metrics: dict[str, float]
    best_epoch: int
    images_seen: int
    train_seconds: float
    load: float


def fit(
    built: Built,
    folder: Path,
    stopwatch: Stopwatch,
    before: Sequence[pl.Callback] = (),
    writers: Sequence[pl.Callback] = (),
) -> Fitted:
    """Train from the last epoch in `folder`, and test.

    before: what goes ahead of all else at a batch. writers: what is told of each epoch, to write it down.
    Afterwards the first process's task is as it was tested; of several, the others' may be empty.
    """
    task, data, settings = built.task, built.data, built.trainer
    rank, processes = rank_of_world()
    strategy = _strategy(settings.strategy, processes)
    task.sync_batchnorm = settings.sync_batchnorm
    if settings.precision == "64-true":
        task.double()  # Lightning would do so once a checkpoint is loaded, which is rounded to single precision by then
    if isinstance(strategy, Sharded):
        task = spread(built.task)
    best = ModelCheckpoint(
        folder, filename="best", monitor=f"val_{task.primary}", mode="max", enable_version_counter=False
    )
    # ModelCheckpoint's own `save_last` saves only epochs that were the best so far.
    newest = ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    below = []
    if built.recipe is not None and data.store is not None:
        below.append(CacheBelow(task.model, data.store, data, built.recipe))
    terminal = sys.stderr.isatty()
    precision = precision_of(settings.precision, settings.accelerator)
    if settings.compile:
        task.model.backbone.compile()
        task.model.head.compile()
        task.model.folds = False  # what is compiled is the whole
    trainer: pl.Trainer = build(
        {"_target_": settings.target},
        max_epochs=task.model.planned.epochs,
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=strategy,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        # As a plugin: by its name Lightning refuses it under FSDP.
        precision=None if precision == "64-true" else precision,
        gradient_clip_val=settings.clip_norm,
        logger=False,  # the journal is all that is written down, and a tracker follows that
        callbacks=[
            *before,
            stopwatch,  # before the cache, as filling that is part of what training costs
            FrostLine(task.model),
            *below,
            _EpochSeed(built.seed),
            *writers,
            best,
            newest,
            TQDMProgressBar(leave=False) if terminal else _Lines(task.primary),
        ],
        plugins=[
            *(WholeCheckpoints(), _environment(processes)),
            *([DoublePrecision()] if precision == "64-true" else []),
        ],
        deterministic="warn",
        use_distributed_sampler=False,  # ours neither pads nor repeats
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=terminal,
        default_root_dir=folder,
    )
    try:
        # The first alone, as it puts files into their places.
        last = told_by_first(resume_from(folder / "last.ckpt", best, folder / "best.ckpt") if rank == 0 else None)
        trainer.fit(task, data, ckpt_path=last, weights_only=True)
        # Before the test: it loads the best checkpoint, and the stopwatch with it.
        images_seen, train_seconds = stopwatch.images_seen, stopwatch.train_seconds
        load = median(stopwatch.loads or [0.0])
        measured = trainer.test(task, data, ckpt_path=best.best_model_path, weights_only=True, verbose=False)[0]
        if task is not built.task:
            gather(task, built.task)
    finally:  # what is held cannot make room for others, and this process may train more runs
        for cache in below:
            cache.close()
    metrics = {name.removeprefix("test_"): value for name, value in sorted(measured.items()) if name != "step"}
    best_epoch = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["epoch"]
    return Fitted(trainer, metrics, best_epoch, images_seen, train_seconds, load)


def _strategy(chosen: Any, processes: int) -> Any:
    """What Lightning takes: its own for one process, and DDP for several that name none."""
    if isinstance(chosen, Mapping):
        return build(chosen) if processes > 1 else "auto"
    return "ddp" if chosen == "auto" and processes > 1 else chosen


def _environment(processes: int) -> ClusterEnvironment:
    """Who has started these processes. One alone is itself, also in an allocation of SLURM that is somebody else's."""
    if processes == 1:
        return LightningEnvironment()
    return TorchElasticEnvironment() if by_torchrun() else SLURMEnvironment(auto_requeue=False)


class _Lines(pl.Callback):
    """Where there is no bar, as in a log or a pipe, one line an epoch."""

    def __init__(self, primary: str) -> None:
        self.primary = f"val_{primary}"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch and trainer.is_global_zero:
            print(f"going on after epoch {trainer.current_epoch} of {trainer.max_epochs}", flush=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            found = {key: float(trainer.callback_metrics[key]) for key in ("train_loss", self.primary)}
            figures = "  ".join(f"{key} {value:.4f}" for key, value in found.items())
            print(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {figures}", flush=True)


class _EpochSeed(pl.Callback):
    """Dropout draws in epoch n are a function of (seed, n), so that a resumed run draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)
