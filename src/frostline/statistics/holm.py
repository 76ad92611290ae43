"""The table of all pairs, held together by Holm's rule.

Not for naming a champion: who picks the best of ten equal arms and corrects its nine tests is wrong in about a fifth of
studies, as the picking is not paid for. That is what `champion` is for.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frostline.statistics.paired import LEVEL, Paired, paired


@dataclass(frozen=True)
class Row:
    """One pair of arms; `adjusted` is its p by Holm's rule over all pairs, NaN where there are fewer than two pairs."""

    a: str
    b: str
    pairs: Paired
    adjusted: float

    @property
    def differ(self) -> bool:
        return self.adjusted < LEVEL


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Adjusted p values, in the order given (Holm 1979); NaN stays NaN and counts as no test."""
    values = np.asarray(p, float)
    adjusted = np.full(len(values), np.nan)
    order = np.argsort(values)[: np.isfinite(values).sum()]
    weights = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * weights), 1.0) if len(order) else []
    return adjusted


def table(arms: Mapping[str, Mapping[Hashable, float]], margin: float | None = None) -> list[Row]:
    """Every pair of arms, in the order of the arms; where a common run failed there is no test."""
    pairs = [(a, b, paired(arms[a], arms[b], margin)) for a, b in combinations(arms, 2)]
    adjusted = holm([float("nan") if found.failed else found.p for _, _, found in pairs])
    return [Row(a, b, found, float(p)) for (a, b, found), p in zip(pairs, adjusted, strict=True)]
