"""Tables of what was compared: arms with the candidate, all pairs, and which part is the architecture's."""

import math
from typing import Any

from frostline.report.apart import MOST, rivals
from frostline.report.arms import mean_sd
from frostline.report.curve import Unit
from frostline.report.judged import Judged
from frostline.report.parts import parts
from frostline.report.tested import Pictures
from frostline.report.verdict import between, bounds
from frostline.statistics.paired import Paired
from frostline.statistics.power import CAP, more_seeds
from frostline.words import cell, decimal, listed, score

SHARES = (0.25, 0.5, 1.0)  # of the budget in images, for equal budgets
ALL_PAIRS = 10  # arms up to which each pair has its row

Table = dict[str, Any]  # columns: of numbers; rows: of cells, names first


def against_candidate(judged: Judged) -> Table | None:
    """Each arm against the candidate: arm minus candidate, so that a loss reads as one."""
    found = judged.champion
    if found is None:
        return None
    drawn, rows = judged.pictures, []
    for name, pair in found.pairs.items():
        over_pictures = None
        if name in drawn and found.candidate in drawn:
            over_pictures = drawn[name].minus(drawn[found.candidate]).interval()
        wins = "—" if math.isnan(pair.wins) else f"{1 - pair.wins:.2f}"
        rows.append([cell(name), _turned(pair), bounds(over_pictures), wins, turned(pair.verdict), _more(pair)])
    columns = ["difference, over seeds", "over pictures", "P(better)", "verdict", "more seeds"]
    return {"candidate": found.candidate, "first": judged.first.rstrip(","), "columns": columns, "rows": rows}


def all_pairs(judged: Judged) -> Table | None:
    """All pairs by Holm's rule; of many arms those that differ."""
    if len(judged.arms) < 3:
        return None
    shown = [row for row in judged.pairs if len(judged.arms) <= ALL_PAIRS or row.differ]
    rows = [
        [cell(f"{row.a} − {row.b}"), between(row.pairs), _p(row.adjusted), "yes" if row.differ else "no"]
        for row in shown
    ]
    hidden = len(judged.pairs) - len(shown)
    return {"columns": ["difference", "p, adjusted", "differ"], "rows": rows, "hidden": hidden}


def of_parts(judged: Judged) -> dict[str, Any] | None:
    """What is the architecture's and what the schedule's, where both were varied."""
    found = parts(judged)
    if found is None:
        return None
    levels = [
        [axis, cell(level), decimal(summary.seen.mean), bounds(summary.interval)]
        for axis, summaries in found.of.items()
        for level, summary in summaries.items()
    ]
    bases = list(dict.fromkeys(base for own in found.gains.values() for gained in own.values() for base in gained))
    gains = [
        [cell(architecture), cell(schedule), *(between(gained[base]) if base in gained else "—" for base in bases)]
        for architecture, own in found.gains.items()
        for schedule, gained in own.items()
    ]
    words = {"backbone": "the architecture's", "schedule": "the schedule's", "both": "of their interplay"}
    shares = listed([f"{share:.0%} is {words[axis]}" for axis, share in found.shares.items()])
    return {"shares": shares, "levels": levels, "bases": [f"over {base}" for base in bases], "gains": gains}


def at_budgets(judged: Judged) -> Table | None:
    """The best validation metric at equal images and at equal seconds, the highest of a column bold; and whether that
    is shown to be better than all others at that budget."""
    known = [arm.curve for arm in judged.panel.arms if arm.curve]
    if not known:
        return None
    images, seconds = max(curve.images[-1] for curve in known), min(curve.seconds[-1] for curve in known)
    budgets: dict[str, tuple[Unit, float]] = {
        f"{share:.0%} ({share * images:,.0f} images)": ("images", share * images) for share in SHARES
    }
    budgets[f"{seconds:,.1f} s"] = ("seconds", seconds)
    rows, said = [[cell(name)] for name in judged.arms], []
    for label, (unit, budget) in budgets.items():
        values = [arm.curve.best_within(unit, budget) if arm.curve else None for arm in judged.panel.arms]
        highest = max((v for v in values if v is not None and math.isfinite(v) and v != -1), default=None)
        for row, value in zip(rows, values, strict=True):
            text = "—" if value is None else score(value)
            row.append(f"**{text}**" if value is not None and value == highest else text)
        champion = judged.champion_at(unit, budget)
        said.append(f"at {label} {f'`{champion.champion}`' if champion and champion.champion else 'none'}")
    return {"columns": list(budgets), "rows": rows, "champions": listed(said)}


def apart(judged: Judged, pictures: Pictures | None) -> Table | None:
    """The pictures on which the candidate and the nearest other arm differ most."""
    two = rivals(judged)
    differing = pictures.apart(*two, MOST) if two and pictures else []
    if not two or not differing:
        return None
    return {"first": two[0], "second": two[1], "rows": [[cell(one), f"{by:+.2f}"] for one, by in differing]}


def intervals(judged: Judged, name: str) -> list[str]:
    """Of an arm: mean ± spread, the interval over seeds, and that over test pictures."""
    drawn = judged.pictures.get(name)
    return [
        mean_sd(judged.arms[name]),
        bounds(judged.summaries[name].interval),
        bounds(drawn.interval() if drawn else None),
    ]


def turned(verdict: str) -> str:
    """A verdict on the candidate, as one on the other arm."""
    return {"better": "worse", "worse": "better"}.get(verdict, verdict)


def _turned(pair: Paired) -> str:
    seen, interval = pair.differences, pair.interval
    told = f"{-seen.mean:+.4f}" if math.isfinite(seen.mean) else "—"
    return f"{told} {bounds(interval.turned)}" if interval else told


def _more(pair: Paired) -> str:
    if pair.verdict != "cannot tell" or pair.differences.n < 2:
        return "—"
    found = more_seeds(pair)
    return str(found.median) if found.median is not None else f"> {CAP}"


def _p(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.3f}" if value >= 0.001 else "< 0.001"
