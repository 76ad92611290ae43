"""From a study's grid to one resolved configuration per run."""

import shutil
from collections.abc import Mapping

from filelock import FileLock

from frostline.code import DATASET, REPORT, RESULTS, code_hash
from frostline.config import Config, compose, to_yaml
from frostline.config.source import attribute
from frostline.errors import FrostlineError
from frostline.runs.preflight import check_parts
from frostline.runs.workplace import prepared
from frostline.studies.axes import SEED, arm
from frostline.studies.kept import keep
from frostline.studies.pipeline import check_pipeline
from frostline.studies.study import Study
from frostline.words import listed

# What of this package's own code each stage depends on, so that a changed comment makes none of them anew. Sources are
# asked again for their scenes where they have changed, and decide by what they then say.
CODE = {"prepare": (*DATASET, "sources", "parsing", "meadow/version.py"), "train": RESULTS, "compare": REPORT}


def compose_runs(study: Study) -> dict[str, Config]:
    """The resolved configuration of each run of a study, by name.

    Beside what `compose` knows it has `arm`, what tells its arm from the others: absent where only seeds differ.
    Raises FrostlineError where the study cannot be planned: all that `plan` refuses, `plan --dry-run` does, too.
    """
    runs = composed(study)  # first, as an axis that no run knows is no mistake of its pipeline
    check_pipeline(study)
    return runs


def composed(study: Study) -> dict[str, Config]:
    """As `compose_runs`, whatever its pipeline says."""
    runs: dict[str, Config] = {}
    for name, values in study.cells().items():
        try:
            runs[name] = compose(study.overrides_of(values))
            check_parts(runs[name])
            runs[name] = study.vary.apply(runs[name], values.get(SEED, 0))
        except FrostlineError as error:
            raise FrostlineError(f"{study.at_axis(values, str(error))}, run {name}: {error}") from error
        _check_metric(study, runs[name]["task"])
        if told := arm(values):
            runs[name]["arm"] = told
    _datasets(study, runs)
    tasks = {config["task"]["name"] for config in runs.values()}
    for task, key in study.stated.tasks.items():
        if task not in tasks:
            has = listed(sorted(tasks))
            raise FrostlineError(f"{study.at(key)}: '{key}' names task '{task}'; the study has {has}.")
    return runs


def _check_metric(study: Study, task: Config) -> None:
    """Raise FrostlineError where the study is to be decided by another metric than its runs choose their epoch by."""
    stated, primary = study.stated.metric_of(task["name"]), attribute(str(task.get("_target_")), "primary")
    if stated is not None and primary is not None and stated != primary:
        raise FrostlineError(
            f"{study.at('metric')}: 'metric' is {stated}, and task={task['name']} is decided by {primary}, by which "
            "its runs choose their best epoch, too: name that, or leave it out."
        )


def _datasets(study: Study, runs: Mapping[str, Config]) -> dict[str, Config]:
    """What its runs read, by the name of its folder. Raises FrostlineError where two have one name."""
    datasets: dict[str, Config] = {}
    for name, config in runs.items():
        dataset = config["dataset"]
        if datasets.setdefault(prepared(config), dataset) != dataset:
            raise FrostlineError(
                f"{study.folder}/study.yaml, run {name}: two different datasets are called '{dataset['name']}'; "
                "give one of them another dataset.name."
            )
    return datasets


def code_of(stage: str) -> str:
    """The content of the file that tells a stage of the pipeline which state of the code it depends on."""
    return code_hash(*CODE[stage]) + "\n"


def write_plan(study: Study) -> dict[str, Config]:
    """Write the plan of a study; returns its runs by name.

    `runs/<study>/plan/<run>.yaml`, `plan/data/<dataset>.yaml` for `prepare`, and `plan/code/<stage>.txt`, which tells
    DVC whether the code that decides what a stage makes has changed.
    """
    runs = compose_runs(study)
    files = {f"{name}.yaml": to_yaml(config) for name, config in runs.items()}
    files |= {f"data/{name}.yaml": to_yaml(dataset) for name, dataset in _datasets(study, runs).items()}
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
        keep(study)
    return runs
