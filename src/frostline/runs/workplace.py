"""The folder of a run under way, and the hand-over of what it finished.

A run works in `runs/<study>/work/<run>/`: checkpoints, journal, and at the end `results/`, which then becomes
`runs/<study>/results/<run>/` in one rename. So results are whole or absent; a killed run goes on from its last epoch;
and a run that was finished ahead (`frostline train --study`) is only handed over when DVC asks for it.
"""

import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from frostline.code import RESULTS, code_hash
from frostline.config import Config, to_yaml
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.runs.identity import MARK, removed
from frostline.runs.result import GROUPS

RUNS = Path("runs")  # in the working directory
ID, DONE = "id", Path("results/result.json")  # in a run's folder
LEFT_WITHIN = 60  # seconds, by a process that had it and has ended


def run_name(config: Config) -> str:
    """A readable, file-safe name of what is run, such as `detection-pets-resnet18-dense-thaw-0`."""
    parts = [config[group]["name"] for group in GROUPS]
    return "-".join(re.sub(r"[^\w.]+", "_", str(part)) for part in [*parts, config["seed"]])


def prepared(config: Config) -> str:
    """The folder of its dataset in `runs/<study>/data/`, called as that is unless each seed draws a split."""
    return str(config.get("prepared", config["dataset"]["name"]))


def identity(config: Config, data_hash: str) -> str:
    """All that decides what a run finds: configuration, dataset and state of the code."""
    return f"{to_yaml(config)}\n{data_hash}\n{code_hash(*RESULTS)}\n"


class Busy(FrostlineError):
    """Another process trains this run."""


class Workplace:
    """The folder of one run, good for exactly one configuration, dataset and state of the code.

    What another configuration, dataset or code left in the folder is removed when the workplace is opened. One process
    at a time has it; raises Busy where another one is at work there, still after so many seconds `within`.
    """

    def __init__(self, folder: Path, config: Config, data_hash: str, within: float = 0) -> None:
        self.folder = folder
        self.results = folder / "results"
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_of(folder)  # let go of when the process ends, however
        try:
            self._lock.acquire(timeout=within)
        except Timeout:
            raise Busy(f"Another process trains this run ({folder}): wait for it, or stop it.") from None
        mark, this = folder / MARK, identity(config, data_hash)
        if not (mark.is_file() and mark.read_text() == this):
            if told := removed(folder, this):
                print(f"frostline: {told}.", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(this)

    @property
    def id(self) -> str:
        """Of this training, from its first start to its end; no other has the same."""
        file = self.folder / ID
        if not file.is_file():
            write_whole(file, uuid.uuid4().hex)
        return file.read_text()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within, another process may have it."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire(timeout=LEFT_WITHIN)

    def leave(self) -> None:
        """From now on another process may have it."""
        self._lock.release()

    @property
    def finished(self) -> bool:
        return (self.folder / DONE).is_file()

    def deliver(self, out: Path) -> None:
        """Hand the results over to `out`, in one rename, and clear the folder."""
        assert self.finished
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        self.results.rename(out)
        shutil.rmtree(self.folder)
        Path(self._lock.lock_file).unlink(missing_ok=True)  # while it is held: who waits for it then takes a new one
        self._lock.release()


def unused(folder: Path) -> bool:
    """Whether no process is at work in a run's folder."""
    lock = _lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):  # or nobody knows
        return False
    lock.release()
    return True


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f".{folder.name}.lock"))
