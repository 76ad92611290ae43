"""One planned run, as a cell of the pipeline or a process of a launcher trains it and hands it over.

To hand over what is finished imports neither torch nor Hydra: DVC starts a process for each run.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.runs.finish import Finished, finish, member_of
from frostline.runs.result import RunResult
from frostline.runs.workplace import prepared
from frostline.scenes.dataset import Dataset
from frostline.studies.study import Study


@dataclass(frozen=True)
class Job:
    """A planned run. plan: its resolved file, `runs/<study>/plan/<run>.yaml`; config: the content of that."""

    plan: Path
    config: Config

    @property
    def name(self) -> str:
        return self.plan.stem

    @property
    def runs(self) -> Path:
        """Of the study."""
        return self.plan.parent.parent

    @property
    def journal(self) -> Path:
        """Where it writes a line for each epoch, as long as it is under way."""
        return self.runs / "work" / self.name / "epochs.jsonl"

    @property
    def log(self) -> Path:
        """Where goes what its process says."""
        return self.runs / "logs" / f"{self.name}.txt"


def plans_of(study: Study) -> dict[str, Path]:
    """The resolved file of each planned run, by its name. Raises FrostlineError where there are none."""
    folder = study.runs / "plan"
    plans = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not plans:
        raise FrostlineError(f"{folder} plans no run: run `frostline plan {study.folder}` first.")
    return plans


def train_planned(plan: Path) -> str | None:
    """Train the run of a plan file unless it is finished already, hand its results over, and say how it went.

    None in a process that has only helped another one of the run.
    """
    job = Job(plan, read(plan))
    finished = _finish(job)
    if finished is None:
        return None
    line = _told(job, finished)
    finished.workplace.deliver(job.runs / "results" / job.name)
    return line


def train_ahead_of_dvc(job: Job) -> str:
    """The same, in a process of its own, and without handing over. All that it says goes to the job's log, and what one
    of several processes of the run says that helps the first one to a file beside it. Empty in such a process.

    Raises FrostlineError, and RuntimeError in one line for what nobody expected, of which the log has the rest.
    """
    this = member_of(job.config)
    log = job.log if this is None or this.rank == 0 else job.log.with_suffix(f".{this.rank}.txt")
    with said_to(log):
        try:
            finished = _finish(job)
            if finished is None:
                return ""
            finished.workplace.leave()  # this process may go on to other runs
            return _told(job, finished)
        except FrostlineError:
            raise
        except Exception as error:
            traceback.print_exc()
            told = traceback.format_exception_only(error)[-1].strip()
            raise RuntimeError(f"{told} (all of it in {log})") from None


def _finish(job: Job) -> Finished | None:
    dataset = Dataset.open(job.runs / "data" / prepared(job.config))
    work, arguments = job.runs / "work" / job.name, ["train", "--plan", str(job.plan)]
    return finish(job.config, dataset, job.name, work, arguments)


def _told(job: Job, finished: Finished) -> str:
    result = finished.workplace.results / "result.json"
    return RunResult.read(result).summary if finished.now else f"{job.name}: finished before"


@contextmanager
def said_to(log: Path) -> Iterator[None]:
    """What this process and its libraries write to the terminal, within, goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(number) for number in (1, 2)]
    with log.open("w", encoding="utf-8") as file:
        for stream, number in zip(streams, (1, 2), strict=True):
            stream.flush()
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        for stream, number, before in zip(streams, (1, 2), kept, strict=True):
            with suppress(OSError):  # the disk is full: that is told where the log can no more take it
                stream.flush()
            os.dup2(before, number)
            os.close(before)
