"""MLflow as the tracker: one run of it for each run, with what the machine is doing.

MLflow itself is imported by `begin`: it takes seconds.
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frostline.environment import importing
from frostline.files import write_whole
from frostline.tracking.base import Data, Run, Status, ToldModel, ToldStudy, Tracker
from frostline.tracking.batches import log_metrics, log_params
from frostline.tracking.parents import COMMIT, LEVEL, RUN, show
from frostline.tracking.registry import ADDRESS, ALIAS, has_registry, register
from frostline.tracking.store import check_reached, open_experiment, refusing, tracking_uri, without_password

SAMPLE_EVERY = 1  # seconds
LOCAL_PAGES = "http://127.0.0.1:5000"  # of `make ui`
# Without it, MLflow 3's pages open as those of a chat application, whatever the kind of the experiment.
VIEW = "workflowType=machine_learning"
DIGEST_LIMIT = 36  # characters, of a dataset's
TAGS = {"commit": COMMIT}  # which have a name of MLflow's own
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
        with importing():
            experiment = open_experiment(self.uri, run.study)
        with refusing(self.uri):
            from mlflow import MlflowClient

            _quieten()
            self._client = MlflowClient(self.uri)
            kept = run.folder / "mlflow_run_id"
            known = kept.read_text().strip() if kept.exists() else ""
            if not known or not self._go_on(known):  # another store, or removed since: a new run
                self._start(experiment, run, params, tags)
                write_whole(kept, self._id)
            self._watch()

    def epoch(self, metrics: Mapping[str, float], step: int) -> None:
        if step in self._steps:
            return
        check_reached(self.uri)
        log_metrics(self._client, self._id, metrics, step)
        self._steps.add(step)
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

    def compared(self, study: ToldStudy) -> str:
        check_reached(self.uri)
        with importing():
            import mlflow  # noqa: F401
        _quieten()
        page = f"/#/experiments/{show(self.uri, study)}/runs?{VIEW}"
        if self.uri.startswith("http"):
            return f"in MLflow: {without_password(self.uri).rstrip('/')}{page}"
        return f"in MLflow: make ui, then {LOCAL_PAGES}{page}"

    def register(self, model: ToldModel) -> str:
        if not has_registry(self.uri):
            return ""
        with importing():
            import mlflow  # noqa: F401
        _quieten()
        version = register(self.uri, model)
        return f"{ADDRESS}{model.name}@{ALIAS} (version {version}) in {without_password(self.uri)}"

    def _start(self, experiment: str, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.tracking.context.registry import resolve_tags

        named = {TAGS.get(key, key): value for key, value in tags.items()} | {LEVEL: RUN}
        made = self._client.create_run(experiment, tags=resolve_tags(named), run_name=run.name)
        self._id = made.info.run_id
        shown = dict(params)
        if "tracking.uri" in shown:
            shown["tracking.uri"] = without_password(shown["tracking.uri"])
        if run.data is not None:
            self._client.log_inputs(self._id, [_input(run.data)])
        log_params(self._client, self._id, shown)

    def _go_on(self, identifier: str) -> bool:
        """In the run that a killed process left; whether it is still there."""
        from mlflow.exceptions import MlflowException

        try:
            if self._client.get_run(identifier).info.lifecycle_stage != "active":
                return False
        except MlflowException:
            return False
        self._id = identifier  # MLflow does not take a finished one up again by itself
        self._client.update_run(identifier, status="RUNNING")
        # A batch is there as a whole or not at all, so one metric of each kind tells.
        histories = (self._client.get_metric_history(identifier, name) for name in ("images_seen", "test/loss"))
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


def _input(data: Data) -> Any:
    """The dataset as MLflow's own kind of one, by which runs can be found."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": data.folder.as_posix()})
    held = Dataset(data.name, data.digest[:DIGEST_LIMIT], "local", source, profile=json.dumps(dict(data.scenes)))
    return DatasetInput(held, [InputTag("mlflow.data.context", ", ".join(data.scenes))])


def _quieten() -> None:
    """What it says of its own doings; it sets its own levels when it is imported."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Of a server that does not answer, the run says a line itself.
    for name in ("mlflow.system_metrics", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
