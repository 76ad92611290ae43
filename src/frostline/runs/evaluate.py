"""A model tested on any dataset, as a study tests its runs."""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from frostline.config.build import build, targets
from frostline.errors import FrostlineError, check_number
from frostline.files import replacing_folder
from frostline.loading.items import SceneItems
from frostline.loading.occurrences import Occurrences
from frostline.metrics.resampled import set_metric
from frostline.predict.model import BATCH, Model
from frostline.runs import provenance
from frostline.runs.drawn import draw_tested
from frostline.runs.evaluated import EVALUATION, OWN
from frostline.runs.judged import ALL, Batches, JudgedItems, in_words, judge, without_loss
from frostline.runs.network import TorchEngine, is_ours
from frostline.runs.process import precision_of, settle
from frostline.runs.tested import PICTURES, as_table, write_rows
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import class_names
from frostline.scenes.scene import SPLITS
from frostline.statistics.pictures import FEWEST, Resampled, resamples
from frostline.statistics.student import Interval
from frostline.tasks.base import Task, Tested

CONFUSED = 1000  # pairs of classes that are told where a matrix would be too large


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model's test on a dataset found.

    split: one of SPLITS, or ALL. task: the model's, with all that the test said in `tested`. items: the scenes that
    were tested. metrics: as a run's, -1 where there was nothing to be found. interval: of the primary metric, over
    pictures (see statistics/pictures.py); None below 100 pictures. lacking: classes of the dataset that the model
    lacks. absent: the model's that the dataset lacks. settings: batch size, device, threads and precision, which
    decide the last digits. untold: why a metric is left out, by its name.
    """

    model: Model
    dataset: Dataset
    split: str
    task: Task
    items: JudgedItems
    metrics: Mapping[str, float]
    interval: Interval | None
    lacking: tuple[str, ...]
    absent: tuple[str, ...]
    settings: Mapping[str, Any]
    untold: Mapping[str, str]

    @property
    def tested(self) -> Tested:
        return self.task.tested

    @property
    def left_out(self) -> int:
        """Scenes without an annotation that the task needs."""
        return len(self.items.scenes.scenes) - len(self.items)

    @property
    def unknowable(self) -> dict[str, int]:
        """Of each class that the model lacks, how many scenes, boxes or pixels (by task) there are."""
        numbers = {len(self.model.classes) + n: name for n, name in enumerate(self.lacking)}
        counts = dict.fromkeys(self.lacking, 0)
        for row in self.tested.rows:
            if row.get("truth") in counts:
                counts[row["truth"]] += 1
            for number in row.get("objects", ()):
                if number in numbers:
                    counts[numbers[number]] += 1
            for number, name in numbers.items() if "real" in row else ():
                counts[name] += row["real"][number]
        return counts

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `evaluation.json` holds them; null for what is no number."""
        info, task, tested = self.model.info, self.task, self.tested
        commit, dirty = provenance.commit()
        known = {name: value for name, value in self.metrics.items() if math.isfinite(value)}
        interval = None if self.interval is None else [self.interval.low, self.interval.high]
        return {
            "model": info.name,
            "task": info.task,
            "primary": task.primary,
            "metrics": {name: known.get(name) for name in self.metrics},
            "intervals": {task.primary: interval},
            "by_class": tested.by_class,
            "confusion": tested.confusion,
            "confused": tested.commonest(CONFUSED),
            "classes": list(task.classes),
            "classes_lacking": self.unknowable,
            "classes_absent": list(self.absent),
            "untold": dict(self.untold),
            "dataset": self.dataset.name,
            "split": self.split,
            "data_hash": self.dataset.data_hash,
            "scenes": len(self.items),
            "scenes_left_out": self.left_out,
            "settings": dict(self.settings),
            "commit": commit,
            "dirty": dirty,
            "machine": provenance.machine(),
            "versions": provenance.versions(),
            "origin": dict(info.origin),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def evaluate(model: Model, dataset: Dataset, split: str = "test", batch_size: int | None = None) -> Evaluation:
    """Test a model on a dataset, with the metrics of its study.

    split: one of SPLITS, or ALL. batch_size: pictures that go through the network at once.

    On the test split of its own study, a model gives the figures of its run to the last digit, on the same kind of
    machine and with the same versions: the same code measures, and by default the run's batch size, threads and
    precision are taken, which travel with the model. Raises FrostlineError where nothing can be measured.
    """
    if split not in (*SPLITS, ALL):
        raise FrostlineError(f"There is no split '{split}': choose one of {', '.join(SPLITS)} and {ALL}.")
    tested = model.info.tested
    size = batch_size if batch_size is not None else tested.get("batch_size") or BATCH
    check_number("--batch-size", size, 1, whole=True)
    settle(0, tested.get("threads"))
    task = judge(model, dataset)
    untold = _complete(task, model, dataset, tested.get("metric"))
    items = JudgedItems(dataset, split, task, model.info.preprocessing)
    device, precision = "cpu", None  # of what torch itself computes
    if isinstance(model.engine, TorchEngine):
        device = model.engine.device
        precision = precision_of(tested.get("precision") or "32-true", device)
    with dataset.held():
        metrics = _test(task, Batches(items, size), device, precision or "32-true")
    task.to(device)  # a trainer leaves it on the CPU
    return Evaluation(
        model=model,
        dataset=dataset,
        split=split,
        task=task,
        items=items,
        metrics={name: value for name, value in metrics.items() if name not in untold},
        interval=_interval(task),
        lacking=task.classes[len(model.classes) :],
        absent=tuple(name for name in model.classes if name not in class_names(dataset.classes, task.needs)),
        settings={"batch_size": size, "device": device, "threads": torch.get_num_threads(), "precision": precision},
        untold=untold,
    )


def _complete(task: Task, model: Model, dataset: Dataset, metric: Mapping[str, Any] | None) -> dict[str, str]:
    """Give a task what it was tested with beside its network; what cannot be had, by the metric that wants it."""
    untold = {}
    if metric is not None:
        name = str(metric["name"])
        if all(is_ours(str(target)) for target in targets(metric)):
            task.val_extra = nn.ModuleDict({name: build(metric, without=["name"])})
            task.test_extra = copy.deepcopy(task.val_extra)
        else:
            untold[name] = "it is no part of this installation"
    if not isinstance(model.engine, TorchEngine):
        untold["loss"] = "an exported file tells what it finds, and not what its network says before"
    elif len(task.classes) > len(model.classes):
        untold["loss"] = "of a class that the model lacks there is none"
    elif task.balances:
        if dataset.data_hash == model.info.origin.get("data_hash"):
            seen = model.info.preprocessing
            items = SceneItems(dataset, "train", task.needs, seen.size, fit=seen.fit)
            annotated = map(items.annotated, range(len(items)))
            task.weigh(Occurrences.of(annotated).by_class(len(task.classes)))
        else:
            untold["loss"] = "it was weighed by how often each class is in the dataset that was trained on"
            without_loss(task)
    return untold


def _test(task: Task, batches: Batches, device: str, precision: str) -> dict[str, float]:
    """As runs/fit.py tests."""
    kind, _, number = device.partition(":")
    trainer = pl.Trainer(
        accelerator=kind,
        devices=[int(number)] if number else 1,
        precision=cast(Any, precision),
        logger=False,
        deterministic="warn",
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    measured = trainer.test(task, cast(Any, batches), verbose=False)[0]
    return {name.removeprefix("test_"): value for name, value in sorted(measured.items()) if name != "step"}


def _interval(task: Task) -> Interval | None:
    if len(task.tested.rows) < FEWEST:  # of boxes, a thousand resamples take a while
        return None
    return resampled(task).interval()


def resampled(task: Task) -> Resampled:
    """The primary metric of a task's last test, over all its pictures and over resamples of these."""
    table = as_table(task.tested.rows, task.primary, task.classes)
    counts = np.vstack([np.ones(len(table), np.uint16), resamples(len(table))])
    values = set_metric(table)(cast(Any, counts))
    return Resampled(len(table), float(values[0]), values[1:])


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write `evaluation.json`, a row for each picture, and what can be drawn; what an earlier one left is replaced.

    Raises FrostlineError where something else lies there.
    """
    task, tested = evaluation.task, evaluation.tested
    where = f"the {in_words(evaluation.split)} of {evaluation.dataset.name}"
    with replacing_folder(folder, OWN, EVALUATION, "evaluation") as aside:
        draw_tested(task, evaluation.items, aside, where, explain=isinstance(evaluation.model.engine, TorchEngine))
        write_rows(aside / PICTURES, tested.rows, task.primary, task.classes)
        told = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False)
        (aside / EVALUATION).write_text(told + "\n", encoding="utf-8")
