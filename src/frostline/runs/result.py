"""What a run found: the content of `result.json`, which `train` writes and a report reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GROUPS = ("task", "dataset", "backbone", "head", "schedule")  # of the configuration, each with a name


@dataclass(frozen=True)
class RunResult:
    """One finished run.

    arm: short name of an axis -> value, as text: what its study's grid names, but the seed; GROUPS for a run alone.
    names: GROUPS -> the name chosen.
    metrics: of the test split at the best epoch, -1 where there was nothing to be found. primary: the one that decides.
    by_class: metric -> class -> value, -1 for a class that does not occur. confusion: counts, true classes in rows.
    train_seconds: of training alone. predict_ms: milliseconds to predict one picture.
    scenes, scenes_left_out: by split. dirty: whether the code differed from `commit`.
    """

    study: str
    run: str
    arm: Mapping[str, str]
    names: Mapping[str, str]
    seed: int
    primary: str
    metrics: Mapping[str, float]
    by_class: Mapping[str, Mapping[str, float]]
    confusion: list[list[float]] | None
    epochs: int
    best_epoch: int
    images_seen: int
    train_seconds: float
    images_per_second: float
    predict_ms: float
    params_total: int
    params_trainable_last: int
    image_size: int
    scenes: Mapping[str, int]
    scenes_left_out: Mapping[str, int]
    commit: str
    dirty: bool
    data_hash: str
    machine: str
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""

    @property
    def quality(self) -> float:
        """The primary metric; higher is better."""
        return self.metrics[self.primary]
