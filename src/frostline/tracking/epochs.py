"""The journal of a run, `epochs.jsonl`, as a tracker is told of it."""

import json
import math
import time
from pathlib import Path

from frostline.tracking.base import Epoch

RATE = "lr_"  # rates are a function of the configuration, and no tracker needs them


def read_epochs(journal: Path, then: float = 0.0) -> list[Epoch]:
    """Its lines; null, as JSON knows no NaN, is NaN. then: the time of lines from before they told it.

    Raises OSError, and ValueError or KeyError where it is no journal.
    """
    return [_epoch(line, then) for line in journal.read_bytes().splitlines()]


class Tail:
    """Of a journal that grows: what each `read` gives is what has come since the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[Epoch]:
        """Whole lines; none where there is no journal yet. Raises as `read_epochs`."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            lines, _, _ = file.read().rpartition(b"\n")  # what follows is half written
        epochs = [_epoch(line, time.time()) for line in lines.splitlines()]
        self._offset += len(lines) + 1 if lines else 0
        return epochs


def _epoch(line: bytes, then: float) -> Epoch:
    held = json.loads(line)
    step, then = int(held.pop("epoch")), float(held.pop("time", then))
    metrics = {key: math.nan if value is None else float(value) for key, value in held.items()}
    return Epoch(step, {key: value for key, value in metrics.items() if not key.startswith(RATE)}, then)
