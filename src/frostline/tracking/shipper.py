"""A tracker is told beside the training, by a thread that follows the journal: no step waits for what it does."""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from frostline.tracking.base import Epoch, Run, Status, Tracker, Unreachable
from frostline.tracking.epochs import Tail
from frostline.words import reason_of

SHARE = 0.003  # of a processor that telling may take while a run is trained: after its work, the thread rests
AT_ONCE = 40  # epochs that are told before it rests
PULSE = 10.0  # seconds after which a tracker is called though there is no new epoch
AGAIN, AGAIN_AT_MOST = 1.0, 60.0  # seconds until one that failed is tried again, twice as many each time
BEGIN_WITHIN = 60.0  # seconds that the first step waits for a tracker that says neither yes nor no
END_WITHIN = 60.0  # seconds without any progress after which a finished run waits no longer
STOP_WITHIN = 10.0  # seconds for a run that was told to stop: who stops it may soon do so by force
SLOWEST = 1e6  # bytes a second, for files


@dataclass
class _Last:
    """What is told at the end."""

    status: Status
    reason: str = ""
    tested: Sequence[Epoch] = ()
    files: Sequence[Path] = ()
    over: threading.Event = field(default_factory=threading.Event)


class Shipper:
    """Tells a tracker what the journal has, until it is closed. None of it is done by the thread that calls.

    What fails is one line on the terminal, and tried again later; what is left at the end is `frostline sync`'s.
    journal: that grows; whoever writes it calls `tell`.
    """

    def __init__(
        self, tracker: Tracker, run: Run, params: Mapping[str, str], tags: Mapping[str, str], journal: Path
    ) -> None:
        self._tracker, self._run, self._params, self._tags = tracker, run, params, tags
        self._tail, self._left = Tail(journal), list[Epoch]()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # of the next two
        self._news = False
        self._last: _Last | None = None
        self._first = threading.Event()  # nobody waits for its begin, or any longer
        self._refusal: Exception | None = None
        self._begun = self._lost = self._abandoned = False
        self._moved, self._patience = time.monotonic(), END_WITHIN

    def begin(self) -> None:
        """Raises what the tracker's `begin` raises, unless that passes by itself or takes longer than BEGIN_WITHIN."""
        self._start()
        if not self._first.wait(BEGIN_WITHIN):
            self._first.set()
            self._say("it does not answer")
        elif self._refusal is not None:
            raise self._refusal

    def tell(self) -> None:
        """The journal has grown."""
        with self._changed:
            self._news = True
            self._changed.notify()

    def finish(self, tested: Epoch, files: Sequence[Path]) -> None:
        """The last figures, what the run has made, and that it has ended."""
        self._first.set()  # it may have been killed after its last epoch
        self._start()
        self._close(_Last("finished", "", [tested], files), END_WITHIN)

    def stop(self, status: Status, reason: str = "") -> None:
        """It ends before its end; nothing where it has not begun."""
        if self._thread is not None and self._refusal is None:
            self._close(_Last(status, reason), STOP_WITHIN)

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: one that hangs keeps no process from ending.
            self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
            self._thread.start()

    def _close(self, last: _Last, within: float) -> None:
        with self._changed:
            last = self._last = self._last or last  # stopped while it was about to finish
            self._moved, self._patience = time.monotonic(), within
            self._changed.notify()
        while not last.over.wait(max(0.0, self._moved + self._patience - time.monotonic())):
            if time.monotonic() >= self._moved + self._patience:
                self._say("it does not answer", last=True)
                self._abandoned = True
                return

    def _work(self) -> None:
        again, rest = AGAIN, 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._last is not None, rest)
                # At first it begins at once.
                news = self._changed.wait_for(lambda: self._last or self._news, PULSE if self._first.is_set() else 0.0)
                self._news, last = False, self._last
            if last is not None:
                self._end(last)
                return
            since = time.thread_time()
            try:
                if self._begun:
                    self._go_on(pulse=not news)
                else:
                    self._begin()
            except Exception as error:  # of whatever kind: it is another's code, and often another's machine
                if not self._first.is_set() and not isinstance(error, Unreachable):
                    self._refusal = error
                    self._first.set()
                    if self._last is not None:  # stopped meanwhile
                        self._last.over.set()
                    return
                self._first.set()
                self._say(reason_of(error))
                self._news = True  # for it still
                rest, again = again, min(2 * again, AGAIN_AT_MOST)
            else:
                self._lost, again = False, AGAIN
                rest = (time.thread_time() - since) / SHARE if self._first.is_set() else 0.0
                self._first.set()

    def _begin(self) -> None:
        self._try(partial(self._tracker.begin, self._run, self._params, self._tags))
        self._begun = self._news = True

    def _go_on(self, pulse: bool = False) -> None:
        self._left += self._tail.read()
        if self._left or pulse:
            self._try(partial(self._tracker.epochs, self._left[:AT_ONCE]))
            self._left = self._left[AT_ONCE:]
            self._news |= bool(self._left)

    def _end(self, last: _Last) -> None:
        self._lost = self._lost and last.status != "finished"  # so that it is told if all of it was in vain
        try:
            if not self._begun:
                if last.status != "finished":
                    return
                self._begin()
            self._go_on()
            while self._left:
                self._go_on()
            if last.tested:
                self._try(partial(self._tracker.epochs, last.tested))
            for path in last.files:
                self._try(partial(self._tracker.files, [path]), path.stat().st_size / SLOWEST)
            self._try(partial(self._tracker.end, last.status, last.reason))
        except Exception as error:
            self._say(reason_of(error), last=last.status == "finished")
            with suppress(Exception):  # until the rest is sent
                if self._begun:
                    status: Status = "failed" if last.status == "failed" else "killed"
                    self._try(partial(self._tracker.end, status, last.reason or "not all of it is sent"))
        finally:
            last.over.set()

    def _try(self, tell: Callable[[], None], more: float = 0.0) -> None:
        """more: seconds that it may take longer."""
        if self._abandoned:
            raise TimeoutError("it does not answer")
        self._moved += more
        tell()
        self._moved = time.monotonic()

    def _say(self, reason: str, last: bool = False) -> None:
        """last: nothing here will send it. A line names no run, as those of a study mostly fail by the same."""
        if not self._lost and not self._abandoned:
            later = type(self._tracker).lacking is not Tracker.lacking
            sends = f"`frostline sync {self._run.study}` sends"
            if last:
                then = f"what it lacks is in the run's folder{f', and {sends} it' if later else ''}"
            else:
                then = f"training goes on, and it is tried again{f'; {sends} later what is left' * later}"
            with suppress(OSError, ValueError):  # a log on a full disk, a terminal that is gone
                print(
                    f"frostline: the tracker takes nothing ({reason.rstrip('.')}); {then}.", file=sys.stderr, flush=True
                )
        self._lost = True
