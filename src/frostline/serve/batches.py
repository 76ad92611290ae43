"""What many ask for at once goes through the network together."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeAlias, TypeVar

WAIT = 0.003  # seconds that what came first, to a network with nothing to do, waits for others
STREAMS = 4  # at most: more batches beside each other only share the same memory

_T = TypeVar("_T")
_R = TypeVar("_R")
_Asked: TypeAlias = tuple[_T, Future[_R]]


class Batches(Generic[_T, _R]):
    """Threads that do `work`, each for as many items at once as are there.

    most: items at once. streams: threads. wait: s, for which the first waits for others where none was there: what came
    while others were at work has waited already, and to wait for its like halts the network between any two batches.
    A batch has 1, 2, 4, 8 … items: for each size libraries keep something of their own, and heaps fall to pieces where
    any size may come.
    """

    def __init__(
        self, work: Callable[[Sequence[_T]], Sequence[_R]], most: int, streams: int = 1, wait: float = WAIT
    ) -> None:
        self.work, self.most, self.wait = work, most, wait
        self._asked: SimpleQueue[_Asked[_T, _R] | None] = SimpleQueue()
        self._threads = [Thread(target=self._run, name="network", daemon=True) for _ in range(streams)]
        for thread in self._threads:
            thread.start()

    def put(self, item: _T) -> Future[_R]:
        """What comes of an item, once that is known; or what its batch raised."""
        future: Future[_R] = Future()
        self._asked.put((item, future))
        return future

    def close(self) -> None:
        """Do what was asked for, and end."""
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        waiting: list[_Asked[_T, _R]] = []
        more = True
        while more or waiting:
            more = more and self._fill(waiting)
            if waiting:
                count = 1 << (len(waiting).bit_length() - 1)
                self._work(waiting[:count])
                del waiting[:count]

    def _fill(self, waiting: list[_Asked[_T, _R]]) -> bool:
        """Take what is there; where nothing is, wait for one, and a moment for others. Whether more may come."""
        until = 0.0
        while len(waiting) < self.most:
            try:
                one = self._asked.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                if waiting:
                    return True
                one = self._asked.get()
                until = time.monotonic() + self.wait
            if one is None:
                return False
            if one[1].set_running_or_notify_cancel():
                waiting.append(one)
        return True

    def _work(self, batch: Sequence[_Asked[_T, _R]]) -> None:
        try:
            found = self.work([item for item, _ in batch])
            for (_, future), result in zip(batch, found, strict=True):
                future.set_result(result)
        except BaseException as error:  # whatever it is, who asked must come to know
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
