"""What an arm had reached after so many seconds of one run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from frostline.report.arms import Arm, Panel
from frostline.report.curve import Floats, best_so_far
from frostline.report.results import Run


@dataclass(frozen=True, eq=False)
class Reached:
    """Arrays with a value for each epoch that all seeds reached.

    seconds: until the epoch's end, the median over the seeds. best, low, high: the best validation metric so far, as a
    mean over the seeds, in the lowest and in the highest; NaN where it is not known, or nothing was to be found.
    """

    seconds: Floats
    best: Floats
    low: Floats
    high: Floats


def validating(panel: Panel) -> bool:
    """Whether the seconds of this panel's runs have validation in them: where each journal tells it, as seconds with
    it and without are no pair."""
    return all(math.isfinite(run.beside) for arm in panel.arms for run in arm.runs)


def seconds_of(arm: Arm, beside: bool) -> float:
    """Of one run, the median over the seeds; NaN where it is not known of each. beside: with what it validated."""
    each = [_whole(run, beside) for run in arm.runs]
    return median(each) if all(math.isfinite(one) and one > 0 for one in each) else math.nan


def reached(arm: Arm, beside: bool) -> Reached | None:
    """None where no run left a journal. beside: as of `seconds_of`."""
    runs = [run for run in arm.runs if run.epochs]
    epochs = min((len(run.epochs) for run in runs), default=0)
    if not epochs:
        return None
    values = np.array([[epoch.value for epoch in run.epochs[:epochs]] for run in runs])
    best = best_so_far(np.where(values == -1, np.nan, values))
    seconds = np.median([_until(run, epochs, beside) for run in runs], axis=0)
    return Reached(seconds, best.mean(0), np.fmin.reduce(best), np.fmax.reduce(best))


def _whole(run: Run, beside: bool) -> float:
    """Seconds of a run that ended, without the start of its process, its test, and what it wrote down."""
    return run.result.train_seconds + (len(run.epochs) * run.beside if beside else 0.0)


def _until(run: Run, epochs: int, beside: bool) -> Sequence[float]:
    """Seconds until the end of each of the first epochs."""
    own = run.beside if beside else 0.0
    return [epoch.seconds + n * own for n, epoch in enumerate(run.epochs[:epochs], start=1)]
