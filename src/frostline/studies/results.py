"""What the runs of a study have answered so far, read from their folders."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from frostline.errors import FrostlineError
from frostline.studies.arms import ARM

KEYS = ["study", "task", "dataset", "backbone", "head", "schedule", "seed", "primary"]
FACTS = [
    "epochs",
    "images_seen",
    "train_seconds",
    "images_per_second",
    "params_total",
    "params_trainable_last",
    "commit",
    "data_hash",
    "machine",
]


@dataclass(frozen=True)
class Results:
    """What a study asked, and what its runs have answered so far.

    study: the content of study.yaml.
    planned: names of all planned runs; missing: those that have no result yet.
    records: the content of result.json of each run that has one, in the order of `frame`.
    folders: by run, the folder its result lies in.
    schedules: names in the order of the study's grid.
    frame: one row a run; columns as in results.csv.
    """

    name: str
    study: dict[str, Any]
    planned: list[str]
    missing: list[str]
    records: list[dict[str, Any]]
    folders: dict[str, Path]
    schedules: list[str]
    frame: pd.DataFrame


def read_results(study_dir: Path, runs_dir: Path) -> Results:
    """Reads the question, the plan, and the result of every planned run that has one.

    Rows come in the order in which the study's grid lists its values, then by seed.
    Raises FrostlineError for a study without grid, plan or any result, for a result that cannot be read,
    and for two runs that nothing in the frame would tell apart.
    """
    name = study_dir.resolve().name
    file = study_dir / "study.yaml"
    if not file.is_file():
        raise FrostlineError(f"There is no study at {file}; give the folder that holds study.yaml.")
    try:
        study = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise FrostlineError(f"{file} is not valid YAML ({' '.join(str(error).split())}); mend it.") from error
    if not isinstance(study, dict) or not isinstance(study.get("grid"), dict):
        raise FrostlineError(f"{file} has no grid; write one, such as 'task: [detection]'.")

    planned = sorted(path.stem for path in (runs_dir / "plan").glob("*.yaml"))
    if not planned:
        raise FrostlineError(f"There is no plan in {runs_dir / 'plan'}; run `frostline plan` for study {name} first.")
    records = {run: _read_result(runs_dir / "results" / run / "result.json", run) for run in planned}
    done = {run: record for run, record in records.items() if record is not None}
    if not done:
        raise FrostlineError(
            f"No planned run of study {name} has a result in {runs_dir / 'results'}; train them first."
        )

    twins: dict[tuple[str, ...], str] = {}
    for run, record in done.items():
        other = twins.setdefault(tuple(str(record[key]) for key in (*ARM, "seed")), run)
        if other != run:
            raise FrostlineError(
                f"Runs {other} and {run} of {file} have the same {', '.join(ARM)} and seed, so they would be taken for "
                "one arm; give what differs a name of its own, such as schedule.name."
            )

    rank = {key: [str(value) for value in _listed(values)] for key, values in study["grid"].items()}

    def place(record: dict[str, Any]) -> list[tuple[int, str]]:
        known = [(rank.get(key, []), str(record[key])) for key in ARM]
        order = [(values.index(value) if value in values else len(values), value) for values, value in known]
        return [*order, (int(record["seed"]), record["run"])]

    ordered = sorted(done.values(), key=place)
    seen = {str(record["schedule"]) for record in ordered}
    schedules = [*rank.get("schedule", []), *sorted(seen - set(rank.get("schedule", [])))]
    return Results(
        name=name,
        study=study,
        planned=planned,
        missing=[run for run in planned if run not in done],
        records=ordered,
        folders={record["run"]: runs_dir / "results" / record["run"] for record in ordered},
        schedules=schedules,
        frame=_frame(ordered),
    )


def _read_result(path: Path, run: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FrostlineError(f"{path} is not valid JSON ({error}); delete it and train the run again.") from error
    lacking = [key for key in (*KEYS, *FACTS, "run", "metrics") if key not in record]
    if lacking or record["run"] != run or record["primary"] not in record["metrics"]:
        why = f"lacks {', '.join(lacking)}" if lacking else f"is not a result of run {run} with its primary metric"
        raise FrostlineError(f"{path} {why}; delete it and train the run again.")
    return record


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values]


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    metrics = sorted({metric for record in records for metric in record["metrics"]})
    frame = pd.DataFrame([{key: record[key] for key in (*KEYS, *FACTS)} for record in records])
    for metric in metrics:
        # None, JSON's null, is how a careful writer says NaN.
        values = [record["metrics"].get(metric) for record in records]
        frame[f"test_{metric}"] = pd.Series([math.nan if v is None else float(v) for v in values], dtype="float64")
    for fact in ("train_seconds", "images_per_second"):
        frame[fact] = frame[fact].astype("float64")
    return frame[[*KEYS, *(f"test_{metric}" for metric in metrics), *FACTS]]
