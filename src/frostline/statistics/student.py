"""Student's t: the interval of a mean of few values, and p.

A percentile bootstrap's 95 % interval covers the mean of three seeds in 74 %, Student's in 95 %: over seeds it is the
only one that is used here.
"""

import math
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Interval:
    """From low to high, both finite, in the unit of what it is an interval of."""

    low: float
    high: float

    @property
    def turned(self) -> "Interval":
        """That of the negative: of B minus A, where this is of A minus B."""
        return Interval(-self.high, -self.low)

    def within(self, margin: float) -> bool:
        """Whether it lies between -margin and margin, both left out."""
        return -margin < self.low and self.high < margin


@dataclass(frozen=True)
class Mean:
    """Of n finite values: their mean and sample standard deviation (n - 1); NaN where there are too few for it."""

    n: int
    mean: float
    sd: float

    @property
    def error(self) -> float:
        """The standard error of the mean, NaN below two values."""
        return self.sd / math.sqrt(self.n) if self.n > 1 else math.nan

    def interval(self, level: float = 0.95) -> Interval | None:
        """Mean ± t(n - 1) · sd / √n (Student 1908); None below two values."""
        if self.n < 2:
            return None
        half = float(stdtrit(self.n - 1, (1 + level) / 2)) * self.error
        return Interval(self.mean - half, self.mean + half)

    def above(self, value: float = 0.0) -> float:
        """One-sided p that the mean isn't above this value; NaN below two values.

        Values that do not differ at all leave no doubt: 0 above, 1 below, 0.5 where they are this value.
        """
        if self.n < 2:
            return math.nan
        apart = self.mean - value
        if self.error == 0:
            return 0.5 if apart == 0 else float(apart < 0)
        return float(stdtr(self.n - 1, -apart / self.error))


def mean_of(values: list[float]) -> Mean:
    """Of finite values."""
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    # Not `statistics.stdev`, which reckons in fractions and takes twenty times as long.
    return Mean(n, mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else math.nan)
