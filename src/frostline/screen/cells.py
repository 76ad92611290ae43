"""What a screen has found so far, as files: a probe is a run like any other, a folder of `runs/screen/NAME/results/`.

Read and compared without torch, so that what is done is known at once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from frostline.code import RESULTS, code_hash
from frostline.config import Config, to_yaml
from frostline.files import write_whole
from frostline.runs.identity import MARK
from frostline.runs.result import RunResult
from frostline.runs.workplace import run_name
from frostline.screen.candidates import Candidate
from frostline.statistics.pictures import Floats

ASIDE = ".probe-"  # how the folder begins that a probe is written to, before it is renamed
RESAMPLES = "resamples.npy"  # in a probe's folder: its primary metric over resamples of the pictures, (times,)
CODE = (
    *RESULTS,
    "screen/probe.py",
    "screen/work.py",
    "screen/estimates.py",
    "screen/memory.py",
    "metrics/resampled.py",
)


@dataclass(frozen=True)
class Cell:
    """One probe. backbone: as it was asked for. runs: the folder of the screens of its dataset. data_hash: of that."""

    task: str
    backbone: str
    seed: int
    config: Config
    runs: Path
    data_hash: str

    @cached_property
    def _text(self) -> str:
        return to_yaml(self.config)

    @cached_property
    def name(self) -> str:
        """Runs that differ in what a name does not tell lie side by side."""
        return f"{run_name(self.config)}-{sha256(self._text.encode()).hexdigest()[:6]}"

    @property
    def folder(self) -> Path:
        return self.runs / "results" / self.name

    @property
    def identity(self) -> str:
        """All that decides its figures."""
        return f"{self._text}\n{self.data_hash}\n{code_hash(*CODE)}\n"

    @property
    def done(self) -> bool:
        try:
            return (self.folder / MARK).read_text(encoding="utf-8") == self.identity
        except (OSError, UnicodeDecodeError):
            return False

    @property
    def result(self) -> RunResult:
        return RunResult.read(self.folder / "result.json")

    @property
    def resamples(self) -> Floats | None:
        """None of fewer pictures than an interval needs."""
        try:
            found: Floats = np.load(self.folder / RESAMPLES, allow_pickle=False)
        except (OSError, ValueError):
            return None
        return found


@dataclass(frozen=True)
class Facts:
    """What is known of a backbone in a task, whatever the seed.

    refused: why it cannot be looked at; empty where it can. parameters: of the backbone and the probe's head. memory:
    MB, to train all of it. feature_seconds: that what lies below the head took, now or when it was kept.
    head_seconds: of the first head. estimates: by name. weights: what lay in the libraries' caches when it was refused.
    """

    refused: str = ""
    parameters: int = 0
    multiply_adds: int = 0
    memory: float = 0.0
    feature_seconds: float = 0.0
    head_seconds: float = 0.0
    estimates: Mapping[str, float] = field(default_factory=dict)
    weights: str = ""


class Candidacy:
    """The facts of a backbone in a task, and the file that keeps them. cell: any of its probes."""

    def __init__(self, cell: Cell) -> None:
        bare = {key: value for key, value in cell.config.items() if key != "seed"}
        text = to_yaml(bare)
        digest = sha256(text.encode()).hexdigest()[:10]
        self.path = cell.runs / "candidates" / f"{cell.name.rpartition('-')[0].rpartition('-')[0]}-{digest}.json"
        self._identity = f"{text}\n{cell.data_hash}\n{code_hash(*CODE)}"

    def read(self, weights: str) -> Facts | None:
        """None where nothing is known. weights: what lies in the libraries' caches now, by which a refusal is known to
        hold."""
        try:
            told: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            if told.pop("identity") != self._identity:
                return None
            facts = Facts(**told)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if facts.refused and facts.weights != weights else facts

    def write(self, facts: Facts) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(asdict(facts) | {"identity": self._identity}, indent=1) + "\n")


@dataclass(frozen=True)
class Parcel:
    """A backbone, and its probes that are not there yet. dataset, runs: folders. share: how many processes share this
    machine's memory. command: that finds all this again, to record."""

    candidate: Candidate
    cells: Sequence[Cell]
    dataset: Path
    runs: Path
    share: int
    command: str

    @property
    def log(self) -> Path:
        """Where goes what its process says."""
        return self.runs / "logs" / f"{self.candidate.name.replace(':', '_').replace('/', '_')}.txt"
