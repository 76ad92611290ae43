"""What the environment says to the libraries, set before they load, where the user has not set it.

Importing any part of Frostline does so first: the command, `python -m frostline`, a worker, a cell that DVC runs.
"""

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# OpenMP's threads otherwise spin while they wait for one that was put aside, so that with anything else at work on the
# machine a step takes 4 to 10 times as long. Not to spin at all costs a tenth on an idle machine: GNU's threads, which
# torch has on Linux, spin some microseconds (see benchmarks/, `busy`). torch reads both when it loads.
THREADS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "6000"}
DEFAULTS = {
    # MLflow asks nobody, DVC neither.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    # MLflow would wait minutes for a server that has stopped, and the run with it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # With a run's end it prints the address of the store, as it was given: with its password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A bar for each of a model's files says nothing to anybody.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
NODE_FOLDER = "FROSTLINE_NODE_FOLDER"  # which names a folder on the node's own disk, see store/nearby.py


def settle() -> None:
    threads = {} if THREADS.keys() & os.environ.keys() else THREADS  # who has set one of the two means it
    for name, value in {**DEFAULTS, **threads}.items():
        os.environ.setdefault(name, value)


def keep_memory() -> None:
    """Have glibc keep the memory of freed tensors, as the next step wants as much again.

    Otherwise large ones are given back to the system and fetched anew, page by page, at every step: a sixth of the
    processor time of a training (see benchmarks/, `memory_kept`).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    # M_MMAP_THRESHOLD: what is smaller comes from the heap. Some versions take no more than 32 MB.
    if mallopt(-3, 1 << 30) or mallopt(-3, 32 << 20):
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: of which so much may lie idle


@contextmanager
def importing() -> Iterator[None]:
    """Within, large libraries load a fifth faster: Python looks for garbage again and again, and a module is none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # nor does it become any: later searches, between training steps, leave it out;
            gc.freeze()  # but what a run holds while more is loaded will be garbage
            atexit.register(gc.unfreeze)  # libraries complain at the end of what was never let go of
        if enabled:
            gc.enable()
