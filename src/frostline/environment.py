"""What the environment says to the libraries, set before they load, where the user has not set it.

Importing any part of Frostline does so first: the command, `python -m frostline`, a worker, a cell that DVC runs.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULTS = {
    # OpenMP's threads otherwise spin while they wait for one that was put aside, so that with anything else at work on
    # the machine a step takes 4 to 10 times as long (see benchmarks/, `busy`). torch reads it when it loads.
    "OMP_WAIT_POLICY": "passive",
    # MLflow asks nobody, DVC neither.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    # MLflow would wait minutes for a server that has stopped, and the run with it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


def settle() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def importing() -> Iterator[None]:
    """Within, large libraries load a fifth faster: Python looks for garbage again and again, and a module is none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
