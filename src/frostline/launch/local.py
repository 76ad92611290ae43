"""This machine as a launcher: processes that have started already, and a GPU for each where there are any.

Importing the libraries takes ten seconds or so, often longer than a short run: so here each process trains many.
"""

import os
import queue
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

from frostline.config import Config
from frostline.launch.base import Job
from frostline.launch.planned import train_ahead_of_dvc
from frostline.launch.worker import Worker
from frostline.runs.beforehand import may_have
from frostline.runs.provenance import cores


class Local:
    """As many jobs at once as trainer.threads leaves room for on this machine."""

    def __init__(self, configs: Collection[Config], work: Callable[[Job], str] = train_ahead_of_dvc) -> None:
        """configs: of the jobs to come. work: what a process does with a job."""
        self._work = work
        self.at_once, threads, gpus = places(configs)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes to come: torch reads it when it loads
        self._workers = [Worker(gpus[number] if gpus else None) for number in range(self.at_once)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(self.at_once)

    def submit(self, job: Job) -> Future[str]:
        return self._threads.submit(self._train, job)

    def _train(self, job: Job) -> str:
        worker = self._free.get()
        try:
            return worker.do(self._work, job)
        finally:
            self._free.put(worker)

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(cancel_futures=True)

    def close(self) -> None:
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()


def places(configs: Collection[Config]) -> tuple[int, int, list[str]]:
    """How many of these runs are trained at once on this machine, the threads of each, and the GPUs, one for each.

    The GPUs are named as CUDA_VISIBLE_DEVICES names them; none where the runs are trained on the processor, as many at
    once as its cores allow. A run that states no threads has every core, or its share of them beside its GPU.
    """
    gpus = _gpus() if any(config["trainer"]["accelerator"] != "cpu" for config in configs) else []
    share = max(1, cores() // max(1, len(gpus)))
    threads = max(config["trainer"]["threads"] or share for config in configs)
    jobs = max(1, cores() // threads)
    return min(jobs, len(gpus) or jobs, len(configs)), threads, gpus


def _gpus() -> list[str]:
    if not may_have("gpu"):  # to be sure, torch is asked, which takes seconds to load
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    chosen, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    return chosen.split(",")[:count] if chosen else [str(number) for number in range(count)]
