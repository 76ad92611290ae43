"""Made-up results of a study, in memory and on disk."""

import json
from pathlib import Path

import yaml

from frostline.report.arms import panels_of
from frostline.report.results import Epoch, Run
from frostline.runs.result import GROUPS, RunResult

PRIMARY = {"classification": "accuracy", "detection": "map"}
HEADS = {"classification": "linear", "detection": "retinanet"}


def made_epochs(values, seconds=None, depths=None):
    """100 images an epoch, one second each by default, six groups of the same size, by default all training."""
    seconds = seconds or [n + 1.0 for n in range(len(values))]
    depths = depths or [0] * len(values)
    return tuple(
        Epoch(100.0 * (n + 1), trained, depth, 1 - depth / 6, value)
        for n, (value, trained, depth) in enumerate(zip(values, seconds, depths, strict=True))
    )


def made_run(task="classification", schedule="thaw", seed=0, value=0.5, epochs=None, folder=None, axes=None, **changes):
    """One run. axes: those of its study, by default the five groups; changes: of its RunResult, or names of groups."""
    names = {"task": task, "dataset": "meadow", "backbone": "net", "head": HEADS[task], "schedule": schedule}
    names |= {group: changes.pop(group) for group in GROUPS if group in changes}
    arm = dict(names) if axes is None else axes
    name = "-".join([*arm.values(), str(seed)])
    primary = PRIMARY[task]
    fields = {
        "study": "s",
        "run": name,
        "arm": arm,
        "names": names,
        "seed": seed,
        "primary": primary,
        "metrics": {primary: value, "loss": 0.25},
        "epochs": 2,
        "best_epoch": 1,
        "images_seen": 200,
        "train_seconds": 10 + seed / 3,
        "images_per_second": 20.5,
        "predict_ms": 12.5,
        "params_total": 3_400_000,
        "params_trainable_last": 5124,
        "image_size": 96,
        "commit": "abc1234",
        "data_hash": "d41d8",
        "machine": "2-core CPU",
        "command": "frostline train",
        "versions": {"torch": "2.15.0"},
        "finished": "2026-11-24T02:00:00Z",
    }
    result = RunResult(**(fields | changes))
    seconds = result.train_seconds
    epochs = made_epochs([value, value], [seconds / 2, seconds], [5, 0]) if epochs is None else epochs
    return Run(result, Path("nowhere") if folder is None else folder, arm, epochs)


def panel_of(*runs):
    (panel,) = panels_of(runs)
    return panel


def axes_of(runs):
    """As `Results` has them: each axis of the runs -> its values."""
    return {axis: list(dict.fromkeys(run.axes[axis] for run in runs)) for axis in runs[0].axes}


def write_study(root, grid, runs=()):
    """A study `s` that asks, and these runs of it, each with its plan; returns its folder."""
    study = root / "experiments/s"
    study.mkdir(parents=True)
    asked = {"question": "Does thawing help?", "expected": "It does.", "grid": grid}
    (study / "study.yaml").write_text(yaml.safe_dump(asked))
    for run in runs:
        write_run(root, run)
    return study


def write_run(root, run):
    """Plans one run and gives it a result; returns the folder of the result."""
    name = run.result.run
    plan, folder = root / "runs/s/plan", root / "runs/s/results" / name
    plan.mkdir(parents=True, exist_ok=True)
    (plan / f"{name}.yaml").write_text("task: x\n")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(run.result.to_json()))
    with (folder / "epochs.jsonl").open("w") as file:
        for number, epoch in enumerate(run.epochs):
            facts = {"epoch": number, "images_seen": epoch.images, "train_seconds": epoch.seconds}
            facts |= {"frost_depth": float(epoch.depth), "trainable_share": epoch.share}
            file.write(json.dumps(facts | {f"val_{run.result.primary}": epoch.value}) + "\n")
    return folder
