"""What the runs of a panel allow to say: the statistics of its arms, put together and not yet in words."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from frostline.report.arms import Arm, Panel, identity
from frostline.report.curve import Unit
from frostline.report.growth import Growing, growing
from frostline.report.results import Results, missing_of
from frostline.report.tested import Pictures, pictures_of
from frostline.statistics.arm import Summary, outlying, summarise
from frostline.statistics.champion import Champion, champion
from frostline.statistics.holm import Row, table
from frostline.statistics.paired import Paired
from frostline.statistics.pictures import Resampled

SAME = 1e-4  # metrics are written in single precision
BUSY = 1.5  # processes that want a processor, for each that there is: a study takes 1, as it trains a run on each
Values = dict[Hashable, float]  # of an arm: identity of a run -> its value, NaN where it failed


@dataclass(frozen=True, eq=False)
class Judged:
    """A panel and what its values say. Arms are called by their names.

    margin: the smallest difference that matters, None where the study states none. missing: planned runs without a
    result. pictures: of each arm the primary metric over resamples of the test pictures, as a mean over its seeds;
    empty where that is not known of all. raced: whether seeds came in rounds: then these decide, and not what is here,
    which does not pay for looking more than once.
    """

    panel: Panel
    margin: float | None
    missing: tuple[str, ...]
    pictures: Mapping[str, Resampled]
    raced: bool = False

    @cached_property
    def arms(self) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.panel.arms}

    @cached_property
    def values(self) -> dict[str, Values]:
        """The primary metric of the test split."""
        return {
            name: {identity(run, self.panel): run.result.quality for run in arm.runs} for name, arm in self.arms.items()
        }

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        return {name: summarise(values) for name, values in self.values.items()}

    @cached_property
    def outlying(self) -> dict[str, tuple[Hashable, ...]]:
        return outlying(self.values)

    @cached_property
    def growing(self) -> dict[str, Growing]:
        """Arms whose runs were still getting better when they ended."""
        return {name: told for name, arm in self.arms.items() if (told := growing(arm)) is not None}

    @cached_property
    def candidate(self) -> str | None:
        """The arm that stands first on the validation split, so that being chosen does not flatter its test figure.

        None where no arm has a finite value in each of its runs.
        """
        if self.validated:
            return max(self.whole, key=lambda arm: arm.validated).name
        return self.whole[0].name if self.whole else None

    @cached_property
    def whole(self) -> list[Arm]:
        """Arms of which each run has a finite value, the highest mean of the test split first."""
        return [arm for arm in self.panel.ranked if not self.summaries[arm.name].failed]

    @cached_property
    def validated(self) -> bool:
        """Whether all arms that could be the candidate have validation values; else the test split chooses."""
        return bool(self.whole) and all(math.isfinite(arm.validated) for arm in self.whole)

    @cached_property
    def first(self) -> str:
        """By what the candidate stands first, in words."""
        return "first on the validation split" if self.validated else "first on the test split, which chose it, too,"

    @cached_property
    def busy(self) -> bool:
        """Whether the machine did other work while some run was trained: seconds then rank nothing."""
        return any(run.result.load > BUSY for arm in self.panel.arms for run in arm.runs)

    @cached_property
    def champion(self) -> Champion | None:
        """The candidate against each other arm; None without one, and where there is nothing to compare with."""
        if self.candidate is None or len(self.arms) < 2:
            return None
        return self._tested(self.candidate, self.values)

    @cached_property
    def pairs(self) -> list[Row]:
        return table(self.values, self.margin)

    def at_budget(self, unit: Unit, budget: float) -> dict[str, Values]:
        """The best validation metric that each run had at a budget; arms of which each run had one by then."""
        found = {
            name: {identity(run, self.panel): run.best_within(unit, budget) for run in arm.runs}
            for name, arm in self.arms.items()
        }
        return {
            name: {key: value for key, value in values.items() if value is not None}
            for name, values in found.items()
            if all(value is not None and math.isfinite(value) for value in values.values())
        }

    def champion_at(self, unit: Unit, budget: float) -> Champion | None:
        """As `champion`, at equal images or seconds and by the validation metric, which is all that is known there.

        The arm with the highest mean is tested: its figure is flattered by that, the level of the test is not.
        """
        values = self.at_budget(unit, budget)
        if len(values) < max(2, len(self.arms)) or (unit == "seconds" and self.busy):
            return None  # an arm that had nothing by then, or seconds that rank nothing
        first = max(values, key=lambda name: summarise(values[name]).seen.mean)
        return self._tested(first, values)

    def _tested(self, candidate: str, values: Mapping[str, Values]) -> Champion:
        """A run that is missing is planned and not there; of which arm it is does not matter."""
        planned = {name: tuple(one) for name, one in values.items()} | {run: ("it",) for run in self.missing}
        return champion(candidate, values, planned, self.margin)

    @cached_property
    def better(self) -> list[str]:
        """Arms that are shown to be better than the candidate on the test split, and by more than the margin."""
        pairs = self.champion.pairs if self.champion else {}
        return [name for name, pair in pairs.items() if pair.verdict == "worse"]

    @cached_property
    def taken(self) -> str | None:
        """The arm that the verdict says to take: the candidate, or the cheapest of those that are equivalent to it;
        the only one where there is no second. None where it cannot tell. What rounds of seeds say is not in it."""
        found = self.champion
        if found is None:
            return self.candidate
        undecided = [name for name in found.unbeaten if found.pairs[name].verdict != "equivalent"]
        if undecided or self.missing or all(name in found.failed for name in found.pairs):
            return None
        return self.as_good[0]

    @cached_property
    def as_good(self) -> list[str]:
        """Arms that may be best: those that the candidate is not shown to be better than, or not by more than the
        margin, and the candidate, unless one is better. The cheapest to train first; or the candidate, where seconds
        rank nothing."""
        if self.candidate is None:
            return []
        against: Mapping[str, Paired] = self.champion.pairs if self.champion else {}
        good = [name for name, pair in against.items() if pair.verdict in ("cannot tell", "worse", "equivalent")]
        own = [] if self.better else [self.candidate]
        good = [name for name in (*own, *good) if not self.summaries[name].failed]
        if self.busy:
            return good
        return sorted(good, key=lambda name: self.arms[name].seconds)


def judge(
    panel: Panel,
    margin: float | None,
    missing: Sequence[str],
    pictures: Mapping[str, Resampled] | None = None,
    raced: bool = False,
) -> Judged:
    """missing: planned runs of this panel that have no result.

    Pictures that do not give the figure that the runs told are of another state of the code, and left out.
    """
    means = {arm.name: arm.mean for arm in panel.arms}
    same = {name: one for name, one in (pictures or {}).items() if abs(one.value - means[name]) <= SAME}
    return Judged(panel, margin, tuple(missing), same, raced)


def judge_panel(results: Results, panel: Panel) -> tuple[Judged, Pictures | None]:
    """A panel of a study's results, and what its runs say picture by picture, where they all left that."""
    tested = pictures_of(panel)
    judged = judge(
        panel,
        results.study.stated.margin_of(panel.task),
        missing_of(results, panel.task, panel.dataset),
        tested.resampled if tested else None,
        raced=bool(results.study.looks),
    )
    return judged, tested
