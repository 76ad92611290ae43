"""Ctrl+C and SIGTERM: a command that is stopped says so in one line, and how it goes on."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 0.05  # s until a signal that was lost is told again
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "told to stop (SIGTERM)"}


class Stopped(BaseException):
    """Where a signal came. No KeyboardInterrupt: Lightning ends a process with status 1 on that, without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(WORDS[signal.Signals(number)])
        self.number, self.status = number, 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Both signals raise Stopped in this block; in a thread other than the main one nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == here:
            raise Stopped(number)
        signal.signal(number, signal.SIG_DFL)  # a process forked off, such as one that makes batches, ends by itself
        os.kill(os.getpid(), number)

    def lost(told: "sys.UnraisableHookArgs") -> None:
        if not isinstance(told.exc_value, Stopped):
            unraisable(told)
            return
        # Raised in a finaliser, of which Python prints what it raises and goes on: so it is told once more.
        again.append(threading.Timer(AGAIN, _thread.interrupt_main, (told.exc_value.number,)))
        again[-1].daemon = True
        again[-1].start()

    before = {number: signal.signal(number, stop) for number in WORDS}
    unraisable, sys.unraisablehook = sys.unraisablehook, lost
    again: list[threading.Timer] = []
    try:
        yield
    except KeyboardInterrupt:  # raised by hand
        raise Stopped(signal.SIGINT) from None
    finally:
        sys.unraisablehook = unraisable
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def heeded_by_this_process_alone() -> Iterator[None]:
    """Within, SIGTERM and SIGUSR1 are both SIGTERM, once, to this process, and nothing to those that it begins.

    SLURM signals every process of a step: a worker that makes batches would end, and the run fail for want of it
    before it could stop. So all have the signals blocked, and a thread of this one waits for them.
    """
    numbers = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait() -> None:
        signal.sigwait(numbers)
        _thread.interrupt_main(signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        import multiprocessing  # as most commands need none of it

        for child in multiprocessing.active_children():
            child.kill()  # Python would tell them by SIGTERM, and wait for them
