"""MLflow as the tracker: one run of it for each run, with what the machine is doing.

MLflow itself is imported by `begin`: it takes seconds.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frostline.environment import importing
from frostline.tracking.base import Cell, Data, Epoch, Run, Status, ToldModel, ToldStudy, Tracker
from frostline.tracking.batches import log_epochs, log_params
from frostline.tracking.parents import COMMIT, LEVEL, RUN, held, of_cells, show
from frostline.tracking.registry import ADDRESS, ALIAS, has_registry, register
from frostline.tracking.store import check_reached, open_experiment, refusing, tracking_uri, without_password

SAMPLE_EVERY = 1  # seconds
TRIES = 5  # of a dataset that others bring at the same moment
LOCAL_PAGES = "http://127.0.0.1:5000"  # of `make ui`
# Without it, MLflow 3's pages open as those of a chat application, whatever the kind of the experiment.
VIEW = "workflowType=machine_learning"
DIGEST_LIMIT = 36  # characters, of a dataset's
TAGS = {"commit": COMMIT}  # which have a name of MLflow's own
ID = "frostline.id"  # the tag of a training
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


class MlflowTracker(Tracker):
    """uri: of the store; None for MLFLOW_TRACKING_URI where it is set, else a file in runs/.

    system_metrics: whether the use of processor, memory and GPU is logged, too.
    """

    def __init__(self, uri: str | None = None, system_metrics: bool = True) -> None:
        self.uri, self.system_metrics = tracking_uri(uri), system_metrics
        self._client: Any = None
        self._id = ""
        self._monitor: Any = None
        self._steps: set[int] = set()  # that MLflow has

    def check(self) -> None:
        check_reached(self.uri)

    def begin(self, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        experiment = self._opened(run.study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(self.uri)
            if not self._go_on(experiment, run):  # another store, or removed since: a new run
                self._start(experiment, run, params, tags)
            self._watch()

    def epochs(self, epochs: Sequence[Epoch]) -> None:
        left = [epoch for epoch in epochs if epoch.step not in self._steps]
        if not left:
            return
        check_reached(self.uri)
        log_epochs(self._client, self._id, left)
        self._steps |= {epoch.step for epoch in left}
        # It ends where a server does not answer.
        if self._monitor is not None and not self._monitor._process.is_alive():
            self._watch()

    def files(self, paths: Sequence[Path]) -> None:
        check_reached(self.uri)
        for path in paths:
            self._client.log_artifact(self._id, str(path))

    def end(self, status: Status) -> None:
        if self._monitor is not None:
            # Where the server does not answer, it takes a while to end.
            ending = threading.Thread(target=self._monitor.finish, daemon=True)
            ending.start()
            self._monitor = None
            check_reached(self.uri)
            ending.join()
        check_reached(self.uri)
        self._client.set_terminated(self._id, STATUS[status])

    def lacking(self, runs: Sequence[Run]) -> Sequence[Run]:
        experiment = self._opened(runs[0].study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            there = held(MlflowClient(self.uri), experiment)
        ids = {one.data.tags.get(ID) for one in there if one.info.status == "FINISHED"}
        cells = of_cells(one for one in there if ID not in one.data.tags)
        return [run for run in runs if run.id not in ids and not (run.commit and _cell(run) in cells)]

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

    def _start(self, experiment: str, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.tracking.context.registry import resolve_tags

        named = {TAGS.get(key, key): value for key, value in tags.items()} | {LEVEL: RUN}
        made = self._client.create_run(experiment, tags=resolve_tags(named), run_name=run.name)
        self._id = made.info.run_id
        shown = dict(params)
        if "tracking.uri" in shown:
            shown["tracking.uri"] = without_password(shown["tracking.uri"])
        if run.data is not None:
            self._log_input(run.data)
        log_params(self._client, self._id, shown)
        if run.id:  # last: a run that is found by it has all of the above
            self._client.set_tag(self._id, ID, run.id)

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

    def _go_on(self, experiment: str, run: Run) -> bool:
        """In the run that a killed process left; whether there is one."""
        there = self._client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'", max_results=1) if run.id else []
        if not there:
            return False
        self._id = there[0].info.run_id  # MLflow does not take a finished one up again by itself
        self._client.update_run(self._id, status="RUNNING")
        # A batch is there as a whole or not at all, so one metric of each kind tells.
        histories = (self._client.get_metric_history(self._id, name) for name in ("images_seen", "test/loss"))
        self._steps = {point.step for history in histories for point in history}
        return True

    def _watch(self) -> None:
        if not self.system_metrics:
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(
            self._id,
            sampling_interval=SAMPLE_EVERY,
            samples_before_logging=1,
            resume_logging=True,
            tracking_uri=self.uri,
        )
        self._monitor.start()


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
    # Of a server that does not answer, the run says a line itself.
    for name in ("mlflow.system_metrics", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
