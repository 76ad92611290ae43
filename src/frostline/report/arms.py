"""Arms: the runs that differ only in seed, summarised; and the panels in which they are compared."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median, stdev

from frostline.errors import FrostlineError
from frostline.report.curve import Curve, curve_of
from frostline.report.results import Run
from frostline.runs.result import GROUPS
from frostline.words import decimal, quantity

BUDGETS = {"epochs", "images", "batch_size"}  # axes by which arms have other budgets, on purpose
ARCHITECTURE = [group for group in GROUPS if group not in ("task", "dataset")]  # whose values need no word beside them


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one cell of a study's grid, one for each seed.

    facets: what may tell it from other arms of its panel: its backbone, head and schedule, and the other axes of the
        grid -> their values.
    name: the values of those axes that vary in its panel.
    curve: None where no run left a journal.
    """

    runs: tuple[Run, ...]
    facets: dict[str, str]
    name: str
    curve: Curve | None

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The primary test metric of each seed, in the order of the seeds; higher is better."""
        return tuple(run.result.quality for run in self.runs)

    @cached_property
    def mean(self) -> float:
        """NaN where any value is: a seed that failed is part of the result; leaving it out would flatter the arm."""
        return fmean(self.values)

    @cached_property
    def sd(self) -> float:
        """The sample standard deviation (n - 1); NaN for one seed, and where any value is."""
        return stdev(self.values) if len(self.values) > 1 and math.isfinite(self.mean) else math.nan

    @cached_property
    def validated(self) -> float:
        """Mean over the seeds of the validation metric at the epoch that was chosen; NaN where one is not known."""
        return fmean(run.validated for run in self.runs)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Mean over the seeds of each test metric but the primary one, NaN where a seed lacks it."""
        names = sorted({name for run in self.runs for name in run.result.metrics} - {self.runs[0].result.primary})
        return {name: fmean(run.result.metrics.get(name, math.nan) for run in self.runs) for name in names}

    @cached_property
    def by_class(self) -> dict[str, dict[str, float]]:
        """Metric -> class -> mean over those seeds where there was something to be found; -1 where that is none.

        Of the metrics that all seeds have.
        """
        first, *others = [run.result.by_class for run in self.runs]
        shared = [metric for metric in first if all(metric in other for other in others)]
        return {
            metric: {
                name: _mean(run.result.by_class[metric].get(name, -1.0) for run in self.runs) for name in first[metric]
            }
            for metric in shared
        }

    @cached_property
    def seconds(self) -> float:
        """Of training, of one run: the median over the seeds, as one that was halted would move a mean."""
        each = [run.result.train_seconds for run in self.runs]
        return median(each) if all(map(math.isfinite, each)) else math.nan

    def mean_of(self, fact: str) -> float:
        """Mean over the seeds of a number of `RunResult`, such as train_seconds."""
        return fmean(getattr(run.result, fact) for run in self.runs)

    @property
    def parameters(self) -> str:
        """How many train in the last epoch, and how many there are."""
        return " / ".join(quantity(self.mean_of(fact), 4) for fact in ("params_trainable_last", "params_total"))


@dataclass(frozen=True, eq=False)
class Panel:
    """The arms of one task on one dataset, in the order of the grid; they share their primary metric.

    columns: the facets that vary among them, at least one. common: those that do not.
    """

    task: str
    dataset: str
    primary: str
    arms: tuple[Arm, ...]
    columns: tuple[str, ...]
    common: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.task} on {self.dataset}"

    @cached_property
    def ranked(self) -> tuple[Arm, ...]:
        """From the highest mean to the lowest, without those whose mean is not finite."""
        return tuple(sorted((arm for arm in self.arms if math.isfinite(arm.mean)), key=lambda arm: -arm.mean))

    @property
    def best(self) -> Arm | None:
        return self.ranked[0] if self.ranked else None


def panels_of(runs: Sequence[Run]) -> list[Panel]:
    """A panel for each task and dataset, everything in the order of the runs, of which each has the same axes.

    Raises FrostlineError where the runs of a panel do not share their primary metric.
    """
    cells: dict[tuple[str, str], dict[tuple[str, ...], list[Run]]] = {}
    for run in runs:
        arms = cells.setdefault((run.result.names["task"], run.result.names["dataset"]), {})
        arms.setdefault(tuple(run.axes.values()), []).append(run)
    return [_panel(task, dataset, list(arms.values())) for (task, dataset), arms in cells.items()]


def identity(run: Run, panel: Panel) -> Hashable:
    """By what runs of two arms of a panel are a pair: all that they must share but what the arms differ in."""
    result = run.result
    budget = None if BUDGETS & set(panel.columns) else result.epochs
    return result.seed, result.data_hash, budget, tuple(sorted(result.versions.items()))


def said(axis: str, value: str) -> str:
    """A value among others of its kind: `thaw` says what it is, `320` does not."""
    return value if axis in ARCHITECTURE else f"{axis}={value}"


def mean_sd(arm: Arm) -> str:
    """Mean ± sample standard deviation of the primary metric; a dash for the spread of one seed."""
    if all(run.result.metrics[run.result.primary] == -1 for run in arm.runs):
        return "—"  # there was nothing to be found
    if math.isnan(arm.mean):
        return f"NaN in {sum(map(math.isnan, arm.values))} of {len(arm.values)} seeds"
    return f"{decimal(arm.mean)} ± {'—' if len(arm.values) < 2 else decimal(arm.sd)}"


def _panel(task: str, dataset: str, cells: list[list[Run]]) -> Panel:
    primaries = sorted({run.result.primary for runs in cells for run in runs})
    if len(primaries) > 1:
        raise FrostlineError(
            f"The runs of task {task} on dataset {dataset} name different primary metrics "
            f"({', '.join(primaries)}), so they cannot be compared; run them again from one plan."
        )
    facets = [_facets(runs[0]) for runs in cells]
    varying = [facet for facet in facets[0] if len({each[facet] for each in facets}) > 1]
    axes = cells[0][0].axes
    naming = [facet for facet in varying if facet in axes] or ["schedule"]
    # A name that follows an axis value by value, as that of `schedule.name` does, would say the same twice.
    told = [[each[facet] for each in facets] for facet in naming]
    columns = [f for f in varying if f in axes or [each[f] for each in facets] not in told] or naming
    arms = tuple(
        Arm(
            runs=tuple(runs),
            facets=each,
            name=" / ".join(said(facet, each[facet]) for facet in naming),
            curve=curve_of([run.epochs for run in runs if run.epochs]),
        )
        for runs, each in zip(cells, facets, strict=True)
    )
    common = {facet: value for facet, value in facets[0].items() if facet not in varying and facet not in columns}
    return Panel(task, dataset, primaries[0], arms, tuple(columns), common)


def _facets(run: Run) -> dict[str, str]:
    names = {group: run.result.names[group] for group in ARCHITECTURE}
    return names | {axis: value for axis, value in run.axes.items() if axis not in ("task", "dataset")}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if value != -1]
    return fmean(known) if known else -1.0
