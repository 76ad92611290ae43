"""The learning curve of an arm: its runs' epochs, summarised over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from frostline.report.results import Epoch

Floats = npt.NDArray[np.float64]
Unit = Literal["images", "seconds"]


class Span(NamedTuple):
    """A stretch of training in which the same was frozen.

    start, end: in images or seconds. depth: groups below the frost line. frozen: share of the parameters.
    """

    start: float
    end: float
    depth: int
    frozen: float


@dataclass(frozen=True, eq=False)
class Curve:
    """Arrays with a value for each epoch that all seeds reached.

    images, seconds: seen and trained by the end of the epoch, means over the seeds.
    mean, low, high: the validation metric over the seeds. best: mean over the seeds of the best one so far.
    depth: groups below the frost line; share: of the parameters that train. Of the seed in which it is highest.
    """

    images: Floats
    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats
    best: Floats
    depth: npt.NDArray[np.int64]
    share: Floats

    def spans(self, unit: Unit) -> list[Span]:
        spans: list[Span] = []
        start = 0.0
        for end, depth, share in zip(
            getattr(self, unit).tolist(), self.depth.tolist(), self.share.tolist(), strict=True
        ):
            if spans and (spans[-1].depth, spans[-1].frozen) == (depth, 1 - share):
                start = spans.pop().start
            spans.append(Span(start, end, depth, 1 - share))
            start = end
        return spans

    def best_within(self, unit: Unit, budget: float) -> float | None:
        """The best validation metric that the arm had at this budget; None before its first epoch ended."""
        ended = int((getattr(self, unit) <= budget).sum())
        return float(self.best[ended - 1]) if ended else None


def best_so_far(values: Floats) -> Floats:
    """values: of (seeds, epochs), NaN where not known. The highest until each epoch, NaN before the first known one."""
    so_far = np.maximum.accumulate(np.where(np.isnan(values), -np.inf, values), axis=1)
    return np.where(np.isinf(so_far), np.nan, so_far)


def curve_of(seeds: Sequence[Sequence[Epoch]]) -> Curve | None:
    """seeds: the epochs of each run that has some. None where there is no run."""
    reached = min(map(len, seeds), default=0)
    if not reached:
        return None
    table = np.array([epochs[:reached] for epochs in seeds], dtype=float)  # (seeds, epochs, fields of Epoch)
    images, seconds, depth, share, value, _ = np.moveaxis(table, 2, 0)
    best = best_so_far(value)
    return Curve(
        images=images.mean(0),
        seconds=seconds.mean(0),
        mean=value.mean(0),
        low=np.fmin.reduce(value),
        high=np.fmax.reduce(value),
        best=best.mean(0),
        depth=depth.max(0).astype(np.int64),
        share=share.max(0),
    )
