"""What one process does for one backbone: what lies below the head once, then heads, task by task and seed by seed."""

import json
import os
import shutil
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
import torch

from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.freezing.groups import count
from frostline.launch.planned import said_to
from frostline.loading.batch import NONE, Activations
from frostline.metrics.resampled import set_metric
from frostline.models.backbone import Backbone
from frostline.models.hub import weights_there
from frostline.runs import provenance
from frostline.runs.build import Built, build_backbone, build_run, class_of
from frostline.runs.identity import MARK
from frostline.runs.process import settle
from frostline.runs.result import RunResult
from frostline.runs.tested import PICTURES, as_table, write_rows
from frostline.runs.timing import HoldStill, Stopwatch, predict_ms
from frostline.runs.train import CONFUSED, result_of
from frostline.scenes.dataset import Dataset
from frostline.screen import memory
from frostline.screen.cells import ASIDE, RESAMPLES, Candidacy, Cell, Facts, Parcel
from frostline.screen.estimates import h_score, logme
from frostline.screen.probe import Floats, Kept, depth_below_head, probe, trainer_for
from frostline.statistics.pictures import FEWEST, resamples
from frostline.tracking.journal import line_of
from frostline.words import one_line, reason_of

TIMED = 6  # pictures whose prediction is timed
TIMES = 400  # resamples of the pictures
# What the first of two reads, the second one finds kept: the embedding, and the maps.
ORDER = ("localization", "classification", "detection", "segmentation")


def look(job: Parcel) -> dict[str, str]:
    """Train what is lacking. A task in which the backbone cannot be looked at is kept as that; the others go on.

    Returns, by task and in a line each, what ended the look this time and may not the next: what the machine lacked,
    and what nobody expected.
    """
    with said_to(job.log):
        tasks = sorted({cell.task for cell in job.cells}, key=lambda task: (*ORDER, task).index(task))
        done = _Backbone(job)
        told = {task: _look([cell for cell in job.cells if cell.task == task], done, job) for task in tasks}
        return {task: line for task, line in told.items() if line}


class _Backbone:
    """The network below the heads, built once for those that read its embedding, and once for the others."""

    def __init__(self, job: Parcel) -> None:
        self.job = job
        self._built: dict[bool, Backbone] = {}

    def of(self, cell: Cell) -> Backbone:
        """Raises FrostlineError where it cannot be built, of it TooLarge where it does not fit now."""
        embedding = bool(class_of(cell.config["head"]["_target_"]).reads_embedding)
        if embedding not in self._built:
            node = self.job.candidate.node
            parameters = self.job.candidate.parameters or memory.parameters_of(node)
            memory.check_weights(parameters, self.job.share)
            settle(0, cell.config["trainer"]["threads"])  # where its weights are of chance, they are the same for all
            self._built[embedding] = build_backbone(cell.config)
        return self._built[embedding]


def _look(cells: Sequence[Cell], backbone: _Backbone, job: Parcel) -> str:
    candidacy, first = Candidacy(cells[0]), cells[0]
    try:
        dataset = Dataset.open(job.dataset)
        try:
            built = build_run(first.config, dataset, first.name, backbone.of(first))
            depth_below_head(built.task.model)
        except memory.TooLarge:
            raise
        except FrostlineError as error:  # it is the network's, and no other time will change it
            candidacy.write(Facts(refused=one_line(str(error)), weights=weights_there()))
            return ""
        _probe_all(cells, built, dataset, candidacy, backbone.of(first), job)
    except FrostlineError as error:  # it is this machine's, its memory's or its disk's
        return one_line(str(error)).rstrip(".")
    except Exception as error:  # of whatever kind: it is a stranger's network, and the other tasks go on
        traceback.print_exc()
        return f"{reason_of(error)[:200]} ({job.log})"
    return ""


def _probe_all(
    cells: Sequence[Cell], built: Built, dataset: Dataset, candidacy: Candidacy, backbone: Backbone, job: Parcel
) -> None:
    trainer = trainer_for(built)
    built.task.to(trainer.strategy.root_device)
    facts = candidacy.read(weights_there())
    needed = 0.0
    if facts is None:
        # As many pictures as a batch has when a split is kept.
        below, needed = memory.measured(built.task, built.data.image_size, built.trainer.batch_size)
        memory.check_below(below, job.share)
    with dataset.held(), HoldStill(job.runs, Stopwatch()) as others, Kept(built, trainer) as kept:
        alike: RunResult | None = None
        for cell in cells:
            if cell is not cells[0]:
                built = build_run(cell.config, dataset, cell.name, backbone)
            since = time.perf_counter()
            with others.busy():
                probed = probe(built, kept, trainer)
            seconds = time.perf_counter() - since
            if alike is None:
                with others.alone(), trainer.precision_plugin.forward_context():
                    milliseconds = predict_ms(built.task, built.data, TIMED)
                alike = result_of(built, probed.fitted, _origin(job.command), milliseconds)
            if facts is None:
                facts = Facts(
                    parameters=count(built.task.parameters()),
                    multiply_adds=alike.multiply_adds,
                    memory=round(needed / 1e6, 1),
                    feature_seconds=round(kept.seconds, 3),
                    head_seconds=round(seconds, 3),
                    estimates=_estimates(built, kept),
                )
                candidacy.write(facts)
            with others.busy():
                _write(cell, _result(built, probed.fitted, alike), built, probed.epochs)
            built.data.teardown()
    dataset.check_same()


def _origin(command: str) -> dict[str, Any]:
    commit, dirty = provenance.commit()
    return {"commit": commit, "dirty": dirty, "command": command, "id": ""}


def _result(built: Built, fitted: Any, alike: RunResult) -> RunResult:
    """Of one seed, where `alike` is that of another one."""
    tested = built.task.tested
    return replace(
        alike,
        run=built.name,
        seed=built.seed,
        metrics=fitted.metrics,
        by_class=tested.by_class,
        confusion=tested.confusion,
        confused=tested.commonest(CONFUSED),
        best_epoch=fitted.best_epoch,
        images_seen=fitted.images_seen,
        train_seconds=round(fitted.train_seconds, 3),
        load=round(fitted.load, 2),
        images_per_second=round(fitted.images_seen / fitted.train_seconds, 2),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        id=uuid.uuid4().hex,
    )


def _write(cell: Cell, result: RunResult, built: Built, epochs: Sequence[Mapping[str, float]]) -> None:
    """The probe's folder, whole or not at all: all that a run's has but its weights and pictures."""
    task = built.task
    for parent in (cell.runs, cell.folder.parent):
        parent.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=ASIDE, dir=cell.runs))
    try:
        write_rows(aside / PICTURES, task.tested.rows, task.primary, task.classes)
        if len(task.tested.rows) >= FEWEST:
            table = as_table(task.tested.rows, task.primary, task.classes)
            values = set_metric(table)(cast(Any, resamples(len(table), TIMES)))
            np.save(aside / RESAMPLES, values, allow_pickle=False)
        (aside / "epochs.jsonl").write_text("".join(map(line_of, epochs)), encoding="utf-8")
        write_whole(aside / "config.yaml", built.text)
        write_whole(aside / "result.json", json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n")
        write_whole(aside / MARK, cell.identity)
        aside.chmod(0o755)
        shutil.rmtree(cell.folder, ignore_errors=True)
        os.rename(aside, cell.folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(aside, ignore_errors=True)


def _estimates(built: Built, kept: Kept) -> dict[str, float]:
    """LogME of what each picture shows, and the H-score where a picture has one class. Empty where nothing is kept."""
    features, batches = kept.pooled(len(built.data.items("train")))
    if not batches or not np.isfinite(features).all():
        return {}
    classes = len(built.task.classes)
    targets = np.concatenate([shown(batch, classes) for batch in batches])
    occurring = targets[:, targets.std(0) > 0]  # of what all pictures show alike, nothing can be told
    found = {"logme": logme(features, occurring)} if occurring.shape[1] else {}
    if "label" in batches[0] and batches[0]["label"].ndim == 1 and occurring.shape[1] > 1:
        labels = np.concatenate([batch["label"].numpy() for batch in batches])
        found["h_score"] = h_score(features, labels)
    return {name: round(value, 6) for name, value in found.items()}


def shown(batch: Activations, classes: int) -> Floats:
    """(B, classes), how much of each class a picture shows: 1 for its label, else its share of the pixels, or how many
    of the boxes."""
    if "label" in batch:
        labels = batch["label"]
        found = labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, classes)
    elif "mask" in batch:
        found = torch.stack([(batch["mask"] == number).double().mean((1, 2)) for number in range(classes)], 1)
    else:
        each = [labels[labels != NONE] for labels in batch["box_labels"]]
        found = torch.stack([torch.bincount(labels, minlength=classes) for labels in each])
    numbers: Floats = found.double().numpy()
    return numbers
