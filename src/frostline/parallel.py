"""Work shared out to threads.

Threads, not processes: PIL and hashlib let go of the interpreter's lock, and threads need no copies of pictures that a
source draws.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_threads(work: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None) -> Iterator[_R]:
    """`map` over threads that, unlike an executor's, takes from `items` only a little ahead, to bound memory.

    workers: how many, by default one per core.
    """
    workers = workers or os.cpu_count() or 1
    pending: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
