"""Which arm to take with ten minutes, an hour or a night: of those whose run ends by then, as the paired tests say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from frostline.report.judged import BUSY, Judged
from frostline.report.reached import seconds_of, validating

BUDGETS = {"ten minutes": 600.0, "an hour": 3600.0, "a night (8 h)": 8 * 3600.0}  # seconds of one run


@dataclass(frozen=True)
class Within:
    """What a budget buys.

    arm: to take; None where no run fits. seconds: of one run of it. busy: whether the machine did other work meanwhile,
    so that alone it would take less. fitting: how many arms' runs end by then, of those whose seconds are known.
    why: how sure that is, in words.
    """

    budget: str
    arm: str | None
    seconds: float
    busy: bool
    fitting: int
    why: str


def budgets(judged: Judged) -> list[Within]:
    """One for each of BUDGETS; none where the seconds of no arm are known.

    A schedule that is cut short is another one, so runs count that were trained to their end. Each budget's candidate
    stands first on the validation split among the arms that fit, and is tested against these alone.
    """
    seconds = run_seconds(judged)
    known = {name: each for name, each in seconds.items() if math.isfinite(each)}
    return [_within(judged, known, label, most) for label, most in BUDGETS.items()] if known else []


def run_seconds(judged: Judged) -> dict[str, float]:
    """Of one run of each arm, NaN where not known."""
    beside = validating(judged.panel)
    return {name: seconds_of(arm, beside) for name, arm in judged.arms.items()}


def _within(judged: Judged, seconds: dict[str, float], label: str, most: float) -> Within:
    arms = tuple(arm for arm in judged.panel.arms if seconds.get(arm.name, math.inf) <= most)
    if not arms:
        shortest = min(seconds, key=lambda name: seconds[name])
        why = f"the shortest run, of `{shortest}`, takes {seconds[shortest]:,.0f} s"
        return Within(label, None, math.nan, False, 0, why)
    fits = replace(judged, panel=replace(judged.panel, arms=arms))
    if fits.candidate is None:
        return Within(label, None, math.nan, False, len(arms), "no arm has a finite result in each of its runs")
    arm, why = _choice(fits, fits.candidate, seconds, alone=len(judged.arms) == 1)
    busy = any(run.result.load > BUSY for run in fits.arms[arm].runs)
    return Within(label, arm, seconds[arm], busy, len(arms), why)


def _choice(fits: Judged, first: str, seconds: dict[str, float], alone: bool) -> tuple[str, str]:
    """The arm to take of those that fit, and why. first: the candidate. alone: whether there is no other arm at all."""
    if len(fits.arms) == 1:
        return first, "the only arm" if alone else "the only one that fits"
    if len(fits.whole) == 1:
        return first, "no other fits with a finite result in each run"
    if fits.summaries[first].seen.n < 2:
        return first, f"{fits.first.rstrip(',')}; one seed tells nothing of the spread"
    good = fits.as_good
    if good == [first]:
        apart = ", of the runs that are there" if fits.missing else ""
        if len(fits.whole) < len(fits.arms):
            apart += " and has a finite result in each run"
        return first, f"better than each other that fits{apart}"
    machines = {run.result.machine for arm in fits.panel.arms for run in arm.runs}
    taken = first if first in good else good[0]
    if fits.busy or len(machines) > 1:
        why = "the machine did other work meanwhile" if fits.busy else "the runs are of several machines"
        return taken, f"one of {len(good)} that cannot be told apart; which is cheapest is not known, as {why}"
    taken = min(good, key=lambda name: seconds[name])
    against = fits.champion.pairs if fits.champion else {}
    same = all(against[name].equivalent for name in good if name != first) and not fits.better
    if len(good) == 1:
        return taken, f"better than `{first}`, which stands {fits.first.rstrip(',')}"
    return taken, f"the cheapest of {len(good)} that " + (
        f"are equivalent within {fits.margin:g}" if same else "cannot be told apart"
    )


def machines_of(judged: Sequence[Judged]) -> list[str]:
    """Whose seconds these are."""
    return sorted({run.result.machine for one in judged for arm in one.panel.arms for run in arm.runs})
