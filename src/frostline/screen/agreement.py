"""How far the order of a screen is the order after whole training: what a committed study measured, and how."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from frostline.errors import FrostlineError
from frostline.files import write_whole

COMMITTED = Path(__file__).resolve().parents[3] / "experiments" / "screen"  # a package without its repository has none
FILE = "agreement.json"
TIMES = 2000  # resamples
FEWEST = 5  # backbones, below which percentiles of resamples are no more than a hint

Values = Mapping[str, Sequence[float]]  # backbone -> a value a seed
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """tau: Kendall's tau-b of a screen's order and that after whole training, over all pairs of backbones within a
    task. low, high: the ends of its 95 % interval, None where there is none. loss: what the screen's first choice of a
    task was worse than the best after whole training, mean over tasks. backbones, tasks: how many."""

    tau: float
    low: float | None
    high: float | None
    loss: float
    backbones: int
    tasks: int

    def __str__(self) -> str:
        interval = (
            "" if self.low is None or self.high is None else f" (95 % interval {self.low:.2f} to {self.high:.2f})"
        )
        few = ", so few that the interval is a hint" if self.backbones < FEWEST else ""
        return (
            f"Kendall's tau {self.tau:.2f}{interval} over {self.backbones} backbones in {self.tasks} tasks{few}; the "
            f"screen's first choice was {self.loss:.3f} below the best on average"
        )


@dataclass(frozen=True)
class Study:
    """What a study found. by: `probe`, and estimates by their names -> how far each agrees. schedule: of the whole
    training. dataset: that it was found on."""

    by: Mapping[str, Agreement]
    schedule: str
    dataset: str
    backbones: Sequence[str] = field(default_factory=tuple)


def tau_b(pairs: Sequence[tuple[Floats, Floats]], weights: Floats | None = None) -> float:
    """Kendall's tau-b (Kendall 1945, doi:10.1093/biomet/33.3.239), its pairs within each (x, y) alone: (C - D) / root
    of (pairs that x tells apart) (pairs that y does). NaN where one of them tells none apart.

    weights: how often each place is counted, the same in all.
    """
    score = in_x = in_y = 0.0
    for x, y in pairs:
        both = np.ones((len(x), len(x))) if weights is None else np.outer(weights, weights)
        above = np.triu(both, 1)
        dx, dy = np.sign(x[:, None] - x[None]), np.sign(y[:, None] - y[None])
        score += float((above * dx * dy).sum())
        in_x += float((above * dx**2).sum())
        in_y += float((above * dy**2).sum())
    return score / math.sqrt(in_x * in_y) if in_x and in_y else math.nan


def agreement(screened: Mapping[str, Values], whole: Mapping[str, Values], times: int = TIMES) -> Agreement:
    """By task and backbone, the values of a screen against those of whole training; what only one of them has is left
    out.

    The interval is a percentile bootstrap: backbones are drawn again, the same in all tasks, as what a network is good
    for goes through them; and of each backbone its seeds. Of few backbones in the same order it would be a point, so it
    is no narrower than `of_comparisons`. Raises FrostlineError where there are fewer than two
    backbones that all tasks have.
    """
    tasks = [task for task in screened if task in whole]
    sets = [screened[task].keys() & whole[task].keys() for task in tasks]
    names = [name for name in (screened[tasks[0]] if tasks else ()) if all(name in one for one in sets)]
    if len(names) < 2:
        raise FrostlineError("Fewer than two backbones were both screened and trained whole in every task.")
    draw = np.random.default_rng(0)

    def means(values: Values, again: bool) -> Floats:
        found = []
        for name in names:
            seeds = np.asarray(values[name], float)
            found.append(seeds[draw.integers(0, len(seeds), len(seeds))].mean() if again else seeds.mean())
        return np.array(found)

    def pairs(again: bool) -> list[tuple[Floats, Floats]]:
        return [(means(screened[task], again), means(whole[task], again)) for task in tasks]

    seen = pairs(False)
    draws = []
    for _ in range(times):
        weights = np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names)).astype(float)
        draws.append(tau_b(pairs(True), weights))
    known = np.array([one for one in draws if math.isfinite(one)])
    loss = float(np.mean([after.max() - after[int(before.argmax())] for before, after in seen]))
    tau = tau_b(seen)
    if not math.isfinite(tau) or len(known) <= times / 2:
        return Agreement(tau, None, None, loss, len(names), len(tasks))
    ends, least = np.quantile(known, [0.025, 0.975]), of_comparisons(tau, (len(names) - 1) * len(tasks))
    return Agreement(tau, min(float(ends[0]), least[0]), max(float(ends[1]), least[1]), loss, len(names), len(tasks))


def of_comparisons(tau: float, count: int) -> tuple[float, float]:
    """The 95 % interval of tau where so many comparisons were made, each for itself: Clopper and Pearson's (1934) of
    the share of pairs in the same order, (1 + tau) / 2. An order of n is counted as n - 1 comparisons, as its other
    pairs follow from these in good part."""
    right = count * (1 + tau) / 2
    low = float(betaincinv(right, count - right + 1, 0.025)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, count - right, 0.975)) if right < count else 1.0
    return 2 * low - 1, 2 * high - 1


def whole_of(results: Path, schedule: str) -> dict[str, dict[str, list[float]]]:
    """By task and backbone, the test figures of a study's runs with this schedule, from its results.csv.

    Raises FrostlineError where that is not there or says something else.
    """
    try:
        rows = list(csv.DictReader(results.read_text(encoding="utf-8").splitlines(), strict=True))
        found: dict[str, dict[str, list[float]]] = {}
        for row in rows:
            if row.get("schedule", schedule) == schedule:
                value = float(row[f"test_{row['primary']}"])
                found.setdefault(row["task"], {}).setdefault(row["backbone"], []).append(value)
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise FrostlineError(f"{results} cannot be read ({error}): run the study and compare it first.") from error
    return found


def committed(folder: Path = COMMITTED) -> Study | None:
    """What the repository's study found; None where it is not there. Raises FrostlineError where that is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        by = {name: Agreement(**one) for name, one in told["by"].items()}
        return Study(by, str(told["schedule"]), str(told["dataset"]), tuple(told["backbones"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FrostlineError(f"{path} cannot be read ({error}): take it from the repository again.") from error


def write(found: Study, folder: Path) -> Path:
    path = folder / FILE
    write_whole(path, json.dumps(asdict(found), indent=1) + "\n")
    return path
