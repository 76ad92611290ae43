"""What a study's comparison found, in MLflow: a parent run of the study, in it one of each arm, in these the runs.

All of it can be shown again: what has not changed stays as it is, and runs that were trained before are found by what
they are.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from frostline.tracking.base import Cell, Epoch, ToldArm, ToldStudy
from frostline.tracking.batches import finite, log_epochs, log_metrics, log_params
from frostline.tracking.store import open_experiment, refusing

LEVEL, RUN = "level", "run"  # by which the runs of an experiment can be filtered: study, arm, run
TOLD = "frostline.told"  # what a parent holds, as a hash; set last, so that what was cut short is told again
PARENT, NOTE, COMMIT = "mlflow.parentRunId", "mlflow.note.content", "mlflow.source.git.commit"
# The pages unfold a run whose children are of this type: so arms are seen at once, and their seeds stay folded.
UNFOLDED = {"mlflow.runType": "evaluation"}
MOST_TEXT = 5000  # characters of an experiment's tag
A_PAGE = 1000


def show(uri: str, study: ToldStudy) -> str:
    """Returns the id of the study's experiment. Raises FrostlineError where the store cannot be used."""
    experiment = open_experiment(uri, study.name)
    with refusing(uri):
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        runs = held(client, experiment)
        top = _study(client, experiment, study, runs)
        # The last first, as the pages have the newest above.
        arms = [_arm(client, experiment, arm, top, runs) for arm in reversed(study.arms)][::-1]
        for run in _of(runs, "arm"):
            if run.info.run_id not in arms:  # told anew since, or no longer part of the study
                client.delete_run(run.info.run_id)
        _link(client, study, arms, runs)
        text = study.text if len(study.text) <= MOST_TEXT else f"{study.text[: MOST_TEXT - 1]}…"
        client.set_experiment_tag(experiment, NOTE, text)
    return experiment


def held(client: Any, experiment: str) -> list[Any]:
    """All runs of an experiment, the newest first."""
    found: list[Any] = []
    page = None
    while True:
        some = client.search_runs([experiment], max_results=A_PAGE, order_by=["start_time DESC"], page_token=page)
        found += some
        page = some.token
        if not page:
            return found


def _study(client: Any, experiment: str, study: ToldStudy, runs: Sequence[Any]) -> str:
    """The study's parent, which stays the same run whatever is found: people keep its address."""
    known = next(iter(_of(runs, "study")), None)
    run = known.info.run_id if known else _begun(client, experiment, study.name, {LEVEL: "study"})
    told = _hash(study.text, study.metrics, files=study.files)
    if known is None or known.data.tags.get(TOLD) != told:
        log_metrics(client, run, finite(study.metrics))
        for path in study.files:
            if path.is_dir():
                client.log_artifacts(run, str(path), path.name)
            else:
                client.log_artifact(run, str(path))
        _ended(client, run, told, {NOTE: study.text})
    return run


def _arm(client: Any, experiment: str, arm: ToldArm, top: str, runs: Sequence[Any]) -> str:
    """An arm's parent, another run where its values are others: what MLflow once has, it can only add to."""
    told = _hash(top, arm.metrics, arm.curves, arm.tags)
    for run in _of(runs, "arm"):
        if run.info.run_name == arm.name and run.data.tags.get(TOLD) == told:
            return str(run.info.run_id)
    made = _begun(client, experiment, arm.name, {**arm.tags, **UNFOLDED, LEVEL: "arm", PARENT: top})
    log_params(client, made, arm.tags)
    log_metrics(client, made, finite(arm.metrics))
    now = time.time()
    for name, values in arm.curves.items():
        log_epochs(client, made, [Epoch(step, finite({name: value}), now) for step, value in enumerate(values)])
    _ended(client, made, told, {})
    return made


def _link(client: Any, study: ToldStudy, arms: Sequence[str], runs: Sequence[Any]) -> None:
    """Nest the runs in their arms; and no others, such as earlier ones of the same names."""
    found = of_cells(runs)
    wanted = {
        found[cell].info.run_id: parent
        for arm, parent in zip(study.arms, arms, strict=True)
        for cell in arm.cells
        if cell in found
    }
    for run in runs:
        now, parent = run.data.tags.get(PARENT), wanted.get(run.info.run_id)
        if parent is not None and now != parent:
            client.set_tag(run.info.run_id, PARENT, parent)
        elif parent is None and now is not None and run.data.tags.get(LEVEL, RUN) == RUN:
            client.delete_tag(run.info.run_id, PARENT)


def of_cells(runs: Iterable[Any]) -> dict[Cell, Any]:
    """The finished ones among an experiment's runs, by what they are. runs: the newest first, which counts."""
    found: dict[Cell, Any] = {}
    for run in runs:
        tags = run.data.tags
        if LEVEL not in tags or tags[LEVEL] == RUN:
            cell = Cell(run.info.run_name, tags.get(COMMIT, ""), tags.get("data_hash", ""))
            if run.info.status == "FINISHED":
                found.setdefault(cell, run)
    return found


def _of(runs: Iterable[Any], level: str) -> list[Any]:
    return [run for run in runs if run.data.tags.get(LEVEL) == level]


def _begun(client: Any, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    from mlflow.tracking.context.registry import resolve_tags

    return str(client.create_run(experiment, tags=resolve_tags(dict(tags)), run_name=name).info.run_id)


def _ended(client: Any, run: str, told: str, tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        client.set_tag(run, name, value[:MOST_TEXT])
    client.set_tag(run, TOLD, told)
    client.set_terminated(run)


def _hash(*told: Any, files: Sequence[Path] = ()) -> str:
    digest = sha256(json.dumps(told, sort_keys=True).encode())
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
