"""Two arms, compared on what they have in common.

Each is given as identity -> value. An identity is whatever makes two runs comparable (seed, data, split, budget,
versions), hashable and opaque here. Pairs are made by identity, never by order; what has no partner is named, and left
out. Higher values are better.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr

from frostline.statistics.student import Interval, Mean, mean_of

Verdict = Literal["better", "worse", "equivalent", "cannot tell"]
LEVEL = 0.05  # two-sided for a difference, one-sided twice for equivalence


@dataclass(frozen=True)
class Paired:
    """A minus B over the identities that both have a finite value for.

    only_a, only_b: identities of one arm alone. failed: common identities where a value is not finite.
    margin: the smallest difference that matters, in the unit of the values; None where nobody stated one.
    """

    differences: Mean
    only_a: tuple[Hashable, ...]
    only_b: tuple[Hashable, ...]
    failed: tuple[Hashable, ...]
    margin: float | None

    @property
    def interval(self) -> Interval | None:
        """Student's 95 % interval of the mean difference; None below two pairs."""
        return self.differences.interval(1 - LEVEL)

    @property
    def p(self) -> float:
        """Two-sided, that there is no difference: a paired t test. NaN below two pairs."""
        above = self.differences.above()
        return 2 * min(above, 1 - above)

    @property
    def beats(self) -> bool:
        """Whether A is better by the paired t test at 0.025 a side, however little; never with a failed run."""
        return not self.failed and self.differences.above() < LEVEL / 2

    @property
    def equivalent(self) -> bool:
        """Two one-sided t tests within the margin, 0.05 each (Schuirmann 1987): the 90 % interval lies inside."""
        ninety = self.differences.interval(1 - 2 * LEVEL)
        return not self.failed and self.margin is not None and ninety is not None and ninety.within(self.margin)

    @property
    def verdict(self) -> Verdict:
        """What the pairs say of A. A difference that is certain and inside the margin is `equivalent`: it doesn't
        matter. Where a common run failed or there are fewer than two pairs, they cannot tell."""
        if self.equivalent:
            return "equivalent"
        if self.beats:
            return "better"
        if not self.failed and self.p < LEVEL:
            return "worse"
        return "cannot tell"

    @property
    def wins(self) -> float:
        """P(A > B): the probability that A is above B on one new seed, the same for both. NaN below two pairs.

        Predictive, for normal differences: (d_new - mean) / (sd √(1 + 1/n)) has Student's t (Geisser 1993, ch. 2).
        """
        seen = self.differences
        if seen.n < 2:
            return math.nan
        if seen.sd == 0:
            return 0.5 if seen.mean == 0 else float(seen.mean > 0)
        return float(stdtr(seen.n - 1, seen.mean / (seen.sd * math.sqrt(1 + 1 / seen.n))))


def paired(a: Mapping[Hashable, float], b: Mapping[Hashable, float], margin: float | None = None) -> Paired:
    """Compare A with B; NaN and infinite values count as failed runs, which nobody wins."""
    common = [identity for identity in a if identity in b]
    apart = {identity: a[identity] - b[identity] for identity in common}
    return Paired(
        differences=mean_of([value for value in apart.values() if math.isfinite(value)]),
        only_a=tuple(identity for identity in a if identity not in b),
        only_b=tuple(identity for identity in b if identity not in a),
        failed=tuple(identity for identity, value in apart.items() if not math.isfinite(value)),
        margin=margin,
    )
