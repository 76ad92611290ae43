"""One run, from what it is built of to the folder of its results: trained, timed, drawn, all of it written down."""

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save

from frostline.files import room_wanted, write_whole
from frostline.freezing.groups import count
from frostline.runs import provenance
from frostline.runs.build import Built
from frostline.runs.fit import Fitted, fit
from frostline.runs.process import OwnSigterm
from frostline.runs.result import RunResult
from frostline.runs.tested import PICTURES, write_rows
from frostline.runs.timing import HoldStill, Stopwatch, multiply_adds, predict_ms
from frostline.runs.together import leave
from frostline.runs.told import params_and_tags, tested
from frostline.runs.workplace import Workplace
from frostline.scenes.scene import SPLITS
from frostline.tracking.base import Data, Run
from frostline.tracking.journal import Follow, Journal
from frostline.tracking.shipper import Shipper

CONFUSED = 1000  # pairs of classes that are told where a matrix would be too large


def train(built: Built, workplace: Workplace, command: str) -> RunResult:
    """Train and evaluate one run, and leave its results in the workplace.

    A killed run goes on from the last epoch that the workplace has. command: what trains this run again, to record.
    """
    commit, dirty = provenance.commit()  # as the code is now: it may change while a run is trained
    origin = {"commit": commit, "dirty": dirty, "command": command, "id": workplace.id}
    data = built.data
    if any(data.left_out.values()):
        counts = ", ".join(f"{number} of {split}" for split, number in data.left_out.items())
        needs = " and ".join(sorted(built.task.needs))
        print(f"{built.name}: left out scenes without {needs}: {counts}", flush=True)
    if built.weights:
        print(f"{built.name}: backbone.weights={built.weights['file']}: {built.weights['told']}", flush=True)
    params, tags = params_and_tags(built.names, built.arm, built.seed, built.params, data.dataset.data_hash, commit)
    journal, stopwatch = Journal(workplace.folder / "epochs.jsonl"), Stopwatch()
    scenes = {split: len(data.items(split)) for split in SPLITS}
    dataset = Data(built.names["dataset"], data.dataset.data_hash, data.dataset.path, scenes)
    run = Run(built.study, built.name, workplace.folder, dataset, workplace.id)
    with ExitStack() as stack:
        stack.callback(data.teardown)  # what is held cannot make room for others
        stack.enter_context(data.dataset.held())
        others = stack.enter_context(HoldStill(workplace.folder.parent, stopwatch))
        follow = Follow(Shipper(built.tracker, run, params, tags, journal.path), stopwatch.leave_out)
        stack.enter_context(follow)
        stack.enter_context(room_wanted(workplace.folder))  # so that the tracker is told that sentence, too
        fitted = fit(built, workplace.folder, stopwatch, [OwnSigterm(), others], [journal, follow])
        leave()
        return _conclude(built, fitted, workplace, origin, others, follow)


def help_train(built: Built, folder: Path) -> None:
    """What the other processes of a run do, of which the first one has the workplace `folder` and writes all down.

    Nor do they wait where another run is timed: they wait for the first one.
    """
    try:
        with built.data.dataset.held():
            fit(built, folder, Stopwatch(), [OwnSigterm()])
    finally:
        built.data.teardown()


def _conclude(
    built: Built, fitted: Fitted, workplace: Workplace, origin: Mapping[str, Any], others: HoldStill, follow: Follow
) -> RunResult:
    """Time it, draw it, and leave the results in the workplace, and with the tracker."""
    task, trainer = built.task, fitted.trainer
    built.data.dataset.check_same()  # DVC clears what a stage has made before it makes it anew, whoever reads it
    task.to(trainer.strategy.root_device)
    with others.alone(), trainer.precision_plugin.forward_context():
        milliseconds = predict_ms(task, built.data)
    result = result_of(built, fitted, origin, milliseconds)
    with others.busy():
        folder = workplace.results
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(workplace.folder / "epochs.jsonl", folder)
        _draw(built, folder)
        weights = {name: tensor.contiguous() for name, tensor in task.model.state_dict().items()}
        write_rows(folder / PICTURES, task.tested.rows, task.primary, task.classes)
        told = {"run": built.name, "classes": json.dumps(task.classes)}
        if (white := built.data.dataset.info.get("white")) is not None:
            told["white"] = str(white)
        write_whole(folder / "model.safetensors", save(weights, told))
        write_whole(folder / "config.yaml", built.text)
        # Last and at once, because it tells that the rest is whole, with the tracker, too.
        aside = workplace.folder / "result.json"
        write_whole(aside, json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n")
        follow.conclude(tested(result), [*sorted(folder.iterdir()), aside])
        aside.rename(folder / "result.json")
    return result


def result_of(built: Built, fitted: Fitted, origin: Mapping[str, Any], milliseconds: float) -> RunResult:
    """All that is known of a run once it is tested. origin: `commit`, `dirty`, `command` and `id`, as in RunResult.
    milliseconds: to predict a picture."""
    task, data, epochs = built.task, built.data, built.task.model.planned.epochs
    return RunResult(
        study=built.study,
        run=built.name,
        arm=dict(built.arm),
        names=dict(built.names),
        seed=built.seed,
        metrics=fitted.metrics,
        by_class=task.tested.by_class,
        confusion=task.tested.confusion,
        confused=task.tested.commonest(CONFUSED),
        primary=task.primary,
        epochs=epochs,
        best_epoch=fitted.best_epoch,
        images_seen=fitted.images_seen,
        train_seconds=round(fitted.train_seconds, 3),
        load=round(fitted.load, 2),
        images_per_second=round(fitted.images_seen / fitted.train_seconds, 2),
        predict_ms=round(milliseconds, 3),
        params_total=count(task.parameters()),
        params_trainable_last=task.model.trainable_at(epochs - 1),
        multiply_adds=multiply_adds(task, data),
        image_size=data.image_size,
        scenes={split: len(data.items(split)) for split in SPLITS},
        scenes_left_out=data.left_out,
        **origin,
        data_hash=data.dataset.data_hash,
        machine=provenance.machine(),
        versions=provenance.versions([built.trainer.below]),
        meanings=task.meanings,
        weights=dict(built.weights),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _draw(built: Built, folder: Path) -> None:
    from frostline.draw.schedule import write_picture
    from frostline.runs.drawn import draw_tested

    task = built.task.cpu()
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    write_picture(task.model, [epoch["lr_base"] for epoch in epochs], folder / "schedule.png")
    draw_tested(task, built.data.items("test"), folder)
