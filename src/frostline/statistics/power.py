"""How much so many seeds can show, and how many more would.

Everything here is in standard deviations of the paired difference (`effect`), so that one table serves all metrics.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtrit
from scipy.stats import nct

from frostline.statistics.paired import LEVEL, Paired

POWER = 0.8
CAP = 50  # more seeds than that are not asked for: the answer is then "more than 50"
UNSURE = 0.8  # the level of the interval of the effect that gives the range of k


@dataclass(frozen=True)
class More:
    """About how many more seeds would decide.

    median: by the effect under which half of the t values would lie below the one seen, which is smaller than the
    effect seen, as that of few seeds is exaggerated. low, high: by the ends of the effect's 80 % interval. None stands
    for more than CAP.
    """

    median: int | None
    low: int | None
    high: int | None


def power_of_difference(effect: float, n: int) -> float:
    """The probability that a two-sided paired t test at 0.05 finds this effect, in its direction (non-central t)."""
    return float(nct.sf(stdtrit(n - 1, 1 - LEVEL / 2), n - 1, effect * math.sqrt(n)))


def power_of_equivalence(margin: float, n: int, effect: float = 0.0) -> float:
    """The same, of two one-sided tests within a margin, both in standard deviations (Phillips 1990).

    The mean is normal and independent of the spread, over whose chi-square distribution is averaged.
    """
    points = (np.arange(400) + 0.5) / 400
    spread = np.sqrt(chdtri(n - 1, points) / (n - 1))
    room = margin * math.sqrt(n) - stdtrit(n - 1, 1 - LEVEL) * spread
    shift = effect * math.sqrt(n)
    return float(np.mean(np.where(room > 0, ndtr(room - shift) - ndtr(-room - shift), 0)))


@cache
def smallest_effect(n: int) -> float:
    """The effect that n pairs show with 80 % power; infinite below two."""
    if n < 2:
        return math.inf
    return float(brentq(lambda effect: power_of_difference(effect, n) - POWER, 0.01, 50))


@cache
def smallest_margin(n: int) -> float:
    """The margin within which n pairs show two equal arms equivalent with 80 % power; infinite below two."""
    if n < 2:
        return math.inf
    return float(brentq(lambda margin: power_of_equivalence(margin, n) - POWER, 0.01, 50))


def smallest_difference(pairs: Paired) -> float:
    """The smallest difference these seeds could show with 80 % power, in the unit of the values; NaN below two pairs.

    Of the spread that was seen: with few seeds itself uncertain.
    """
    seen = pairs.differences
    return seen.sd * smallest_effect(seen.n) if seen.n > 1 else math.nan


def more_seeds(pairs: Paired) -> More:
    """About how many more seeds would decide between two arms: as different, or as equivalent, whichever takes fewer.

    The effect's interval is that of a non-central t (Steiger and Fouladi 1997). Nothing is known below two pairs.
    """
    seen = pairs.differences
    if seen.n < 2:
        return More(None, None, None)
    if seen.sd == 0:
        sure = None if seen.mean == 0 and pairs.margin is None else 1
        return More(sure, sure, sure)
    t, margin = abs(seen.mean) / seen.error, (pairs.margin or 0.0) / seen.sd
    tails = ((1 - UNSURE) / 2, 0.5, (1 + UNSURE) / 2)
    effects = [max(_centre(t, seen.n - 1, tail), 0.0) / math.sqrt(seen.n) for tail in tails]
    all_three = [_needed(effect, seen.n, margin) for effect in effects]
    # By the margin, a smaller effect may take fewer: the ends are not in order.
    reached = [k for k in all_three if k is not None]
    return More(all_three[1], min(reached, default=None), None if None in all_three else max(reached))


def _needed(effect: float, n: int, margin: float) -> int | None:
    """The fewest more pairs, from 1 to CAP, that have the power for the effect or for the margin."""
    for total in range(n + 1, n + CAP + 1):
        if smallest_effect(total) <= effect:
            return total - n
        # Nothing outside the margin is found equivalent, and within it no sooner than two equal arms: most are spared.
        possible = effect < margin and smallest_margin(total) <= margin
        if possible and power_of_equivalence(margin, total, effect) >= POWER:
            return total - n
    return None


def _centre(t: float, df: int, tail: float) -> float:
    """The non-centrality under which so large a share of t values lies below the one seen."""
    return float(brentq(lambda centre: nct.cdf(t, df, centre) - tail, -10, 4 * t + 10))
