"""MLflow's store and server, for tests."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from frostline.tracking.base import Data, Epoch, Run
from frostline.tracking.mlflow import MlflowTracker
from frostline.tracking.store import open_experiment


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A store with nothing in it: to make one takes seconds."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_experiment(f"sqlite:///{file}", "other")
    return file


@pytest.fixture
def store(tmp_path, fresh):
    return f"sqlite:///{shutil.copy(fresh, tmp_path)}"


def begun(uri, folder, study, name, commit="abc", id="", **params):
    """A tracker that has begun a run, on a dataset whose hash is all d. id: of one that may go on."""
    folder.mkdir(exist_ok=True)
    tracker = MlflowTracker(uri, system_metrics=False)
    data = Data("meadow", "d" * 64, folder, {"train": 20, "val": 10, "test": 10})
    tags = {"seed": "0", "image_size": "64", "commit": commit, "data_hash": data.digest}
    tracker.begin(Run(study, name, folder, data, id, commit), params, tags)
    return tracker


def tell(tracker, metrics, step):
    tracker.epochs([Epoch(step, metrics, 1_700_000_000.0 + step)])


SETTINGS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(folder, store="sqlite:///server.db", artifacts="files", port=None, log=subprocess.DEVNULL, workers=1):
    """A running `mlflow server` and its address. folder: where it works. port: one that is free."""
    port = port or free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    options += ["--artifacts-destination", artifacts]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options],
        cwd=folder,
        # The store by the environment, as any user of a machine may read what its processes are told.
        env={**os.environ, **SETTINGS, "MLFLOW_BACKEND_STORE_URI": store},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        yield process, address
    finally:
        stop(process)


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()
