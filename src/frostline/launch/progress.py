"""How far the runs of a study are: epochs done and time left, as a bar in a terminal and as lines elsewhere."""

import json
import sys
import time
from collections.abc import Collection
from typing import Any, Self

from tqdm import tqdm

from frostline.config.source import attribute
from frostline.launch.planned import Job
from frostline.scenes.dataset import Dataset
from frostline.words import decimal

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}{postfix}]"


class Progress:
    """Watches the journals of jobs. What they said for the user to know is repeated once they end."""

    def __init__(self, title: str, jobs: Collection[Job]) -> None:
        self._title = title
        self._total = {job.name: _epochs(job) for job in jobs}
        self._jobs = {job.name: job for job in jobs}  # under way, or still to be
        self._done = {job.name: len(_journal(job)) for job in jobs}
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
            journal = _journal(job)
            news, self._done[job.name] = journal[self._done[job.name] :], len(journal)
            for epoch in news if self._bar is None else ():
                so_far = f"{sum(self._done.values())} of {sum(self._total.values())} epochs, {self._left()}"
                self._say(f"{self._title}, {so_far}: {job.name} {_told(job, epoch, self._total[job.name])}")
        if self._bar is not None:
            self._bar.n = sum(self._done.values())
            self._bar.set_postfix_str(self._left(), refresh=False)
            self._bar.refresh()

    def end(self, job: Job, line: str) -> None:
        """A job has ended, as the line says."""
        del self._jobs[job.name]
        self._done[job.name] = self._total[job.name]
        if job.log.is_file():
            for said in job.log.read_text(encoding="utf-8", errors="replace").splitlines():
                if said.startswith("frostline: ") or said.startswith(f"{job.name}: left out"):
                    self._say(said)
        self._say(line)
        self.look()

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


def _epochs(job: Job) -> int:
    """How many the run has, by its budget; where that is stated in pictures, of the scenes that the dataset has."""
    trainer = job.config["trainer"]
    if trainer["images"] is None:
        return int(trainer["epochs"])
    scenes = len(Dataset.open(job.runs / "data" / job.config["dataset"]["name"]).scenes("train"))
    return max(1, -(-int(trainer["images"]) // scenes))


def _journal(job: Job) -> list[str]:
    """The lines of the epochs that are done; none of a run that another configuration or state of the code began."""
    try:
        text = job.journal.read_text(encoding="utf-8")
    except OSError:
        return []
    return text.split("\n")[:-1]  # what follows the last line break is a line half written


def _told(job: Job, line: str, epochs: int) -> str:
    try:
        epoch: dict[str, Any] = json.loads(line)
        name = f"val_{attribute(job.config['task']['_target_'], 'primary')}"
        value = epoch.get(name)
        told = "" if value is None else f", {name} {decimal(float(value))}"
        return f"epoch {int(epoch['epoch']) + 1} of {epochs}{told}"
    except (ValueError, KeyError, TypeError):  # half written
        return "an epoch"
