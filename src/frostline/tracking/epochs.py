"""The journal of a run, `epochs.jsonl`, as a tracker is told of it."""

import json
import math
from pathlib import Path

from frostline.tracking.base import Epoch

RATE = "lr_"  # rates are a function of the configuration, and no tracker needs them


def read_epochs(journal: Path, time: float = 0.0) -> list[Epoch]:
    """Its lines; null, as JSON knows no NaN, is NaN. time: of lines from before they told it.

    Raises OSError, and ValueError or KeyError where it is no journal.
    """
    epochs = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        held = json.loads(line)
        step, then = int(held.pop("epoch")), float(held.pop("time", time))
        metrics = {key: math.nan if value is None else float(value) for key, value in held.items()}
        epochs.append(Epoch(step, {key: value for key, value in metrics.items() if not key.startswith(RATE)}, then))
    return epochs
