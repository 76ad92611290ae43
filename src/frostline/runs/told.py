"""What a tracker is told of a run, while it is trained and afterwards."""

from collections.abc import Mapping
from datetime import datetime

from frostline.runs.result import RunResult
from frostline.tracking.base import Epoch

# Keys of the configuration that a tracker shows, beside what was chosen and the axes of a study: config.yaml has all.
PARAMS = (
    *("image_size", "fit", "augment.name", "rate.name", "optimizer.name", "optimizer.lr", "optimizer.weight_decay"),
    *("trainer.epochs", "trainer.images", "trainer.batch_size", "trainer.precision"),
)


def params_and_tags(
    names: Mapping[str, str],
    arm: Mapping[str, str],
    seed: int,
    settings: Mapping[str, str],
    data_hash: str,
    commit: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """names, arm, seed, data_hash, commit: as in RunResult. settings: the configuration by flat keys."""
    chosen = {**names, **arm, "seed": str(seed)}
    shown = {key: value for key in PARAMS if (value := settings.get(key, "None")) != "None"}
    return {**chosen, **shown}, {**chosen, "data_hash": data_hash, "commit": commit}


def tested(result: RunResult) -> Epoch:
    """The figures of the test split, as of when the run was finished."""
    metrics = {f"test_{name}": value for name, value in result.metrics.items()}
    return Epoch(result.epochs, metrics, finished(result))


def finished(result: RunResult) -> float:
    """Seconds since 1970; 0 where it does not say."""
    return datetime.fromisoformat(result.finished).timestamp() if result.finished else 0.0
