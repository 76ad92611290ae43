"""Train all stale runs of a study ahead of DVC, which finds each finished in its workplace, and only takes it over.

DVC would start a process for each run, one after the other.
"""

import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Self

from tqdm import tqdm

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.launch.local import WarmProcesses
from frostline.launch.planned import Job, plans_of
from frostline.launch.progress import epochs_of, journal_of, told
from frostline.studies.stale import stale
from frostline.studies.study import Study

LOOK = 1.0  # seconds between two looks at how far the runs are
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}{postfix}]"


def train_ahead(study: Study, launch: Callable[[list[Config]], WarmProcesses] = WarmProcesses) -> None:
    """Train every planned run that is stale, several at once.

    launch: makes what trains jobs of these configurations. A run that fails does not stop the others, nor one whose
    process is killed. Raises FrostlineError at the end, naming those that failed.
    """
    plans = plans_of(study)
    configs = {name: read(path) for name, path in plans.items()}
    reasons = stale(study, configs)
    jobs = [Job(plans[name], config) for name, config in configs.items() if name in reasons]
    if not jobs:
        print(f"{study.name}: all {len(configs)} runs are up to date.")
        return
    failed = _train(study.name, jobs, launch([job.config for job in jobs]))
    if failed:
        lines = [f"  {name}: {reason}" for name, reason in failed.items()]
        head = f"{len(failed)} of {len(jobs)} runs failed; the others are done. Mend and run again:"
        raise FrostlineError("\n".join([head, *lines]))


def _train(study: str, jobs: Collection[Job], launcher: WarmProcesses) -> dict[str, str]:
    """What each job failed by that did."""
    failed: dict[str, str] = {}
    with Progress(f"{study}, {launcher.at_once} at a time", jobs) as progress:
        try:
            pending = {launcher.submit(job): job for job in jobs}
            while pending:
                wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                progress.look()
                for future in [future for future in pending if future.done()]:
                    job, error = pending.pop(future), future.exception()
                    if error is not None:
                        failed[job.name] = str(error).strip().splitlines()[0] if str(error) else repr(error)
                    progress.end(job, f"{job.name} failed" if error is not None else future.result())
        except BaseException:  # such as Ctrl+C
            launcher.stop()
            raise
    launcher.close()
    return failed


class Progress:
    """How far jobs are, by their journals: epochs done and time left, as a bar in a terminal and as lines elsewhere.

    What they say for the user to know is repeated, once where several say the same.
    """

    def __init__(self, title: str, jobs: Collection[Job]) -> None:
        self._title = title
        self._total = {job.name: epochs_of(job) for job in jobs}
        self._heard, self._began = set[str](), time.time() - 1  # as clocks of files are a little behind
        self._jobs = {job.name: job for job in jobs}  # under way, or still to be
        self._done = {job.name: len(journal_of(job)) for job in jobs}
        self._before, self._since = sum(self._done.values()), time.monotonic()
        self._bar = tqdm(total=sum(self._total.values()), desc=title, bar_format=BAR) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        self.look()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def look(self) -> None:
        """Tell of what has been done since."""
        for job in self._jobs.values():
            journal = journal_of(job)
            news, self._done[job.name] = journal[self._done[job.name] :], len(journal)
            for epoch in news if self._bar is None else ():
                so_far = f"{sum(self._done.values())} of {sum(self._total.values())} epochs, {self._left()}"
                self._say(f"{self._title}, {so_far}: {job.name} {told(job, epoch, self._total[job.name])}")
            self._hear(job)
        if self._bar is not None:
            self._bar.n = sum(self._done.values())
            self._bar.set_postfix_str(self._left(), refresh=False)
            self._bar.refresh()

    def end(self, job: Job, line: str) -> None:
        """A job has ended, as the line says."""
        del self._jobs[job.name]
        self._done[job.name] = self._total[job.name]
        self._hear(job)
        self._say(line)
        self.look()

    def _hear(self, job: Job) -> None:
        if not job.log.is_file() or job.log.stat().st_mtime < self._began:  # of an earlier start
            return
        for said in job.log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            wanted = said.startswith(("frostline: ", f"{job.name}: left out")) and said.endswith("\n")
            if wanted and said not in self._heard:
                self._heard.add(said)
                self._say(said.rstrip())

    def _say(self, line: str) -> None:
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def _left(self) -> str:
        """Runs that are done, and the time that the others will take, by what has been done since the start."""
        runs = f"{len(self._total) - len(self._jobs)} of {len(self._total)} runs"
        done, total = sum(self._done.values()), sum(self._total.values())
        if done <= self._before:
            return runs
        left = (time.monotonic() - self._since) / (done - self._before) * (total - done)
        return f"{runs}, about {f'{left / 60:.0f} min' if left > 90 else f'{left:.0f} s'} left"
