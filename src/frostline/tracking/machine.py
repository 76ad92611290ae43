"""What the machine is doing while a run is trained, sampled until somebody takes it."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from frostline.tracking.base import Epoch

# Seconds between samples: a sixtieth of the run's age, within these. A short run is seen second by second, and a long
# one does not fill a store that many share.
EVERY, EVERY_AT_MOST = 1.0, 10.0
MOST = 3600  # samples that are kept for a tracker that is away; the oldest go first


class Machine:
    """By MLflow's own monitors of processor, memory, disk, network and GPU, under the names that its pages know.

    They are asked here and not by MLflow's `SystemMetricsMonitor`, which reads the whole run and sends a call each
    second, and ends where a server does not answer. since: of the run, in seconds since 1970; a sample's step is the
    seconds from there, so that those of a resumed run follow.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._samples: deque[Epoch] = deque(maxlen=MOST)
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="machine", daemon=True).start()

    def samples(self) -> list[Epoch]:
        """Those that were not let go of."""
        return list(self._samples)

    def let_go(self, until: float) -> None:
        """Of those up to this time, as they were told."""
        while self._samples and self._samples[0].time <= until:
            self._samples.popleft()

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        monitors = list(_monitors())
        while not self._over.wait(pause(time.time() - self._since)):
            now, found = time.time(), dict[str, float]()
            for monitor in monitors:
                with suppress(Exception):  # of a device that went away
                    monitor.collect_metrics()
                    found |= {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
                    monitor.clear_metrics()
            self._samples.append(Epoch(max(0, round(now - self._since)), found, now))


def pause(age: float) -> float:
    """Seconds until the next sample of a run that is so many seconds old."""
    return min(max(EVERY, age / 60), EVERY_AT_MOST)


def _monitors() -> Iterator[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

    for monitor in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor, ROCMMonitor):
        with suppress(Exception):  # there is no such device, or no library for it
            yield monitor()
