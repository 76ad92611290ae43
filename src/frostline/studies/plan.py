"""From a study's grid to one resolved configuration per run."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from frostline.config import ARM, Config, compose, to_yaml
from frostline.errors import FrostlineError

RUNS = Path("runs")
STUDY_KEYS = {"question", "expected", "grid", "overrides", "overrides_for"}


@dataclass(frozen=True)
class Study:
    """A question, and the grid of runs that answers it: the content of `experiments/<name>/study.yaml`.

    expected: what was expected beforehand; empty where nothing was.
    grid: override key -> its values; the runs are their product. overrides: for every run.
    overrides_for: "key=value" of the grid -> overrides for the runs that have it.
    """

    folder: Path
    question: str
    expected: str
    grid: Mapping[str, list[Any]]
    overrides: tuple[str, ...]
    overrides_for: Mapping[str, list[str]]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def runs(self) -> Path:
        """Where everything that its runs make is kept."""
        return RUNS / self.name

    def cells(self) -> Iterator[tuple[str, list[str]]]:
        """Each run's name, as DVC names the cell of its matrix, and its overrides."""
        for values in itertools.product(*self.grid.values()):
            chosen = [f"{key}={_plain(value)}" for key, value in zip(self.grid, values, strict=True)]
            special = [o for pair in chosen for o in self.overrides_for.get(pair, [])]
            name = "-".join(_plain(value) for value in values)
            yield name, [*self.overrides, *chosen, *special, f"study={self.name}"]


def read_study(folder: Path) -> Study:
    """The study in a folder. Raises FrostlineError where study.yaml is missing or not understood."""
    path = folder / "study.yaml"
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise FrostlineError(f"The study {path} cannot be read ({reason}): name a folder with a study.yaml.") from error
    if not isinstance(content, dict):
        raise FrostlineError(f"{path} is not a mapping: it needs 'question' and 'grid'.")
    unknown = sorted(set(content) - STUDY_KEYS)
    if unknown:
        raise FrostlineError(f"{path} has an unknown key '{unknown[0]}'; known are {', '.join(sorted(STUDY_KEYS))}.")
    grid = content.get("grid")
    if not isinstance(grid, dict) or not grid or not all(isinstance(v, list) and v for v in grid.values()):
        raise FrostlineError(f"{path}: 'grid' must map each axis to a list of values, such as 'task: [detection]'.")
    overrides_for = content.get("overrides_for") or {}
    pairs = {f"{key}={_plain(value)}" for key, values in grid.items() for value in values}
    for pair in overrides_for:
        if pair not in pairs:
            raise FrostlineError(f"{path}: overrides_for names '{pair}', which the grid does not have.")
    question, expected = (str(content.get(key) or "") for key in ("question", "expected"))
    return Study(folder, question, expected, grid, tuple(content.get("overrides") or []), overrides_for)


def compose_runs(study: Study) -> dict[str, Config]:
    """The resolved configuration of each run of a study, by name."""
    runs: dict[str, Config] = {}
    for name, overrides in study.cells():
        if name in runs:
            raise FrostlineError(f"{study.folder}/study.yaml: two runs would be called '{name}'; take one away.")
        if "/" in name:
            raise FrostlineError(
                f"{study.folder}/study.yaml: a run would be called '{name}', and its files as well, so no value of the "
                "grid has a /: let the axis be one of names, such as schedule.name or dataset.name, and give each its "
                "own in overrides_for."
            )
        try:
            runs[name] = compose(overrides)
        except FrostlineError as error:
            raise FrostlineError(f"{study.folder}/study.yaml, run {name}: {error}") from error
    return runs


def check_arms(study: Study, runs: Mapping[str, Sequence[Any]]) -> None:
    """Raise FrostlineError where nothing in a comparison would tell two runs apart. runs: ARM and seed of each run."""
    arms: dict[tuple[str, ...], str] = {}
    for name, told in runs.items():
        other = arms.setdefault(tuple(map(str, told)), name)
        if other != name:
            raise FrostlineError(
                f"{study.folder}/study.yaml: the runs {other} and {name} have the same {', '.join(ARM)} and seed, so "
                "they would be taken for one arm; give what differs a name of its own, such as schedule.name."
            )


def write_plan(study: Study) -> list[str]:
    """Write `runs/<study>/plan/<run>.yaml`, and `plan/data/<dataset>.yaml` for `prepare`; returns the runs' names."""
    runs = compose_runs(study)
    datasets: dict[str, Any] = {}
    for name, config in runs.items():
        dataset = config["dataset"]
        if datasets.setdefault(dataset["name"], dataset) != dataset:
            raise FrostlineError(
                f"{study.folder}/study.yaml, run {name}: two different datasets are called '{dataset['name']}'; "
                "give one of them another dataset.name."
            )
    check_arms(study, {name: [*(c[key]["name"] for key in ARM), c["seed"]] for name, c in runs.items()})
    plan = study.runs / "plan"
    aside = study.runs / "plan.new"
    study.runs.mkdir(parents=True, exist_ok=True)
    with FileLock(study.runs / ".plan.lock"):
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "data").mkdir(parents=True)
        for name, config in runs.items():
            (aside / f"{name}.yaml").write_text(to_yaml(config))
        for name, dataset in datasets.items():
            (aside / "data" / f"{name}.yaml").write_text(to_yaml(dataset))
        shutil.rmtree(plan, ignore_errors=True)
        aside.rename(plan)
    return list(runs)


def stale(study: Study, runs: Mapping[str, Config]) -> dict[str, str]:
    """Why each run would be trained by the next `dvc repro`; runs that would not are left out."""
    reasons: dict[str, str] = {}
    changed = _changed_stages(study)
    for name, config in runs.items():
        done = study.runs / "results" / name
        if not (done / "result.json").is_file():
            reasons[name] = "never trained"
        elif (done / "config.yaml").read_text() != to_yaml(config):
            reasons[name] = "configuration changed"
        elif paths := changed.get(f"train@{name}"):
            reasons[name] = f"{', '.join(sorted(paths))} changed"
    return reasons


def _changed_stages(study: Study) -> dict[str, list[str]]:
    """What DVC says has changed since each stage ran; nothing where the study is no DVC pipeline."""
    own, root = study.folder / "dvc.yaml", Path("dvc.yaml")
    if own.is_file():
        pipeline = own
    elif root.is_file() and f"/{study.folder.name}/study.yaml" in root.read_text():
        pipeline = root
    else:
        return {}
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", str(pipeline)], capture_output=True, text=True
    )
    if answer.returncode:
        raise FrostlineError(f"`dvc status {pipeline}` failed: {(answer.stderr.strip() or 'no reason given')[-300:]}")
    changed: dict[str, list[str]] = {}
    for stage, changes in json.loads(answer.stdout or "{}").items():
        for change in changes:
            for paths in change.values() if isinstance(change, dict) else [[change]]:
                # the plan's own files are compared by their content, as they will be and not as they were
                found = [path for path in paths if "/plan/" not in path]
                if found:
                    changed.setdefault(stage.split(":")[-1], []).extend(found)
    return changed


def _plain(value: Any) -> str:
    """As DVC writes a scalar of a matrix into a name."""
    return str(value).lower() if isinstance(value, bool) else str(value)
