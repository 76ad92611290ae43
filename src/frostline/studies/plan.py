"""From a study's grid to one resolved configuration per run."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock

from frostline.code import DATASET, REPORT, RESULTS, code_hash
from frostline.config import ARM, Config, compose, to_yaml
from frostline.errors import FrostlineError
from frostline.studies.axes import arm
from frostline.studies.pipeline import check_pipeline
from frostline.studies.study import Study

# What of this package's own code each stage depends on, so that a changed comment makes none of them anew. Sources are
# asked again for their scenes where they have changed, and decide by what they then say.
CODE = {"prepare": (*DATASET, "sources", "meadow"), "train": RESULTS, "compare": REPORT}


def compose_runs(study: Study) -> dict[str, Config]:
    """The resolved configuration of each run of a study, by name.

    Beside what `compose` knows it has `arm`, what tells its arm from the others: absent where only seeds differ.
    """
    runs: dict[str, Config] = {}
    for name, values in study.cells().items():
        try:
            runs[name] = compose(study.overrides_of(values))
        except FrostlineError as error:
            raise FrostlineError(f"{study.folder}/study.yaml, run {name}: {error}") from error
        if told := arm(values):
            runs[name]["arm"] = told
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


def code_of(stage: str) -> str:
    """The content of the file that tells a stage of the pipeline which state of the code it depends on."""
    return code_hash(*CODE[stage]) + "\n"


def write_plan(study: Study) -> list[str]:
    """Write the plan of a study; returns the runs' names.

    `runs/<study>/plan/<run>.yaml`, `plan/data/<dataset>.yaml` for `prepare`, and `plan/code/<stage>.txt`, which tells
    DVC whether the code that decides what a stage makes has changed.
    """
    check_pipeline(study)
    runs = compose_runs(study)
    datasets: dict[str, Any] = {}
    for name, config in runs.items():
        dataset = config["dataset"]
        if datasets.setdefault(dataset["name"], dataset) != dataset:
            raise FrostlineError(
                f"{study.folder}/study.yaml, run {name}: two different datasets are called '{dataset['name']}'; "
                "give one of them another dataset.name."
            )
    files = {f"{name}.yaml": to_yaml(config) for name, config in runs.items()}
    files |= {f"data/{name}.yaml": to_yaml(dataset) for name, dataset in datasets.items()}
    files |= {f"code/{stage}.txt": code_of(stage) for stage in CODE}
    plan = study.runs / "plan"
    aside = study.runs / "plan.new"
    study.runs.mkdir(parents=True, exist_ok=True)
    with FileLock(study.runs / ".plan.lock"):
        shutil.rmtree(aside, ignore_errors=True)
        for name, content in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_text(content, encoding="utf-8")
        shutil.rmtree(plan, ignore_errors=True)
        aside.rename(plan)
    return list(runs)
