"""What the runs of a study have answered so far, read from their folders."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from frostline.config import ARM
from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.studies.plan import check_arms
from frostline.studies.study import Study, read_study

KEYS = ["study", "task", "dataset", "backbone", "head", "schedule", "seed", "primary"]
FACTS = [
    "epochs",
    "images_seen",
    "train_seconds",
    "images_per_second",
    "predict_ms",
    "params_total",
    "params_trainable_last",
    "commit",
    "data_hash",
    "machine",
]
EPOCH = ["epoch", "images_seen", "train_seconds", "frost_depth", "trainable_share"]


@dataclass(frozen=True)
class Results:
    """What a study asked, and what its runs have answered so far.

    planned: names of all planned runs; missing: those that have no result yet.
    records: the content of result.json of each run that has one, in the order of `frame`.
    folders: by run, the folder its result lies in.
    schedules: names in the order of the study's grid.
    frame: one row a run; columns as in results.csv.
    curves: one row for each epoch of a run, as `read_curves` gives them.
    derived: by dataset, how each kind of annotation was derived that is not the source's own; None where the dataset
        is not prepared here, so that nothing is known of it.
    """

    study: Study
    planned: list[str]
    missing: list[str]
    records: list[dict[str, Any]]
    folders: dict[str, Path]
    schedules: list[str]
    frame: pd.DataFrame
    curves: pd.DataFrame
    derived: dict[str, dict[str, str] | None]


def read_results(study_dir: Path, runs_dir: Path) -> Results:
    """Reads the question, the plan, and the result of every planned run that has one.

    Rows come in the order in which the study's grid lists its values, then by seed.
    Raises FrostlineError for a study that `read_study` refuses or that has no plan or no result, for a result that
    cannot be read, and for two runs that nothing in the frame would tell apart.
    """
    study = read_study(study_dir)
    planned = sorted(path.stem for path in (runs_dir / "plan").glob("*.yaml"))
    if not planned:
        raise FrostlineError(
            f"There is no plan in {runs_dir / 'plan'}; run `frostline plan` for study {study.name} first."
        )
    records = {run: _read_result(runs_dir / "results" / run / "result.json", run) for run in planned}
    done = {run: record for run, record in records.items() if record is not None}
    if not done:
        raise FrostlineError(
            f"No planned run of study {study.name} has a result in {runs_dir / 'results'}; train them first."
        )

    check_arms(study, {run: [record[key] for key in (*ARM, "seed")] for run, record in done.items()})
    rank = {key: [str(value) for value in values] for key, values in study.grid.items()}

    def place(record: dict[str, Any]) -> list[tuple[int, str]]:
        known = [(rank.get(key, []), str(record[key])) for key in ARM]
        order = [(values.index(value) if value in values else len(values), value) for values, value in known]
        return [*order, (int(record["seed"]), record["run"])]

    ordered = sorted(done.values(), key=place)
    seen = {str(record["schedule"]) for record in ordered}
    schedules = [*rank.get("schedule", []), *sorted(seen - set(rank.get("schedule", [])))]
    folders = {record["run"]: runs_dir / "results" / record["run"] for record in ordered}
    frame = _frame(ordered)
    return Results(
        study=study,
        planned=planned,
        missing=[run for run in planned if run not in done],
        records=ordered,
        folders=folders,
        schedules=schedules,
        frame=frame,
        curves=read_curves(frame, folders),
        derived={name: _derived(runs_dir / "data" / name) for name in dict.fromkeys(frame["dataset"])},
    )


def read_curves(frame: pd.DataFrame, folders: dict[str, Path]) -> pd.DataFrame:
    """One row for each run and epoch that epochs.jsonl tells of: run, dataset … schedule, the columns of EPOCH, and
    `value`, the primary metric on the validation split, NaN where it is not told.

    frame: of `Results`, whose rows stand in the order of `folders`. Raises FrostlineError for a line that is no epoch.
    """
    rows = []
    for (run, folder), (_, known) in zip(folders.items(), frame.iterrows(), strict=True):
        file = folder / "epochs.jsonl"
        if not file.is_file():
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                epoch = json.loads(line)
                value = epoch.get(f"val_{known['primary']}")
                rows.append(
                    {key: known[key] for key in ARM}
                    | {key: float(epoch[key]) for key in EPOCH}
                    | {"run": run, "value": math.nan if value is None else float(value)}
                )
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise FrostlineError(
                    f"Line {number} of {file} is not an epoch ({error!r}); delete the folder and train the run again."
                ) from error
    return pd.DataFrame(rows, columns=[*ARM, *EPOCH, "run", "value"])


def _derived(folder: Path) -> dict[str, str] | None:
    try:
        return dict(Dataset.open(folder).info["derived"])
    except FrostlineError:  # not prepared here, or no longer whole: the results stand without it
        return None


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
    return record | {key: str(record[key]) for key in ARM}


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    metrics = sorted({metric for record in records for metric in record["metrics"]})
    frame = pd.DataFrame([{key: record[key] for key in (*KEYS, *FACTS)} for record in records])
    for metric in metrics:
        # None, JSON's null, is how a careful writer says NaN.
        values = [record["metrics"].get(metric) for record in records]
        frame[f"test_{metric}"] = pd.Series([math.nan if v is None else float(v) for v in values], dtype="float64")
    for fact in ("train_seconds", "images_per_second", "predict_ms"):
        frame[fact] = frame[fact].astype("float64")
    return frame[[*KEYS, *(f"test_{metric}" for metric in metrics), *FACTS]]
