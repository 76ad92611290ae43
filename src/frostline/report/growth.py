"""Whether the runs of an arm were still getting better when they ended, and how long they would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

from frostline.report.arms import Arm

NEAR = 0.02  # of its height: what a curve may lack of where it levels off, and still count as there
FARTHEST = 10  # times the epochs that were run: beyond, a curve says nothing


@dataclass(frozen=True)
class Growing:
    """epochs: that were run. needed: until the curve is within NEAR of where it levels off; None: it does not say."""

    epochs: int
    needed: int | None


def growing(arm: Arm) -> Growing | None:
    """None where most of its runs had their best epoch before the last one, and where no run tells.

    An arm that was stopped while it rose loses against one that had arrived, whatever it could have reached.
    """
    told = [run for run in arm.runs if run.epochs and run.result.best_epoch >= 0]
    last = [run.result.best_epoch == len(run.epochs) - 1 for run in told]
    if not last or sum(last) * 2 <= len(last) or arm.curve is None:
        return None
    spans = arm.curve.spans("images")
    trained = len(arm.curve.images)
    since = int((arm.curve.images <= spans[-1].start).sum())  # since the last phase began: earlier ones were held back
    values = arm.curve.best[since:].tolist()
    if level(values):
        return None
    return Growing(trained, needed(values, trained))


def level(values: Sequence[float]) -> bool:
    """Whether the last of these gained less than NEAR of its height over the third before it."""
    third = max(1, len(values) // 3)
    return len(values) > 1 and values[-1] - values[-1 - third] <= NEAR * abs(values[-1])


def needed(values: Sequence[float], epochs: int) -> int | None:
    """From the best values so far of the last epochs to the epochs after which their curve is as good as level.

    An exponential that levels off is laid through them; at least four values, and a rise, are needed.
    """
    if len(values) < 4 or not np.isfinite(values).all() or values[-1] <= values[0]:
        return None
    x, rise = np.arange(len(values), dtype=float), values[-1] - values[0]

    def curve(x: np.ndarray, top: float, below: float, pace: float) -> np.ndarray:
        return np.asarray(top - below * np.exp(-x / pace))

    try:
        (top, below, pace), _ = curve_fit(
            curve, x, values, p0=(values[-1] + rise / 4, rise, len(values) / 2), maxfev=2000
        )
    except RuntimeError:  # no such curve fits
        return None
    if not (below > 0 and pace > 0 and top > 0):
        return None
    away = pace * math.log(max(below / (NEAR * top), 1.0))  # epochs since the first value
    total = math.ceil(epochs - len(values) + 1 + away)
    return max(total, epochs + 1) if total <= FARTHEST * epochs else None
