"""How much a figure depends on which pictures were in the test set: a paired bootstrap.

Seeds and pictures are two sources of doubt, and two intervals: this one is never mixed with Student's over seeds. A
resample is how often each picture is in it. It is drawn once and shared by all arms, so that their differences are of
the same pictures (Efron and Tibshirani 1993, ch. 8); a metric of a whole set is computed anew from these counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.errors import FrostlineError
from frostline.statistics.student import Interval

FEWEST = 100  # below that many pictures a percentile interval is too narrow to be shown

Counts = NDArray[np.uint16]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric of all pictures, and of every resample, (times,); NaN where it isn't defined."""

    pictures: int
    value: float
    draws: Floats

    def interval(self, level: float = 0.95) -> Interval | None:
        """Between percentiles of the resamples; None below 100 pictures, and where a resample has no value."""
        if self.pictures < FEWEST or not np.isfinite(self.draws).all():
            return None
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return Interval(float(low), float(high))

    def minus(self, other: "Resampled") -> "Resampled":
        """The difference of two arms, both of the same resamples."""
        if self.draws.shape != other.draws.shape or self.pictures != other.pictures:
            raise FrostlineError(
                f"Figures of {self.pictures} pictures in {len(self.draws)} resamples and of {other.pictures} in "
                f"{len(other.draws)} cannot be paired; compute both from the same resamples."
            )
        return Resampled(self.pictures, self.value - other.value, self.draws - other.draws)


def resamples(pictures: int, times: int = 1000, seed: int = 0) -> Counts:
    """How often each picture is in each resample, (times, pictures); rows sum to the number of pictures."""
    draw = np.random.default_rng(seed)
    counts = np.empty((times, pictures), np.uint16)
    for row in counts:  # one at a time: the indices of all would take four times the memory of the counts
        row[:] = np.bincount(draw.integers(0, pictures, pictures), minlength=pictures)
    return counts
