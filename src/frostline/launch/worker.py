"""A process that has started already, and trains run after run."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

from frostline.errors import FrostlineError


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

    def do(self, work: Callable[..., str], *args: Any) -> str:
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

    def _submit(self, work: Callable[..., str], *args: Any) -> Future[str]:
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
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl+C reaches every process of a terminal; the parent tells this one
    parent = multiprocessing.parent_process()
    assert parent is not None

    # Left alone, it would wait for work that nobody can give it any more, and keep its memory.
    def end() -> None:
        parent.join()
        os._exit(1)  # the main thread may be anywhere, so nothing is tidied up, as in any kill

    threading.Thread(target=end, daemon=True).start()
