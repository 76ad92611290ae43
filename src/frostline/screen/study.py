"""From a screen to a study: what may still win is trained whole, as far as a budget goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from frostline.config import Config, compose, conf_files
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.launch.cost import Estimator, repro_seconds
from frostline.runs.catalogue import ANY
from frostline.runs.preflight import check_parts
from frostline.screen.candidates import OF_TIMM, Candidate, chosen
from frostline.screen.screening import Asked
from frostline.studies.axes import override
from frostline.studies.pipeline import STUDIES, write_pipeline
from frostline.studies.study import Study, read_study
from frostline.words import duration, listed

SCHEDULES = ("frozen", "thaw")  # how deep the survivors are tried: the cheapest, and what is mostly good
SEEDS = 3  # of the grid, where the budget has room: the first look of a race; its rounds add more
MARGIN = 0.01  # of the study: the smallest difference that matters
MARK = "# Written by `frostline screen`"
Seconds = Callable[[Config], float]


@dataclass(frozen=True)
class Fit:
    """What a budget has room for. names: the backbones, the best first. left_out: those it has no room for. seeds: how
    many. seconds: of all the runs, as this machine trains them."""

    names: Sequence[str]
    left_out: Sequence[str]
    seeds: int
    seconds: float

    def told(self, study: Study) -> str:
        lacks = f"; the budget had no room for {listed(list(self.left_out))}" if self.left_out else ""
        return (
            f"{study.folder}/study.yaml: {len(study.cells())} runs of {listed(list(self.names))}, about "
            f"{duration(self.seconds)} on this machine{lacks}."
        )


def overrides_of(asked: Sequence[str], schedule: str) -> list[str]:
    """Of a run of the study, but for task, backbone and seed: what the user said, the views that are kept, and a thread
    for each run, without which nothing of what is kept would be found."""
    given = [one for one in asked if not one.startswith("backbone.")]
    keys = {one.partition("=")[0] for one in given}
    kept = [one for one in ("augment.views=2", "trainer.threads=1") if one.partition("=")[0] not in keys]
    return [*kept, *given, f"schedule={schedule}"]


def run_of(candidate: Candidate, task: str, schedule: str, asked: Sequence[str]) -> Config:
    """One run of the study as it would be composed."""
    name = candidate.name.removeprefix(OF_TIMM)
    backbone = [f"backbone={ANY}", override("backbone.name", name)] if _of_timm(candidate) else [f"backbone={name}"]
    more = [one for one in asked if one.startswith("backbone.")]
    return compose([f"task={task}", *backbone, *more, *overrides_of(asked, schedule)])


def check_budget(asked: Asked, budget: float, seconds: Seconds | None = None) -> None:
    """Raise FrostlineError where the budget has no room for a single run of the smallest of what is asked for, frozen
    throughout: before anything is screened. seconds: of a run; by default by steps timed for it."""
    candidates, _ = chosen(asked.backbones, asked.pretrained)
    there = [one for one in candidates if not one.lacking]
    if not there:
        return
    smallest = min(there, key=lambda one: (one.parameters or 10**12, one.name))
    config = run_of(smallest, asked.tasks[0], SCHEDULES[0], asked.overrides)
    check_parts(config)
    needed = repro_seconds([(seconds or Estimator())(config)], [config])
    if needed > budget:
        raise FrostlineError(
            f"--budget is {duration(budget)}, and a single run of {smallest.name}, the smallest of them, frozen, takes "
            f"about {duration(needed)} here: give more."
        )


def fit(
    names: Sequence[str],
    candidates: Mapping[str, Candidate],
    tasks: Sequence[str],
    asked: Sequence[str],
    budget: float | None,
    seconds: Seconds | None = None,
) -> Fit:
    """As many of the backbones, the best first, with as many seeds, SEEDS at most, as a budget of seconds has room for.

    Rather fewer seeds of all than more of some, down to one of each. None as budget: all of them. Raises FrostlineError
    where it has room for no run.
    """
    seconds = seconds or Estimator()
    each = {
        name: [(seconds(config), config) for task in tasks for schedule in SCHEDULES
               if (config := run_of(candidates[name], task, schedule, asked))]
        for name in names
    }  # fmt: skip

    def total(chosen: Sequence[str], seeds: int) -> float:
        runs = [run for name in chosen for run in each[name] for _ in range(seeds)]
        return repro_seconds([length for length, _ in runs], [config for _, config in runs])

    if budget is None:
        return Fit(names, (), SEEDS, total(names, SEEDS))
    for count in range(len(names), 0, -1):
        for seeds in range(SEEDS, 0, -1):
            if (needed := total(names[:count], seeds)) <= budget:
                return Fit(names[:count], names[count:], seeds, needed)
    raise FrostlineError(
        f"--budget is {duration(budget)}, and {names[0]} alone, with one seed, {listed(list(SCHEDULES))}, takes about "
        f"{duration(total(names[:1], 1))} here: nothing is written; give more."
    )


def write_study(
    name: str,
    fitted: Fit,
    candidates: Mapping[str, Candidate],
    tasks: Sequence[str],
    asked: Sequence[str],
    budget: str | None,
    command: str,
) -> tuple[Study, bool]:
    """`experiments/NAME/` with its study.yaml and dvc.yaml; and whether it was there already, written by the same
    command, and is left as it is. Raises FrostlineError where something else lies there."""
    folder = STUDIES / name
    path = folder / "study.yaml"
    head = f"{MARK}: {command}\n"
    if path.is_file() and path.read_text(encoding="utf-8").startswith(head):
        return read_study(folder), True
    if "/" in name or folder.exists():
        raise FrostlineError(f"{folder} is there already, or no folder can be called so: choose another --study.")
    axis, values, more, special = _axis([candidates[one] for one in fitted.names])
    schedules = list(SCHEDULES)
    content: dict[str, Any] = {
        "question": f"Which of {listed(list(fitted.names))}, frozen or thawed, is best for these pictures?",
        "margin": MARGIN,
        **({"budget": budget} if budget else {}),
        "grid": {"task": list(tasks), axis: values, "schedule": schedules, "seed": list(range(fitted.seeds))},
        "overrides": [*more, *[one for one in asked if one.startswith("backbone.")], *overrides_of(asked, "")[:-1]],
        **({"overrides_for": special} if special else {}),
    }
    notes = [head, f"# about {duration(fitted.seconds)} of training on this machine\n"]
    if fitted.left_out:
        notes.append(f"# the budget had no room for {listed(list(fitted.left_out))}\n")
    folder.mkdir(parents=True)
    write_whole(path, "".join(notes) + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))
    study = read_study(folder)
    write_pipeline(study)
    return study, False


def _axis(candidates: Sequence[Candidate]) -> tuple[str, list[str], list[str], dict[str, list[str]]]:
    """Of the backbones: the key of the grid, its values, and overrides, for all runs and for some."""
    timm = [one for one in candidates if _of_timm(one)]
    files = [one.name for one in candidates if not _of_timm(one)]
    bare = [one.name.removeprefix(OF_TIMM) for one in timm]
    if not timm:
        return "backbone", files, [], {}
    if not files:
        return "backbone.name", bare, [f"backbone={ANY}"], {}
    if len(timm) == 1:
        return "backbone", [*files, ANY], [], {f"backbone={ANY}": [f"backbone.name={bare[0]}"]}
    raise FrostlineError(
        f"A study's grid names files of conf/backbone/ or models of timm, and {listed(bare)} are of timm beside "
        f"{listed(files)}: write conf/backbone/NAME.yaml for them, as resnet18.yaml is one, and screen those names."
    )


def _of_timm(candidate: Candidate) -> bool:
    return candidate.name.startswith(OF_TIMM) or candidate.name not in conf_files("backbone")
