"""What the runs of a study have answered so far, read from their folders."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from frostline.errors import FrostlineError
from frostline.runs.result import GROUPS, RunResult
from frostline.scenes.dataset import Dataset
from frostline.studies.axes import SEED, short_names
from frostline.studies.study import Study, read_study
from frostline.words import listed


class Epoch(NamedTuple):
    """The state at the end of an epoch.

    images, seconds: seen and trained so far. depth: groups below the frost line. share: of the parameters that train.
    value: the primary metric on the validation split, NaN where it is not known. time: of day, in seconds; NaN in
    journals of before they told it.
    """

    images: float
    seconds: float
    depth: int
    share: float
    value: float
    time: float = math.nan


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run: its result, where it lies, and its epochs, none where it left no journal.

    axes: short name of each axis of the study's grid but the seed -> the run's value, as text.
    """

    result: RunResult
    folder: Path
    axes: Mapping[str, str]
    epochs: tuple[Epoch, ...] = ()

    @property
    def validated(self) -> float:
        """The validation metric at the epoch that was chosen, which is the best one; NaN where it is not known."""
        return max((epoch.value for epoch in self.epochs if math.isfinite(epoch.value)), default=math.nan)

    @property
    def beside(self) -> float:
        """Seconds from one epoch to the next in which it did not train but validated: the median over its epochs, which
        a halt or a wait for others does not move. NaN below two epochs, and where its journal tells no time of day."""
        pairs = pairwise(self.epochs)
        passed = [later.time - one.time - (later.seconds - one.seconds) for one, later in pairs]
        known = [max(0.0, seconds) for seconds in passed if math.isfinite(seconds)]
        return median(known) if known else math.nan

    def best_within(self, unit: Literal["images", "seconds"], budget: float) -> float | None:
        """The best validation metric by this budget; None before the first epoch ended."""
        values = [e.value for e in self.epochs if getattr(e, unit) <= budget and math.isfinite(e.value)]
        return max(values, default=None)


class Speed(NamedTuple):
    """Milliseconds that a network takes to predict a picture. taken: how often. in_turn: together with the others, by
    `frostline compare`; else each by itself, at the end of a run."""

    median: float
    low: float
    high: float
    taken: int
    in_turn: bool


@dataclass(frozen=True)
class Results:
    """What a study asked, and what its runs have answered so far.

    planned: names of all planned runs; missing: those that have no result yet.
    runs: those that have a result: by task, dataset and the axes in the order of the grid, then by seed.
    derived: by dataset, how each kind of annotation was derived that is not the source's own; None where the dataset
        is not prepared here, so that nothing is known of it.
    speeds: by network, see `RunResult.network`; its median stands in each of its runs.
    """

    study: Study
    planned: list[str]
    missing: list[str]
    runs: list[Run]
    derived: dict[str, dict[str, str] | None]
    speeds: dict[str, "Speed"]


def read_results(study_dir: Path, runs_dir: Path) -> Results:
    """Reads the question, the plan, and the result of every planned run that has one.

    Raises FrostlineError for a study that `read_study` refuses or that has no plan or no result, for a result that
    cannot be read or does not say where it lies on an axis, and for two runs that no axis tells apart.
    """
    study = read_study(study_dir)
    planned = sorted(path.stem for path in (runs_dir / "plan").glob("*.yaml"))
    if not planned:
        raise FrostlineError(
            f"There is no plan in {runs_dir / 'plan'}; run `frostline plan` for study {study.name} first."
        )
    folders = {name: runs_dir / "results" / name for name in planned}
    done = {name: folder for name, folder in folders.items() if (folder / "result.json").is_file()}
    if not done:
        raise FrostlineError(
            f"No planned run of study {study.name} has a result in {runs_dir / 'results'}; train them first."
        )
    names = short_names(dict.fromkeys([*study.grid, SEED]))  # in the order of the grid
    names.pop(SEED)
    runs, speeds = _pooled([_run(folder, names) for folder in done.values()], runs_dir / "speed.json")
    runs = sorted(runs, key=lambda run: _rank(run, study.axes))
    _check_apart(study, runs)
    datasets = {run.result.names["dataset"]: run.result.seed for run in runs}
    return Results(
        study=study,
        planned=planned,
        missing=[name for name in planned if name not in done],
        runs=runs,
        speeds=speeds,
        derived={name: _derived(runs_dir / "data" / study.vary.folder(name, seed)) for name, seed in datasets.items()},
    )


def _pooled(runs: list[Run], path: Path) -> tuple[list[Run], dict[str, Speed]]:
    """Milliseconds belong to a network and not to a schedule: those of all its runs, or those taken in turn."""
    try:
        in_turn = json.loads(path.read_text(encoding="utf-8"))["networks"]
    except (OSError, ValueError, KeyError, TypeError):  # nothing was taken: the runs' own are there
        in_turn = {}
    each: dict[str, list[float]] = {}
    for run in runs:
        each.setdefault(run.result.network, []).append(run.result.predict_ms)
    speeds = {}
    for network, own in each.items():
        values = in_turn.get(network) or own
        speeds[network] = Speed(median(values), min(values), max(values), len(values), bool(in_turn.get(network)))
    pooled = [replace(r, result=replace(r.result, predict_ms=speeds[r.result.network].median)) for r in runs]
    return pooled, speeds


def missing_of(results: Results, task: str, dataset: str) -> list[str]:
    """Planned runs of this task on this dataset that have no result."""
    cells = results.study.cells()
    return [
        name
        for name in results.missing
        if (cell := cells.get(name, {})).get("task", task) == task and cell.get("dataset", dataset) == dataset
    ]


def _run(folder: Path, names: Mapping[str, str]) -> Run:
    """names: key of the grid -> its short name."""
    result = RunResult.read(folder / "result.json")
    if result.run != folder.name:
        raise FrostlineError(
            f"{folder / 'result.json'} is the result of a run {result.run}; delete it and train the run again."
        )
    # What was trained before results had an arm still has the names of its groups.
    known = {name: result.arm.get(name, result.names.get(key.removesuffix(".name"))) for key, name in names.items()}
    axes = {name: value for name, value in known.items() if value is not None}
    if lacking := [name for name in known if name not in axes]:
        raise FrostlineError(
            f"{folder / 'result.json'} does not say its {listed(lacking)}, which is an axis of "
            "the study's grid; train the run again."
        )
    return Run(result, folder, axes, _epochs(folder / "epochs.jsonl", result.primary))


def _epochs(path: Path, primary: str) -> tuple[Epoch, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return tuple(_epoch(line, number, path, primary) for number, line in enumerate(lines, start=1))


def _epoch(line: str, number: int, path: Path, primary: str) -> Epoch:
    try:
        told = json.loads(line)
        if told["epoch"] != number - 1:
            raise ValueError(f"it is epoch {told['epoch']}")
        value = told.get(f"val_{primary}")
        return Epoch(
            images=float(told["images_seen"]),
            seconds=float(told["train_seconds"]),
            depth=int(told["frost_depth"]),
            share=float(told["trainable_share"]),
            value=math.nan if value is None else float(value),
            time=float(told.get("time", math.nan)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FrostlineError(
            f"Line {number} of {path} is not an epoch ({error!r}); delete the folder and train the run again."
        ) from error


def _rank(run: Run, axes: Mapping[str, list[str]]) -> tuple[object, ...]:
    """Where a run comes: values that the grid names in its order, others after them by name."""
    named = run.result.names
    values = {"task": named["task"], "dataset": named["dataset"], **run.axes}
    order = [(axes[a].index(v) if v in axes.get(a, ()) else len(axes.get(a, ())), v) for a, v in values.items()]
    return (*order, run.result.seed, run.result.run)


def _check_apart(study: Study, runs: list[Run]) -> None:
    """Raise FrostlineError where runs would be mixed into one arm that differ in more than the seed."""
    first: dict[tuple[str, ...], Run] = {}
    seeds: dict[tuple[str, ...], Run] = {}
    for run in runs:
        arm = tuple(run.axes.values())
        of_the_arm = first.setdefault(arm, run)
        same_seed = seeds.setdefault((*arm, str(run.result.seed)), run)
        if same_seed is not run:
            raise FrostlineError(
                f"The runs {same_seed.result.run} and {run.result.run} of study {study.name} have the same "
                f"{', '.join([*run.axes, 'seed'])}, so they would be taken for one; plan and train the study again."
            )
        if [of_the_arm.result.names[g] for g in GROUPS] != [run.result.names[g] for g in GROUPS]:
            raise FrostlineError(
                f"The runs {of_the_arm.result.run} and {run.result.run} of study {study.name} differ in more than "
                "their seed, and no axis of its grid says so; let the grid name what differs."
            )


def _derived(folder: Path) -> dict[str, str] | None:
    try:
        return dict(Dataset.open(folder).info["derived"])
    except FrostlineError:  # not prepared here, or no longer whole: the results stand without it
        return None
