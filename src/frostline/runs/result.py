"""What a run found: the content of `result.json`, which `train` writes and a report reads."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from frostline.errors import FrostlineError
from frostline.words import score

SUMMED = 4  # metrics that one line tells
GROUPS = ("task", "dataset", "backbone", "head", "schedule")  # of the configuration, each with a name


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run.

    arm: short name of an axis -> value, as text: what its study's grid names, but the seed; GROUPS for a run alone.
    names: GROUPS -> the name chosen.
    metrics: of the test split at the best epoch, -1 where there was nothing to be found. primary: the one that decides.
    by_class: metric -> class -> value, -1 for a class that does not occur. confusion: counts, true classes in rows.
    confused: of more classes than a matrix has room for, in its place, the commonest mistakes first: number of the true
    class, of the found one, and how often; numbers are places in by_class.
    train_seconds: of training alone. load: meanwhile, how many processes wanted a processor, for each that there is:
    much above 1, the machine did other work; 0 where it is not known. predict_ms: milliseconds to predict one picture.
    multiply_adds: of the network, for one picture; 0 where it is not known.
    scenes, scenes_left_out: by split. dirty: whether the code differed from `commit`.
    finished: when, as ISO 8601 has it. id: of this training, by which a tracker knows it; no other has the same.
    meanings: what a metric of one's own says, in words, by its name.
    weights: of the user's own file that the backbone began with, `file`, `sha256` and, in words, what it filled
    (`told`); empty where there was none.

    What has a default here is missing in files of older versions.
    """

    study: str
    run: str
    arm: Mapping[str, str]
    names: Mapping[str, str]
    seed: int
    primary: str
    metrics: Mapping[str, float]
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confusion: list[list[float]] | None = None
    confused: list[list[int]] = field(default_factory=list)
    epochs: int
    best_epoch: int = -1
    images_seen: int
    train_seconds: float
    images_per_second: float
    load: float = 0.0
    predict_ms: float
    params_total: int
    params_trainable_last: int
    multiply_adds: int = 0
    image_size: int = 0
    scenes: Mapping[str, int] = field(default_factory=dict)
    scenes_left_out: Mapping[str, int] = field(default_factory=dict)
    commit: str
    dirty: bool = False
    data_hash: str
    machine: str
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""
    id: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)  # that it was read from, with all else that the run left

    @property
    def quality(self) -> float:
        """The primary metric; higher is better. NaN where there was nothing to be found, which metrics tell as -1."""
        value = self.metrics[self.primary]
        return math.nan if value == -1 else value

    @property
    def network(self) -> str:
        """What predicts, whatever schedule trained it: runs that have the same take the same time for a picture."""
        named = [self.names[group] for group in ("task", "dataset", "backbone", "head")]
        return "/".join([*named, str(self.image_size), str(self.params_total), str(self.multiply_adds)])

    @property
    def summary(self) -> str:
        """One line on how it went: the primary metric, and some others."""
        names = [self.primary, *(name for name in self.metrics if name != self.primary)][:SUMMED]
        figures = "  ".join(f"{name} {score(self.metrics[name])}" for name in names)
        tested = f", {self.scenes['test']:,} scenes tested" if "test" in self.scenes else ""
        return f"{self.run}: {figures}  ({self.train_seconds:.0f} s of training{tested})"

    @property
    def unseen(self) -> list[str]:
        """The classes of which no tested scene has an example, so that the figures say nothing of them."""
        values = next(iter(self.by_class.values()), {})
        return [name for name in values if all(each.get(name) == -1 for each in self.by_class.values())]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `result.json` holds them."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}

    @classmethod
    def read(cls, path: Path) -> "RunResult":
        """What a `result.json` holds, of this version or an older one. Raises FrostlineError where that is no result.

        null among the metrics, as JSON knows no NaN, is NaN.
        """
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FrostlineError(f"{path} cannot be read ({error.strerror}): train the run again.") from error
        except ValueError as error:
            raise FrostlineError(f"{path} is not valid JSON ({error}); delete it and train the run again.") from error
        try:
            return cls._of(held | {"folder": path.parent})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"lacks {error.args[0]}" if isinstance(error, KeyError) else f"is no result of a run ({error})"
            raise FrostlineError(f"{path} {why}; delete it and train the run again.") from error

    @classmethod
    def _of(cls, held: Mapping[str, Any]) -> "RunResult":
        told = {key: value for key, value in held.items() if value is not None}
        if "names" not in told:
            told["names"] = {key: told[key] for key in GROUPS}
        told.setdefault("arm", told["names"])
        known = {one.name: one for one in fields(cls)}
        needed = [n for n, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
        if lacking := [name for name in needed if name not in told]:
            raise KeyError(", ".join(lacking))
        for name in ("arm", "names"):
            told[name] = {str(key): str(value) for key, value in told[name].items()}
        told["metrics"] = _numbers(told["metrics"])
        told["by_class"] = {metric: _numbers(values) for metric, values in told.get("by_class", {}).items()}
        if told["primary"] not in told["metrics"]:
            raise ValueError(f"its primary metric {told['primary']} is not among its metrics")
        for name in known.keys() & told.keys():
            kind = known[name].type
            if kind in (int, float, str, bool):
                told[name] = kind(told[name])
        return cls(**{name: told[name] for name in known if name in told})


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(key): math.nan if value is None else float(value) for key, value in values.items()}
