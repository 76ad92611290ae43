"""Rounds of seeds: the arms that still compete get as many as the next planned look needs, until there is a verdict."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.launch.ahead import train_ahead
from frostline.report.results import read_results
from frostline.report.standing import standings, told
from frostline.runs.result import RunResult
from frostline.studies.kept import changes
from frostline.studies.pipeline import difference, pipeline_of, write_pipeline
from frostline.studies.plan import write_plan
from frostline.studies.seeds import plan_looks, write_seeds
from frostline.studies.stale import stale
from frostline.studies.study import Study, arm_of, read_study
from frostline.words import duration, listed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Look:
    """wanted: arm -> the seeds that it is to have for the next look; empty where there is a verdict in every panel."""

    study: Study
    wanted: Mapping[str, list[int]]

    @property
    def runs(self) -> int:
        return sum(map(len, self.wanted.values()))


def look(folder: Path, say: Say = print) -> Look:
    """Look at the finished runs, say where each panel stands, and what the next look needs.

    Raises FrostlineError where planned runs are not trained, or cannot be compared.
    """
    study = planned(folder, say)
    if todo := untrained(study):
        raise FrostlineError(
            f"{len(todo)} of {len(study.cells())} planned runs are still to be trained, such as {min(todo)} "
            f"({todo[min(todo)]}): `{repro(study)}` trains them."
        )
    return _looked(study, say)


def planned(folder: Path, say: Say = print) -> Study:
    """The study, its looks planned and its plan written."""
    study = read_study(folder)
    if "seed" not in study.grid:
        raise FrostlineError(f"{folder}/study.yaml: the grid has no axis seed; give it one, such as seed: [0, 1, 2].")
    if not study.looks:
        looks = plan_looks(study.grid["seed"], study.vary.folds)
        study = _write(study, looks, {})
        say(
            f"{study.folder}/study.yaml plans its looks from now on, at {listed([*map(str, looks)])} seeds: the error "
            "that a verdict may have is shared out among them; looks at other times, or more of them, are not paid for."
        )
    if difference(study):  # as after a kill between the two files
        write_pipeline(study)
    write_plan(study)
    for change in changes(study):
        say(f"frostline: {change}")
    return study


def untrained(study: Study) -> dict[str, str]:
    """Why each planned run that has no result of today's plan has none."""
    return stale(study, {run: _config(study, run) for run in study.cells()})


def add(found: Look) -> Study:
    """Write the seeds that are wanted into study.yaml, and its dvc.yaml anew."""
    study = found.study
    seeds_for = {arm: list(seeds) for arm, seeds in study.seeds_for.items()}
    for arm, seeds in found.wanted.items():
        seeds_for[arm] = [*seeds_for.get(arm, []), *(s for s in seeds if s not in seeds_for.get(arm, []))]
    return _write(study, study.looks, seeds_for)


def repro(study: Study) -> str:
    """The command that trains what is planned."""
    return f"make repro STUDY={study.name}" if pipeline_of(study).parent != Path() else "make repro"


def until_verdict(folder: Path, budget: float, train: Callable[[Study], None] | None = None, say: Say = print) -> bool:
    """Plan, train and look, round by round, until every panel has its verdict or the budget is spent.

    budget: seconds for all rounds of seeds together, those of earlier calls included, as far as their runs were
    finished. Runs of the grid count only in the call that trains them, as they may be older than any budget.
    train: trains what is planned. Returns whether there is a verdict everywhere. A round that would take more than is
    left is not begun. Stopped, the same call goes on. Raises FrostlineError where a run fails.
    """
    study = planned(folder, say)
    began, before, pace = time.monotonic(), _spent(study), 1.0
    last: dict[str, str] = {}
    while True:
        todo = untrained(study)
        if todo and todo == last:
            raise FrostlineError(f"{min(todo)} was trained and is still to be trained ({min(todo.values())}).")
        last = todo
        if not todo:
            found = _looked(study, say)
            if not found.wanted:
                return True
            round_of = {arm: len(seeds) for arm, seeds in found.wanted.items()}
        else:
            found, round_of = None, _by_arm(study, todo)
        expected = pace * _seconds(study, round_of)
        left = budget - before - (time.monotonic() - began)
        runs = sum(round_of.values())
        if expected > left:
            say(
                f"Not begun: the next round has {runs} runs and takes about {duration(expected)}, and of "
                f"{duration(budget)} {duration(max(left, 0))} are left. --budget gives more."
            )
            return False
        if found is not None:
            study = add(found)
            say(_added(found))
        say(f"Training {runs} runs, about {duration(expected)} of {duration(left)} that are left.")
        started = time.monotonic()
        (train or train_round)(study)
        pace = max(1.0, (time.monotonic() - started) * pace / expected)
        study = planned(folder, say)


def train_round(study: Study) -> None:
    """As `make repro` does it: planned and prepared by DVC, trained ahead, taken over by DVC, and compared."""
    pipeline = str(pipeline_of(study))
    _dvc("repro", "-q", f"{pipeline}:prepare")
    train_ahead(study)
    _dvc("repro", "-q", pipeline)


def added(found: Look) -> str:
    """What `add` did, in words, and what to run next."""
    return (
        f"{_added(found)} `{repro(found.study)}` trains these and no other run; then `frostline study seeds "
        f"{found.study.name}` looks again."
    )


def _added(found: Look) -> str:
    arms = [f"{arm} ({', '.join(map(str, seeds))})" for arm, seeds in found.wanted.items()]
    return f"Added {found.runs} runs to {found.study.folder}/study.yaml, by arm and seed: {listed(arms)}."


def _looked(study: Study, say: Say) -> Look:
    wanted: dict[str, list[int]] = {}
    for standing in standings(read_results(study.folder, study.runs)):
        say(told(standing))
        wanted |= standing.wanted
    return Look(study, wanted)


def _write(study: Study, looks: tuple[int, ...], seeds_for: Mapping[str, list[int]]) -> Study:
    write_seeds(study.folder / "study.yaml", looks, seeds_for)
    changed = read_study(study.folder)
    write_pipeline(changed)
    return changed


def _by_arm(study: Study, runs: Mapping[str, str]) -> dict[str, int]:
    cells = study.cells()
    arms = [arm_of(cells[run]) for run in runs]
    return {arm: arms.count(arm) for arm in dict.fromkeys(arms)}


def _seconds(study: Study, runs: Mapping[str, int]) -> float:
    """About how long so many runs of each arm take: as its finished ones did, or by steps timed for it."""
    from frostline.launch.cost import RUN_SECONDS, Estimator, repro_seconds

    one_of = {arm_of(values): run for run, values in study.cells().items()}
    configs = {arm: _config(study, one_of[arm]) for arm in runs}
    known, estimate, each = _measured(study), None, {}
    for arm in runs:
        if arm in known:
            each[arm] = fmean(known[arm]) + RUN_SECONDS
        else:
            estimate = estimate or Estimator()
            each[arm] = estimate(configs[arm])
    all_of = [(each[arm], configs[arm]) for arm, number in runs.items() for _ in range(number)]
    return repro_seconds([seconds for seconds, _ in all_of], [config for _, config in all_of])


def _config(study: Study, run: str) -> Config:
    """Of a run, as it is planned."""
    return read(study.runs / "plan" / f"{run}.yaml")


def _measured(study: Study) -> dict[str, list[float]]:
    """Seconds of training of each finished run, by arm."""
    found: dict[str, list[float]] = {}
    for run, values in study.cells().items():
        path = study.runs / "results" / run / "result.json"
        if path.is_file():
            found.setdefault(arm_of(values), []).append(RunResult.read(path).train_seconds)
    return found


def _spent(study: Study) -> float:
    """Seconds that rounds of seeds took in earlier calls, by what their finished runs did; none for the grid's runs."""
    done = {
        run: values["seed"]
        for run, values in study.cells().items()
        if values["seed"] not in study.grid["seed"] and (study.runs / "results" / run / "result.json").is_file()
    }
    return _seconds(study, _by_arm(study, dict.fromkeys(done, ""))) if done else 0.0


def _dvc(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise FrostlineError(f"`dvc {' '.join(arguments)}` failed: {' '.join(told[-3:])[-500:]}")
