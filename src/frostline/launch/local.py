"""Runs trained on this machine, several at once, by processes that have started already.

Importing the libraries takes ten seconds or so, often longer than a short run: so here each process trains many.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

from frostline.config import Config
from frostline.errors import FrostlineError
from frostline.launch.cells import told
from frostline.launch.planned import Job, train_ahead_of_dvc
from frostline.parallel import cores
from frostline.runs.preflight import may_have

Told = TypeVar("Told")


def train_and_tell(job: Job) -> str:
    """Train it ahead of DVC, and write down how that began and ended, for `frostline status`."""
    with told(job.plan):
        return train_ahead_of_dvc(job)


class WarmProcesses:
    """Train jobs, as many at once as trainer.threads leaves room for, each finished in its workplace.

    Where there are GPUs, each run has its own.
    """

    def __init__(
        self, configs: Collection[Config], work: Callable[[Any], Any] = train_and_tell, most: int | None = None
    ) -> None:
        """configs: of the jobs to come. work: what a process does with a job, by default one planned run. most: at
        once, if there is room."""
        self._work = work
        self.at_once, threads, gpus = places(configs)
        self.at_once = min(self.at_once, most or self.at_once)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes to come: torch reads it when it loads
        self._workers = [Worker(gpus[number] if gpus else None) for number in range(self.at_once)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(self.at_once)

    def submit(self, job: Any) -> Future[Any]:
        """Have it trained once there is a place; in the end, what `work` tells of it, or what it failed by."""
        return self._threads.submit(self._train, job)

    def _train(self, job: Any) -> Any:
        worker = self._free.get()
        try:
            return worker.do(self._work, job)
        finally:
            self._free.put(worker)

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(cancel_futures=True)

    def close(self) -> None:
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()


class Worker:
    """One process, started when there is work, and started anew where it was killed.

    It ends with this process, also where that is killed. gpu: the one that it alone sees, as CUDA_VISIBLE_DEVICES names
    it.
    """

    def __init__(self, gpu: str | None = None) -> None:
        self.gpu = gpu
        self._stopped = False
        self._start()

    def _start(self) -> None:
        # Spawned, because a forked copy of a process with threads can hang.
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self.gpu,))
        self._pid: Future[int] | None = None

    def _restart(self) -> None:
        self.close()
        self._start()

    def do(self, work: Callable[..., Told], *args: Any) -> Told:
        """What `work` returns there, or raises. Raises FrostlineError where the process is killed while it works."""
        try:
            future = self._submit(work, *args)
        except BrokenProcessPool:  # killed since its last work
            self._restart()
            future = self._submit(work, *args)
        try:
            return future.result()
        except BrokenProcessPool:
            self._restart()
            raise FrostlineError(
                "its process was killed, perhaps for want of memory: it goes on from its last epoch, and has more "
                "memory alone (frostline train --plan)"
            ) from None

    def _submit(self, work: Callable[..., Told], *args: Any) -> Future[Told]:
        if self._stopped:
            raise FrostlineError("it was stopped before it began")
        if self._pid is None:
            self._pid = self._process.submit(os.getpid)
        return self._process.submit(work, *args)

    def stop(self) -> None:
        """It takes no work any more, and ends what it does: a run is asked to, and ends after its batch."""
        self._stopped = True
        if self._pid is not None:
            with suppress(CancelledError, BrokenProcessPool, TimeoutError, ProcessLookupError):
                os.kill(self._pid.result(timeout=30), signal.SIGTERM)  # it may only now be starting
        self._process.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        self._process.shutdown()


def _begin(gpu: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # Lightning takes the first that it sees
    # Ctrl+C reaches every process of a terminal; the parent tells this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    # Left alone, it would wait for work that nobody can give it any more, and keep its memory.
    def end() -> None:
        parent.join()
        os._exit(1)  # the main thread may be anywhere, so nothing is tidied up, as in any kill

    threading.Thread(target=end, daemon=True).start()


def places(configs: Collection[Config]) -> tuple[int, int, list[str]]:
    """How many of these runs are trained at once on this machine, the threads of each process, the GPUs of each run.

    The GPUs are named as CUDA_VISIBLE_DEVICES names them, with a comma between those of one run; none where the runs
    are trained on the processor, as many at once as its cores allow. A run that states no threads has every core, or
    its share of them beside its GPU.
    """
    devices = max(config["trainer"].get("devices", 1) for config in configs)
    gpus = _gpus() if any(config["trainer"]["accelerator"] != "cpu" for config in configs) else []
    share = max(1, cores() // max(devices, len(gpus)))
    threads = max(config["trainer"]["threads"] or share for config in configs)
    jobs = max(1, cores() // (threads * devices))
    each = [",".join(gpus[first : first + devices]) for first in range(0, len(gpus) - devices + 1, devices)]
    return min(jobs, len(each) or jobs, len(configs)), threads, each


def _gpus() -> list[str]:
    if not may_have("gpu"):  # to be sure, torch is asked, which takes seconds to load
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    chosen, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    return chosen.split(",")[:count] if chosen else [str(number) for number in range(count)]
