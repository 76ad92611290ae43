"""MLflow as the tracker: one run of it for each run, with what the machine is doing.

MLflow itself is imported by `begin`: it takes seconds.
"""

import json
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frostline.environment import importing
from frostline.tracking.base import Cell, Data, Epoch, Run, Status, ToldModel, ToldStudy, Tracker, Unreachable
from frostline.tracking.batches import log_epochs, log_params, param_value
from frostline.tracking.machine import Machine
from frostline.tracking.parents import COMMIT, LEVEL, MOST_TEXT, RUN, held, of_cells, show
from frostline.tracking.registry import ADDRESS, ALIAS, has_registry, register
from frostline.tracking.store import check_reached, open_experiment, refusing, tracking_uri, without_password
from frostline.words import one_line

FRESH = 5.0  # seconds for which one that has answered is not asked whether it does
TRIES = 5  # of a dataset that others bring at the same moment
LOCAL_PAGES = "http://127.0.0.1:5000"  # of `make ui`
# Without it, MLflow 3's pages open as those of a chat application, whatever the kind of the experiment.
VIEW = "workflowType=machine_learning"
DIGEST_LIMIT = 36  # characters, of a dataset's
TAGS = {"commit": COMMIT}  # which have a name of MLflow's own
ID = "frostline.id"  # the tag of a training
REASON = "frostline.reason"  # the tag of a run that has failed or was stopped, until it goes on
DRIFT = "frostline.drift"  # the tag of what a run was told otherwise when it went on, a line each
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


class MlflowTracker(Tracker):
    """uri: of the store; None for MLFLOW_TRACKING_URI where it is set, else a file in runs/.

    system_metrics: whether the use of processor, memory and GPU is logged, too.
    """

    def __init__(self, uri: str | None = None, system_metrics: bool = True) -> None:
        self.uri, self.system_metrics = tracking_uri(uri), system_metrics
        self._client: Any = None
        self._id = ""
        self._seen: dict[str, list[Any]] | None = None  # by id, the runs that `lacking` has found
        self._experiment = ""
        self._answered = -FRESH  # when, last
        self._away: Unreachable | None = None  # by which it was at the last check
        self._machine: Machine | None = None
        self._steps: set[int] = set()  # that MLflow has

    def check(self) -> None:
        try:
            check_reached(self.uri)
        except Unreachable as error:
            self._away = error

    def begin(self, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        if (away := self._away) is not None:  # no step waits to hear it again
            self._away = None
            raise away
        experiment = self._experiment or self._opened(run.study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            self._client, self._steps = MlflowClient(self.uri), set()
            told = {TAGS.get(key, key): value for key, value in tags.items()}
            # Another store, or removed since: a new run.
            known = self._go_on(experiment, run) or self._started(experiment, run, told)
            self._complete(known, run, params, told)
            if self.system_metrics and self._machine is None:
                self._machine = Machine(known.info.start_time / 1000)

    def epochs(self, epochs: Sequence[Epoch]) -> None:
        self._send([epoch for epoch in epochs if epoch.step not in self._steps])

    def _send(self, left: Sequence[Epoch]) -> None:
        """And what the machine did meanwhile."""
        samples = self._machine.samples() if self._machine is not None else []
        if not left and not samples:
            return
        with self._reached():
            log_epochs(self._client, self._id, [*left, *samples])
        self._steps |= {epoch.step for epoch in left}
        if self._machine is not None and samples:
            self._machine.let_go(samples[-1].time)

    def files(self, paths: Sequence[Path]) -> None:
        with self._reached():
            for path in paths:
                self._client.log_artifact(self._id, str(path))

    def end(self, status: Status, reason: str = "") -> None:
        if self._machine is not None:
            self._machine.close()
        self._send([])
        with self._reached():
            if reason:
                self._client.set_tag(self._id, REASON, reason)
            self._client.set_terminated(self._id, STATUS[status])

    def lacking(self, runs: Sequence[Run]) -> Sequence[Run]:
        self._experiment = self._opened(runs[0].study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            there = held(MlflowClient(self.uri), self._experiment)
        cells = of_cells(one for one in there if ID not in one.data.tags)
        self._seen = {}
        for one in reversed(there):  # the oldest first
            self._seen.setdefault(one.data.tags.get(ID, ""), []).append(one)
        # Of one that is there twice, the other is to go.
        whole = {id for id, held in self._seen.items() if [one.info.status for one in held] == ["FINISHED"]}
        return [run for run in runs if run.id not in whole and not (run.commit and _cell(run) in cells)]

    def stopped(self, run: Run) -> bool:
        experiment = self._opened(run.study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(self.uri)
            running = f"tags.`{ID}` = '{run.id}' AND attributes.status = 'RUNNING'"
            there = self._client.search_runs([experiment], running)
        for self._id in (one.info.run_id for one in there):
            self.end("killed", "killed by force")
        return bool(there)

    def compared(self, study: ToldStudy) -> str:
        check_reached(self.uri)
        _load()
        page = f"/#/experiments/{show(self.uri, study)}/runs?{VIEW}"
        if self.uri.startswith("http"):
            return f"in MLflow: {without_password(self.uri).rstrip('/')}{page}"
        return f"in MLflow: make ui, then {LOCAL_PAGES}{page}"

    def register(self, model: ToldModel) -> str:
        if not has_registry(self.uri):
            return ""
        _load()
        version = register(self.uri, model)
        return f"{ADDRESS}{model.name}@{ALIAS} (version {version}) in {without_password(self.uri)}"

    def _opened(self, study: str) -> str:
        """The id of its experiment."""
        check_reached(self.uri)  # before the seconds that the import takes
        _load()
        return open_experiment(self.uri, study)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Within, what goes wrong is one sentence; a server that is away is found to be so at once."""
        if time.monotonic() - self._answered > FRESH:
            check_reached(self.uri)
        with refusing(self.uri):
            yield
        self._answered = time.monotonic()

    def _started(self, experiment: str, run: Run, tags: Mapping[str, str]) -> Any:
        """A new run, with all tags at once: what is cut off after it finds it again."""
        from mlflow.tracking.context.registry import resolve_tags

        named = {**tags, LEVEL: RUN, **({ID: run.id} if run.id else {})}
        made = self._client.create_run(experiment, tags=resolve_tags(named), run_name=run.name)
        self._id = made.info.run_id
        return made

    def _complete(self, known: Any, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """What the run lacks, as its start was cut off; and what it was told otherwise, which it keeps as it was."""
        shown = {key: param_value(value) for key, value in params.items()}
        if "tracking.uri" in shown:
            shown["tracking.uri"] = without_password(shown["tracking.uri"])
        if run.data is not None and not (known.inputs and known.inputs.dataset_inputs):
            self._log_input(run.data)
        before = {**known.data.tags, **known.data.params}
        log_params(self._client, self._id, {key: value for key, value in shown.items() if key not in known.data.params})
        drift = known.data.tags.get(DRIFT, "").splitlines()
        for key, value in {**tags, **shown}.items():
            line = one_line(f"{key}: {before.get(key)}, now {value}")
            if before.get(key, value) != value and line not in drift:
                drift.append(line)
        if drift and "\n".join(drift) != known.data.tags.get(DRIFT):
            self._client.set_tag(self._id, DRIFT, "\n".join(drift)[-MOST_TEXT:])

    def _log_input(self, data: Data) -> None:
        """Of runs that begin at once on a dataset that MLflow does not know yet, all but one are refused; but then it
        does."""
        from mlflow.exceptions import MlflowException

        for left in reversed(range(TRIES)):
            try:
                self._client.log_inputs(self._id, [_input(data)])
                return
            except MlflowException:
                if not left:
                    raise
                time.sleep(random.uniform(0.1, 0.5))

    def _go_on(self, experiment: str, run: Run) -> Any:
        """The run that a killed process left, or one that has sent a part; None where there is none."""
        if not run.id:
            return None
        if self._seen is not None:
            there = self._seen.get(run.id, [])
        else:
            oldest = ["attributes.start_time ASC"]
            there = self._client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'", order_by=oldest)
        if not there:
            return None
        # A server that is killed while it makes one is asked again, and has made two.
        known = next((one for one in there if one.info.status == "FINISHED"), there[0])
        for other in there:
            if other is not known:
                self._client.delete_run(other.info.run_id)
        self._id = known.info.run_id  # MLflow does not take a finished one up again by itself
        self._client.update_run(self._id, status="RUNNING")
        if REASON in known.data.tags:
            self._client.delete_tag(self._id, REASON)
        # A batch is there as a whole or not at all, so one metric of each kind tells.
        histories = (self._client.get_metric_history(self._id, name) for name in ("images_seen", "test/loss"))
        self._steps = {point.step for history in histories for point in history}
        return known


def _cell(run: Run) -> Cell:
    return Cell(run.name, run.commit, run.data.digest if run.data else "")


def _input(data: Data) -> Any:
    """The dataset as MLflow's own kind of one, by which runs can be found."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": data.folder.as_posix()})
    held = Dataset(data.name, data.digest[:DIGEST_LIMIT], "local", source, profile=json.dumps(dict(data.scenes)))
    return DatasetInput(held, [InputTag("mlflow.data.context", ", ".join(data.scenes))])


def _load() -> None:
    """MLflow, without what it says of its own doings: it sets its levels when it is imported."""
    with importing():
        import mlflow  # noqa: F401
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Of a server that does not answer and a database that is full or locked, the run says a line itself.
    for name in ("urllib3.connectionpool", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
