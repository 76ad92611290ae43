"""What becomes of each cell of a study, in its own words: where and when it began, how it ended, and why.

A queue forgets a job minutes after its end, so each cell writes that down itself, `runs/<study>/cells/<run>.json`.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from frostline.files import write_whole
from frostline.runs.workplace import Busy
from frostline.words import one_line

Outcome = Literal["done", "waiting", "failed", "cancelled"]
ENTRY = 500  # letters of a reason


@dataclass(frozen=True)
class Attempt:
    """One start of a cell. host, pid: where its first process is; job: of the queue, None on this machine alone.

    plan: hash of the resolved file. started, ended: seconds since 1970. exit: status of its process, 128 and a
    signal's number where that ended it. outcome: None as long as it is under way, also where it was killed together
    with what would have written one; waiting: it was stopped, and goes on by itself. reason: in one line, for people.
    """

    host: str
    pid: int
    job: str | None
    plan: str
    started: float
    ended: float | None = None
    exit: int | None = None
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, int, float]:
        return self.host, self.pid, self.started

    @property
    def gone(self) -> bool:
        """Whether its process is known to have ended without a word. Of another machine nothing is known."""
        return self.outcome is None and self.host == platform.node() and not _lives(self.pid, self.started)


class Cell:
    """The file of one cell, to which a process writes of its own attempt alone: another's may be under way beside it.

    plan: its run's resolved file, `runs/<study>/plan/<run>.yaml`.
    """

    def __init__(self, plan: Path) -> None:
        self.plan = plan
        self.path = plan.parent.parent / "cells" / f"{plan.stem}.json"
        self._own: tuple[str, int, float] | None = None  # what tells an attempt from all others

    @property
    def attempts(self) -> list[Attempt]:
        """All of them, the first one first; none where nothing was written, or no whole word of it."""
        try:
            return [_attempt(each) for each in json.loads(self.path.read_text(encoding="utf-8"))["attempts"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    @property
    def last(self) -> Attempt | None:
        """The last attempt at what the plan says today."""
        attempts = self.attempts
        return attempts[-1] if attempts and attempts[-1].plan == plan_hash(self.plan) else None

    def begin(self, job: str | None = None) -> None:
        """This process begins an attempt."""
        own = Attempt(platform.node(), os.getpid(), job, plan_hash(self.plan), time.time())
        self._own = own.key
        self._write([*self.attempts, own])

    def note(self, reason: str) -> None:
        """What is known of the end of the own attempt, should there be no more to come."""
        self._tell(reason=reason)

    def end(self, outcome: Outcome, status: int, reason: str) -> None:
        """The own attempt has ended."""
        self._tell(ended=time.time(), exit=status, outcome=outcome, reason=one_line(reason)[:ENTRY])

    def withdraw(self) -> None:
        """The own attempt was none."""
        self._write([each for each in self.attempts if each.key != self._own])

    def _tell(self, **told: Any) -> None:
        self._write([replace(each, **told) if each.key == self._own else each for each in self.attempts])

    def _write(self, attempts: list[Attempt]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps({"attempts": [asdict(each) for each in attempts]}, indent=1) + "\n")


@contextmanager
def told(plan: Path) -> Iterator[None]:
    """Within, this process trains the cell by itself; how that ends is written, whatever ends it but a kill."""
    cell = Cell(plan)
    cell.begin()
    try:
        yield
    except Busy:
        cell.withdraw()  # what is under way is the other process's attempt
        raise
    except Exception as error:
        cell.end("failed", 1, str(error) or repr(error))
        raise
    except BaseException:  # it was told to stop
        cell.end("cancelled", 1, "told to stop")
        raise
    cell.end("done", 0, "")


def plan_hash(plan: Path) -> str:
    """Of a resolved file; empty where there is none any more."""
    try:
        return sha256(plan.read_bytes()).hexdigest()
    except OSError:
        return ""


def _attempt(held: Any) -> Attempt:
    known = {each.name for each in fields(Attempt)}
    return Attempt(**{key: value for key, value in held.items() if key in known})


def _lives(pid: int, since: float) -> bool:
    """Whether a process of this machine is the one that had this number then."""
    import psutil  # type: ignore[import-untyped]

    try:
        return bool(psutil.Process(pid).create_time() < since + 1)  # clocks of both kinds are a little apart
    except psutil.Error:
        return False
