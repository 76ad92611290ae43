"""Arms: the runs that differ only in seed, summarised."""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from frostline.config import ARM
from frostline.errors import FrostlineError

Verdict = Literal["alone", "unknown", "overlap", "apart"]


@dataclass(frozen=True, eq=False)
class Arm:
    """One (dataset, task, backbone, head, schedule) over its seeds.

    values: the primary test metric of each seed, in the order of the seeds; higher is better.
    mean, sd: of values; sd is the sample standard deviation (n - 1), NaN for one seed. Both are NaN where any value
        is: a seed that failed is part of the result, and leaving it out would flatter the arm.
    others: mean over the seeds of each other test metric, by name.
    seconds: mean training time of one run; rate: mean images per second. predict_ms: mean milliseconds to predict one
        picture.
    trainable, total: parameters that train in the last epoch, and all of them.
    """

    dataset: str
    task: str
    backbone: str
    head: str
    schedule: str
    primary: str
    values: tuple[float, ...]
    mean: float
    sd: float
    others: dict[str, float]
    seconds: float
    rate: float
    predict_ms: float
    trainable: float
    total: float

    @property
    def name(self) -> str:
        return f"{self.backbone} / {self.head} / {self.schedule}"


def arms(df: pd.DataFrame) -> dict[tuple[str, str], list[Arm]]:
    """Arms of each (dataset, task), everything in the order in which `df`, the frame of `compare`, has it.

    Raises FrostlineError where the runs of one (dataset, task) do not share their primary metric.
    """
    found: dict[tuple[str, str], list[Arm]] = {}
    for (dataset, task), group in df.groupby(["dataset", "task"], sort=False):
        primaries = sorted(group["primary"].unique())
        if len(primaries) > 1:
            raise FrostlineError(
                f"The runs of task {task} on dataset {dataset} name different primary metrics "
                f"({', '.join(primaries)}), so they cannot be compared; run them again from one plan."
            )
        column = f"test_{primaries[0]}"
        others = [c for c in df.columns if c.startswith("test_") and c != column and group[c].notna().any()]
        for (backbone, head, schedule), runs in group.groupby(["backbone", "head", "schedule"], sort=False):
            found.setdefault((str(dataset), str(task)), []).append(
                Arm(
                    str(dataset),
                    str(task),
                    str(backbone),
                    str(head),
                    str(schedule),
                    primary=primaries[0],
                    values=tuple(runs[column].astype(float)),
                    mean=float(runs[column].mean(skipna=False)),
                    sd=float(runs[column].std(ddof=1, skipna=False)),
                    others={c.removeprefix("test_"): float(runs[c].mean(skipna=False)) for c in others},
                    seconds=float(runs["train_seconds"].mean()),
                    rate=float(runs["images_per_second"].mean()),
                    predict_ms=float(runs["predict_ms"].mean()),
                    trainable=float(runs["params_trainable_last"].mean()),
                    total=float(runs["params_total"].mean()),
                )
            )
    return found


def ranked(group: list[Arm]) -> list[Arm]:
    """Arms from the highest mean to the lowest, without those whose mean is not finite."""
    return sorted((arm for arm in group if math.isfinite(arm.mean)), key=lambda arm: -arm.mean)


def rows_of(df: pd.DataFrame, arm: Arm) -> "pd.Series[bool]":
    """Which rows of a frame with the columns of ARM belong to the arm."""
    return (df[ARM] == [getattr(arm, key) for key in ARM]).all(axis=1)


def curve(curves: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """One row for each epoch that all seeds of the arm reached; none where `curves`, of `Results`, tells of no seed.

    images, seconds: seen and trained by the end of the epoch, means over the seeds.
    mean, low, high: the validation metric over the seeds. best: mean over the seeds of the best one so far.
    depth: groups below the frost line; share: of the parameters that train. Of the seed in which it is highest.
    """
    seeds = curves[rows_of(curves, arm)]
    so_far = seeds.groupby("run")["value"].transform(lambda values: values.cummax().ffill())
    epochs = (
        seeds.assign(best=so_far)
        .groupby("epoch")
        .agg(
            images=("images_seen", "mean"),
            seconds=("train_seconds", "mean"),
            n=("run", "nunique"),
            mean=("value", lambda values: values.mean(skipna=False)),
            low=("value", "min"),
            high=("value", "max"),
            best=("best", lambda values: values.mean(skipna=False)),
            depth=("frost_depth", "max"),
            share=("trainable_share", "max"),
        )
    )
    return epochs[epochs["n"] == seeds["run"].nunique()]


def best_within(epochs: pd.DataFrame, unit: Literal["images", "seconds"], budget: float) -> float | None:
    """The best validation metric that an arm, by its `curve`, had at this budget; None before its first epoch ended."""
    within = epochs[epochs[unit] <= budget]
    return None if within.empty else float(within["best"].iloc[-1])


def verdict(order: list[Arm]) -> Verdict:
    """Whether the first two of `ranked` arms can be told apart by what was seen.

    alone: there is no second. unknown: one of them has a single seed, so nothing is known of its spread.
    overlap: the ranges from lowest to highest seed, or the intervals mean ± sd, have a point in common.
    apart: neither has. That is a description of these runs, not a test.
    """
    if len(order) < 2:
        return "alone"
    first, second = order[:2]
    if len(first.values) < 2 or len(second.values) < 2:
        return "unknown"
    ranges_meet = min(first.values) <= max(second.values)
    intervals_meet = first.mean - first.sd <= second.mean + second.sd
    return "overlap" if ranges_meet or intervals_meet else "apart"


def number(value: float) -> str:
    """A number to read: four decimals below 10, four digits from there on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    if abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:#.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def figure(value: float) -> str:
    """As `number`, of a metric: a dash for -1, by which metrics of COCO tell that there was nothing to be found."""
    return "—" if value == -1 else number(value)


def count(value: float) -> str:
    """A number of parameters to read: 3400000 is 3.4 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.0f}"


def mean_sd(arm: Arm) -> str:
    """Mean ± sample standard deviation of the primary metric; a dash for the spread of one seed."""
    if math.isnan(arm.mean):
        return f"NaN in {sum(map(math.isnan, arm.values))} of {len(arm.values)} seeds"
    if arm.mean == -1:
        return "—"
    return f"{number(arm.mean)} ± {'—' if len(arm.values) < 2 else number(arm.sd)}"
