"""What is launched: the planned runs of a study, by something that finds them a place to be trained."""

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from frostline.config import Config


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


class Launcher(Protocol):
    """Trains jobs, some at once, each in a process of its own that finishes it in its workplace."""

    @property
    def at_once(self) -> int: ...

    def submit(self, job: Job) -> Future[str]:
        """Have it trained as soon as there is a place; in the end, one line on how it went, or what it failed by."""

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""

    def close(self) -> None:
        """Once nothing is under way any more."""
