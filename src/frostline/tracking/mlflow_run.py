"""One MLflow run per run: its logger, system metrics, and what is filed with it at the end."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger

from frostline.tracking.store import open_experiment, told, tracking_uri, without_password

PARAM_LIMIT = 250  # characters; some of MLflow's stores refuse longer values
SAMPLE_EVERY = 1  # seconds
PARAMS_A_CALL = 100  # MLflow's limit


def start(config: Mapping[str, Any], run_name: str, tags: Mapping[str, str], run_id: str | None) -> MLFlowLogger:
    """The logger of a run, with the store reached, the experiment there and the parameters logged.

    run_id: of the run that a killed process left, to go on in it. Raises FrostlineError before anything is trained.
    """
    uri = tracking_uri(config["tracking"]["uri"])
    open_experiment(uri, config["study"])
    with told(uri):
        return _started(uri, config, run_name, tags, run_id)


def _started(
    uri: str, config: Mapping[str, Any], run_name: str, tags: Mapping[str, str], run_id: str | None
) -> MLFlowLogger:
    from mlflow.entities import Param

    if run_id is not None and not _is_there(uri, run_id):  # another store, or removed since: a new run, then
        run_id = None
    logger = MLFlowLogger(
        experiment_name=config["study"],
        run_name=run_name,
        tracking_uri=uri,
        tags=dict(tags),
        run_id=run_id,
    )
    if run_id is None:
        assert logger.run_id is not None
        shown = {key: str(value) for key, value in _flat(config).items()}
        shown["tracking.uri"] = without_password(shown["tracking.uri"])
        params = [Param(key, value[:PARAM_LIMIT]) for key, value in shown.items()]
        for first in range(0, len(params), PARAMS_A_CALL):
            logger.experiment.log_batch(logger.run_id, params=params[first : first + PARAMS_A_CALL])
    else:  # MLflow does not take a finished run up again by itself
        logger.experiment.update_run(run_id, status="RUNNING")
    return logger


def _is_there(uri: str, run_id: str) -> bool:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return bool(MlflowClient(uri).get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


@contextmanager
def system_metrics(logger: MLFlowLogger, enabled: bool) -> Iterator[None]:
    """Processor, memory and GPU use of this machine, logged with the run (MLFlowLogger does not do that itself)."""
    if not enabled:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        str(logger.run_id),
        sampling_interval=SAMPLE_EVERY,
        samples_before_logging=1,
        resume_logging=True,
        tracking_uri=logger._tracking_uri,
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def file_artifacts(logger: MLFlowLogger, files: Iterable[Path]) -> None:
    """Upload files to the top of the run's artifacts; they lie in the run's folder too, so a failure only warns."""
    try:
        for path in files:
            logger.experiment.log_artifact(str(logger.run_id), str(path))
    except Exception as error:
        print(
            f"frostline: the tracker did not take the run's files ({error}); they are in its folder.", file=sys.stderr
        )


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
