"""Which part of a difference is the architecture's, and which the schedule's: means over the other axis."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from frostline.report.judged import Judged, Values
from frostline.statistics.arm import Summary, summarise
from frostline.statistics.paired import Paired, paired

ARCHITECTURE, SCHEDULE = "backbone", "schedule"


@dataclass(frozen=True, eq=False)
class Parts:
    """A panel in which architectures and schedules were combined, each with each.

    of: axis -> value -> the mean over the other axis, with its interval over seeds. shares: of the squared distances of
    the cells from their mean, that of each axis and, as `both`, of their interplay; sums to 1.
    gains: architecture -> schedule -> against -> what it gained, paired by seed.
    """

    of: dict[str, dict[str, Summary]]
    shares: dict[str, float]
    gains: dict[str, dict[str, dict[str, Paired]]]


def parts(judged: Judged) -> Parts | None:
    """None where not both vary, where another axis does, and where a combination or one of its seeds is missing."""
    panel = judged.panel
    if set(panel.columns) - {"head"} != {ARCHITECTURE, SCHEDULE}:
        return None
    cells = {(arm.facets[ARCHITECTURE], arm.facets[SCHEDULE]): judged.values[arm.name] for arm in panel.arms}
    levels = {axis: list(dict.fromkeys(arm.facets[axis] for arm in panel.arms)) for axis in (ARCHITECTURE, SCHEDULE)}
    whole = len(cells) == len(panel.arms) == len(levels[ARCHITECTURE]) * len(levels[SCHEDULE])
    common = [one for one in next(iter(cells.values())) if all(one in values for values in cells.values())]
    if not whole or not common or judged.missing or any(one.failed for one in judged.summaries.values()):
        return None
    cells = {key: {one: values[one] for one in common} for key, values in cells.items()}
    of = {
        axis: {level: summarise(_mean([v for key, v in cells.items() if key[n] == level])) for level in levels[axis]}
        for n, axis in enumerate((ARCHITECTURE, SCHEDULE))
    }
    return Parts(of, _shares(cells, levels), {a: gains(cells, a, levels[SCHEDULE]) for a in levels[ARCHITECTURE]})


def gains(
    cells: Mapping[tuple[str, str], Values], architecture: str, schedules: list[str]
) -> dict[str, dict[str, Paired]]:
    """What each schedule gained over `full` and `frozen`, where these were run, on one architecture."""
    own = {schedule: cells[architecture, schedule] for schedule in schedules}
    against = [name for name in ("full", "frozen") if name in own]
    return {s: {base: paired(own[s], own[base]) for base in against if base != s} for s in schedules}


def _mean(cells: list[Values]) -> Values:
    """Of cells that have the same runs."""
    return {key: fmean(values[key] for values in cells) for key in cells[0]}


def _shares(cells: Mapping[tuple[str, str], Values], levels: Mapping[str, list[str]]) -> dict[str, float]:
    """Two-way analysis of variance with one value a cell, its mean over seeds (Fisher 1925)."""
    means = {key: fmean(values.values()) for key, values in cells.items()}
    total = fmean(means.values())
    squares = {}
    for n, axis in enumerate((ARCHITECTURE, SCHEDULE)):
        of_levels = [fmean(v for key, v in means.items() if key[n] == level) for level in levels[axis]]
        squares[axis] = fmean((mean - total) ** 2 for mean in of_levels)
    whole = fmean((mean - total) ** 2 for mean in means.values())
    if whole == 0:
        return {}
    shares = {axis: square / whole for axis, square in squares.items()}
    return shares | {"both": max(0.0, 1 - sum(shares.values()))}
