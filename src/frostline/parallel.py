"""Work shared out to threads, or to processes of their own."""

import gc
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from queue import SimpleQueue
from typing import Any, TypeVar

from frostline.errors import FrostlineError

_T = TypeVar("_T")
_R = TypeVar("_R")


_GIVEN: set[int] = set()  # processors that this process was given, while it keeps to some of them


def cores() -> int:
    """Processors that this process was given."""
    return len(_GIVEN or os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_to_own_cores(local: int, count: int) -> None:
    """Until `have_all_cores`, this one of `count` processes keeps to processors of its own, where each has as many as
    it has threads: they wait for one another at every exchange, and the thread that exchanges for one would take
    another's processor in the midst of its computing."""
    if hasattr(os, "sched_setaffinity") and threads() <= (each := cores() // count):
        _GIVEN.update(os.sched_getaffinity(0))
        os.sched_setaffinity(0, sorted(_GIVEN)[local * each : (local + 1) * each])


def have_all_cores() -> None:
    if _GIVEN:
        os.sched_setaffinity(0, _GIVEN)
        _GIVEN.clear()


def threads() -> int:
    """For a run that states none: OMP_NUM_THREADS, as for torch itself; else every core."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdigit() and int(given) else cores()


def in_threads(
    work: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None, ahead: int | None = None
) -> Iterator[_R]:
    """`map` over threads that, unlike an executor's, takes from `items` only a little ahead, to bound memory.

    PIL and hashlib let go of the interpreter's lock, and threads need no copies of pictures. workers: how many, by
    default one per core. ahead: how many items, by default four for each of them.
    """
    workers = workers or os.cpu_count() or 1
    ahead = ahead or 4 * workers
    pending: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def in_processes(work: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None) -> Iterator[_R]:
    """As `in_threads`, for work that is mostly Python's own: there, threads wait for one another.

    work, items and what comes of them must be picklable; what `work` raises is raised here. A process takes half a
    second to begin, so none does before the first item.

    They are started anew, not forked: a fork would keep this process's locks on files, outlive it where it is killed,
    and halt where another thread had a lock. Nor is `__main__` imported there, as `multiprocessing` does it: a script
    that calls this need not guard itself. Each ends when the pipe from here does.
    """
    workers, items = workers or os.cpu_count() or 1, iter(items)
    for first in items:  # once, if at all: the others are taken within
        with _processes(work, workers) as ask:
            yield from in_threads(ask, chain([first], items), workers)


@contextmanager
def _processes(work: Callable[[_T], _R], count: int) -> Iterator[Callable[[_T], _R]]:
    """What has one of `count` processes do the work for an item, to be called by as many threads."""
    begin = f"import sys; sys.path[:] = {sys.path!r}; from frostline.parallel import serve; serve()"
    idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    pipe = subprocess.PIPE
    # A session of their own: ^C is for this process, which ends them.
    started = [
        subprocess.Popen([sys.executable, "-c", begin], stdin=pipe, stdout=pipe, start_new_session=True)
        for _ in range(count)
    ]

    def ask(item: _T) -> _R:
        process = idle.get()
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(item, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            done, answer = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError) as error:
            raise FrostlineError(
                f"a process that this one had begun ended with {process.wait()}, perhaps for want of memory: give the "
                "command again, and it goes on."
            ) from error
        finally:
            idle.put(process)
        if not done:
            raise answer
        result: _R = answer
        return result

    try:
        for process in started:
            assert process.stdin is not None
            pickle.dump(work, process.stdin, pickle.HIGHEST_PROTOCOL)
            idle.put(process)
        yield ask
    finally:
        for process in started:
            process.kill()
            process.communicate()


def serve() -> None:
    """What such a process does: it reads the work and then items, and writes what comes of each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox, outbox = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed does not come between
    with suppress(EOFError, BrokenPipeError):
        work: Callable[[Any], Any] = pickle.load(inbox)
        gc.freeze()  # what is imported stays: to look through it again and again takes a tenth of the time
        while True:
            item = pickle.load(inbox)
            try:
                answer = True, work(item)
            except Exception as error:
                answer = False, error
            outbox.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
            outbox.flush()
