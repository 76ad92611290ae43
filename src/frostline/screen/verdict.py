"""What a screen allows to say: which backbones may still win, which nothing can save, and what it could not tell.

Two doubts are kept apart, as in a report: seeds (Student's interval) and pictures (a paired bootstrap). Two backbones
are told apart where every interval that can be had says so.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from frostline.statistics.paired import paired
from frostline.statistics.pareto import pareto
from frostline.statistics.pictures import Floats, Resampled
from frostline.statistics.student import Interval, mean_of


@dataclass(frozen=True, eq=False)
class Looked:
    """A backbone in one task.

    values: seed -> the primary metric on the test split, NaN where there was nothing to be found. resampled: the mean
    over seeds, over pictures and resamples of these; None where it cannot be had. ms: to predict a picture with its
    probe. parameters: of the backbone and the probe's head. memory: MB, to train all of it at the batch size of the
    recipe. estimates: by name.
    """

    name: str
    values: Mapping[Hashable, float]
    resampled: Resampled | None
    ms: float
    parameters: int
    memory: float
    estimates: Mapping[str, float]

    @property
    def mean(self) -> float:
        return mean_of([*self.values.values()]).mean if all(map(math.isfinite, self.values.values())) else math.nan

    @property
    def interval(self) -> Interval | None:
        """The wider of the two: over pictures, or over seeds."""
        of_seeds = mean_of([*self.values.values()]).interval()
        found = [of_seeds, None if self.resampled is None else self.resampled.interval()]
        return max((one for one in found if one is not None), key=lambda one: one.high - one.low, default=None)


@dataclass(frozen=True)
class Verdict:
    """Of one backbone. edge: no other one is as good and as fast. wins: it may still come first: it is not told apart
    from the best by more than the margin. lost: nothing can save it, as it can neither win nor is on the edge. behind:
    the interval of the best one's lead; None for the best, and where there is none."""

    edge: bool
    wins: bool
    lost: bool
    behind: Interval | None


def lead(a: Looked, b: Looked) -> Interval | None:
    """The interval of A's mean less B's that reaches nearest to 0, of those over seeds and over pictures; None where
    neither can be had, so that nothing is known."""
    found = [paired(a.values, b.values).interval]
    if a.resampled is not None and b.resampled is not None and len(a.resampled.draws) == len(b.resampled.draws):
        found.append(a.resampled.minus(b.resampled).interval())
    known = [one for one in found if one is not None]
    if not known:
        return None
    return Interval(min(one.low for one in known), max(one.high for one in known))


def judge(rows: Sequence[Looked], margin: float) -> dict[str, Verdict]:
    """By name. margin: of the primary metric, by how much the order may change once the backbones are thawed."""
    finite = [row for row in rows if math.isfinite(row.mean)]
    if not finite:
        return {row.name: Verdict(False, True, False, None) for row in rows}
    best = max(finite, key=lambda row: row.mean)
    on_edge = {finite[n].name for n in pareto([(row.ms, row.mean) for row in finite])}
    found = {}
    for row in rows:
        apart = None if row is best else lead(best, row)
        edge = row.name in on_edge
        wins = row is best or apart is None or apart.low <= margin
        found[row.name] = Verdict(edge, wins, not wins and not edge, apart)
    return found


def alike(rows: Sequence[Looked]) -> list[tuple[str, str]]:
    """Pairs that the screen could not tell apart, the better one first."""
    ranked = sorted((row for row in rows if math.isfinite(row.mean)), key=lambda row: -row.mean)
    pairs = ((a, b, lead(a, b)) for a, b in combinations(ranked, 2))
    return [(a.name, b.name) for a, b, apart in pairs if apart is None or apart.low <= 0]


def mean_draws(draws: Sequence[Floats], values: Sequence[float], pictures: int) -> Resampled | None:
    """Of the seeds of one backbone, all on the same resamples."""
    if not draws or len({len(one) for one in draws}) > 1:
        return None
    return Resampled(pictures, float(np.mean(values)), np.mean(draws, 0))
