"""What a tracker is: the part, chosen by a file of conf/tracking/, that shows a run while it is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from frostline.errors import FrostlineError

Status = Literal["finished", "failed", "killed"]  # killed: stopped, and to go on


@dataclass(frozen=True)
class Data:
    """The prepared dataset of a run. digest: its hash. scenes: how many the run uses, by split."""

    name: str
    digest: str
    folder: Path
    scenes: Mapping[str, int]


@dataclass(frozen=True)
class Run:
    """What a tracker is told of a run. folder: where it works, or where its results lie.

    id: of this training of it, by which a killed one goes on as the same run. commit: of runs of older versions alone,
    which were told without an id, and are known by name, commit and data.
    """

    study: str
    name: str
    folder: Path
    data: Data | None = None
    id: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Epoch:
    """What was measured in an epoch. step: its number, from 0; of the test, the one after the last. time: when, in
    seconds since 1970, which is the same however often it is told."""

    step: int
    metrics: Mapping[str, float]
    time: float


@dataclass(frozen=True)
class Cell:
    """A finished run, as what a study's comparison read of it: enough to find what was told while it was trained."""

    name: str
    commit: str
    data_hash: str


@dataclass(frozen=True)
class ToldArm:
    """The runs that differ only in seed, together. metrics: means and intervals. curves: a value an epoch.

    tags: by which arms are grouped, the same as their runs have.
    """

    name: str
    cells: Sequence[Cell]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ToldStudy:
    """What the comparison of a study found. text: its answer, as Markdown. files: the report, and folders with it."""

    name: str
    text: str
    metrics: Mapping[str, float]
    arms: Sequence[ToldArm]
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class ToldModel:
    """A model that is to be found by a name, and its versions by who is champion.

    name: in the registry. study, cell: the run that it comes from. folder: its own. code: a file of Python that makes
    of this folder what answers. package: the folder of code that this needs. requirements: as pip reads them. example:
    a picture's bytes. description: Markdown. weights: their hash, by which the same model is known.
    """

    name: str
    study: str
    cell: Cell
    folder: Path
    code: Path
    package: Path
    requirements: Sequence[str]
    example: bytes
    description: str
    weights: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Unreachable(FrostlineError):
    """Nothing is wrong with a tracker's address that waiting would not mend: its server is down, or says so."""


class Tracker:
    """Shows nothing; others extend it. The journal in a run's folder has everything, whatever becomes of a tracker.

    It is built before anything is prepared, so what takes long to import waits for `begin`. `check` and `begin` raise
    FrostlineError, which ends the run, where the user has to mend something. Unreachable, and what the others raise,
    end none: that is told in a line, and what was missed is told again later, `begin` too. During a run one thread
    calls all but `check`, and not the one that trains, so nothing has to be quick.
    """

    def check(self) -> None:
        """Before anything is trained, what can be known at once: whether an address can be one, a folder be written.
        Nothing is wrong where a server is away."""

    def begin(self, run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Once, after the first step: an epoch may be long, but the first step waits for nobody. Raises Unreachable
        where it is worth to try again."""

    def epochs(self, epochs: Sequence[Epoch]) -> None:
        """What was measured, in their order, each as soon as it can be told. What was told before of the same step
        changes nothing. None from time to time, where an epoch is long."""

    def files(self, paths: Sequence[Path]) -> None:
        """What the run has made."""

    def end(self, status: Status, reason: str = "") -> None:
        """The last that it hears. `finished` only where it has taken all; else the reason, in one line."""

    def lacking(self, runs: Sequence[Run]) -> Sequence[Run] | None:
        """Which of these finished runs of one study it has not, or not whole; None where it cannot say. Those are told
        again, each to a copy of this tracker."""
        return None

    def stopped(self, run: Run) -> bool:
        """A run, of which the id is known, is unfinished and not under way, as it was killed by force; returns whether
        it was taken for one that is."""
        return False

    def compared(self, study: ToldStudy) -> str:
        """Apart from all that, each time that a study is compared; the same again changes nothing. Returns in words
        where it can be seen, nothing where it cannot."""
        return ""

    def register(self, model: ToldModel) -> str:
        """Put a model where others find it by its name; returns its address there, nothing where there is no such
        place. Raises FrostlineError where it cannot be reached."""
        return ""
