"""Whether verdicts are right: studies whose truth is known, judged by the functions that judge real ones."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row
from frostline.statistics.arm import summarise
from frostline.statistics.champion import Champion, champion
from frostline.statistics.paired import paired
from frostline.statistics.power import CAP, more_seeds
from frostline.statistics.race import Standing, run

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
ARMS, MOST = 10, 10
APART = 6.0  # by how many deviations the eight others lie behind two that are tied: their worst case
SPREADS = np.linspace(0.5, 1.4, ARMS)
EQUAL = np.ones(ARMS)
NOISES: dict[str, Noise] = {
    "normal": lambda draw, shape: draw.normal(size=shape),
    "skewed": lambda draw, shape: 1 - draw.exponential(size=shape),  # a tail to the left, as of accuracies near 1
    "collapsing": lambda draw, shape: draw.normal(size=shape) - 4.0 * (draw.random(shape) < 0.1) + 0.4,
}
TIED = np.array([0.0, 0.0] + [-APART] * (ARMS - 2))


def _ordered(*first: int) -> Floats:
    return np.concatenate([SPREADS[[*first]], np.delete(SPREADS, first)])


# Of the two tied arms and the eight others; None draws the spreads of each study in another order.
UNEQUAL: dict[str, Floats | None] = {
    "in any order": None,
    "two narrowest": _ordered(0, 1),
    "narrowest and widest": _ordered(0, -1),
    "two widest": _ordered(-2, -1),
}


def coverage() -> list[Row]:
    """Of Student's 95 % intervals, 20,000 studies each: paired differences, and single means under normal noise."""
    draw, covered = np.random.default_rng(1), {}
    for name, noise in NOISES.items():
        for seeds in (3, 5, 10):
            values = noise(draw, (20_000, 2, seeds)).tolist()
            ends = [paired(dict(enumerate(a)), dict(enumerate(b))).interval for a, b in values]
            covered[f"{name} {seeds}"] = np.mean([end.low < 0 < end.high for end in ends])
            if name == "normal":
                ends = [summarise(dict(enumerate(a))).interval for a, _ in values]
                covered[f"single mean {seeds}"] = np.mean([end.low < 0 < end.high for end in ends])
    told = ", ".join(f"{name} {value:.3f}" for name, value in covered.items())
    what = "coverage of 95 % intervals of paired differences (noise, seeds) and of single means: furthest from 0.95"
    return [Row("verdict_coverage", what, max(abs(value - 0.95) for value in covered.values()), "<= 0.02", told)]


def champions() -> list[Row]:
    """Ten arms at 3, 5 and 10 seeds, 8,000 studies each; the candidate is chosen on the same data, the worst way."""
    tied = {
        f"{name}, {seeds} seeds": np.mean([found.champion is not None for found in _studies(TIED, spreads, seeds)])
        for name, spreads in ({"equal": EQUAL} | UNEQUAL).items()
        for seeds in (3, 5, 10)
    }
    alike = {
        f"{seeds} seeds": np.mean([found.champion is not None for found in _studies(0 * TIED, EQUAL, seeds)])
        for seeds in (3, 5, 10)
    }
    ahead = np.array([3.0] + [0.0] * (ARMS - 1))
    found = {seeds: np.mean([each.champion == "0" for each in _studies(ahead, EQUAL, seeds)]) for seeds in (3, 5, 10)}
    return [
        _worst("verdict_false_tied", "a false champion, ten arms, the two best equal: worst of", tied, "<= 0.055"),
        _worst("verdict_false_equal", "a false champion, ten equal arms: worst of", alike, "<= 0.02"),
        Row(
            "verdict_found",
            "a champion three deviations ahead of nine, found at 5 seeds",
            found[5],
            ">= 0.6",
            ", ".join(f"{share:.2f} at {seeds}" for seeds, share in found.items()),
        ),
    ]


def more() -> list[Row]:
    """Three seeds that cannot tell, as many more as `more_seeds` says, up to its cap: how often these then can."""
    draw, decided, told = np.random.default_rng(3), {}, []
    for effect in (0.8, 1.2, 2.0):
        then, asked, undecided = [], [], 0
        for values in draw.normal(effect, 1, (3000, 3 + CAP)).tolist():
            first = _difference(values[:3])
            if first.verdict != "cannot tell":
                continue
            undecided += 1
            k = more_seeds(first).median
            if k is not None:
                asked.append(k)
                then.append(_difference(values[: 3 + k]).verdict == "better")
        decided[f"effect {effect} sd"] = np.mean(then)
        told.append(
            f"{effect} sd: {np.mean(then):.2f}, median k {np.median(asked):.0f}, beyond {CAP} in "
            f"{1 - len(asked) / undecided:.2f}"
        )
    what = "'about k more seeds', followed, decides: worst of three effects, from three seeds that could not tell"
    return [Row("verdict_more", what, min(decided.values()), ">= 0.75", "; ".join(told))]


def until() -> list[Row]:
    """The race as shipped, ten arms, looks up to ten seeds, 40,000 studies each."""
    false = {name: _race(TIED, spreads)[0] for name, spreads in ({"equal": EQUAL} | UNEQUAL).items()}
    beyond = _race(TIED, np.array([0.25, 1.4] + [0.25] * (ARMS - 2)))[0]
    worst = _worst("verdict_until_false", "until verdict, a false champion, two tied tops: worst of", false, "<= 0.055")
    rows = [replace(worst, other=f"not under the bar: spreads of 0.25, one tied arm's 1.4: {beyond:.4f}")]
    for sd, found_bar, runs_bar in ((3, ">= 0.97", "<= 0.47"), (2, ">= 0.85", "<= 0.68")):
        ahead = np.array([float(sd)] + [0.0] * (ARMS - 1))
        _, found, runs = _race(ahead, EQUAL)
        _, other, more_runs = _race(ahead, None)
        what = f"until verdict, one arm {sd} deviations ahead of nine"
        uneven = "{} with spreads from 0.5 to 1.4 in any order"
        rows += [
            Row(f"verdict_until_{sd}sd", f"{what}: found", found, found_bar, uneven.format(f"{other:.3f}")),
            Row(
                f"verdict_until_{sd}sd_runs",
                f"{what}: runs of the full grid's",
                runs,
                runs_bar,
                uneven.format(f"{more_runs:.3f}"),
            ),
        ]
    return rows


def _difference(values: list[float]):
    return paired(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))


def _drawn(means: Floats, spreads: Floats | None, studies: int, seeds: int) -> Iterator[Floats]:
    """In blocks of (1000, arms, seeds)."""
    draw = np.random.default_rng(2)
    for _ in range(studies // 1000):
        each = np.tile(SPREADS, (1000, 1)) if spreads is None else np.tile(spreads, (1000, 1))
        each = draw.permuted(each, axis=1) if spreads is None else each
        yield means[:, None] + each[:, :, None] * draw.normal(size=(1000, len(means), seeds))


def _studies(means: Floats, spreads: Floats | None, seeds: int) -> Iterator[Champion]:
    names = [str(arm) for arm in range(len(means))]
    planned = {name: range(seeds) for name in names}
    for block in _drawn(means, spreads, 8000, seeds):
        for values, best in zip(block.tolist(), block.mean(2).argmax(1), strict=True):
            arms = {name: dict(enumerate(row)) for name, row in zip(names, values, strict=True)}
            yield champion(names[best], arms, planned)


def _race(means: Floats, spreads: Floats | None) -> tuple[float, float, float]:
    """How often there was a champion, how often the first arm was it, and runs of the full grid's."""
    ended: list[Standing] = [run(block) for block in _drawn(means, spreads, 40_000, MOST)]
    champions = np.concatenate([each.champion for each in ended])
    runs = [np.where(each.left > 0, each.left, each.look[:, None]).sum(1) for each in ended]
    return float((champions >= 0).mean()), float((champions == 0).mean()), float(np.mean(runs) / (len(means) * MOST))


def _worst(name: str, what: str, shares: dict[str, float], bar: str) -> Row:
    told = ", ".join(f"{case} {share:.4f}" for case, share in shares.items())
    return Row(name, f"{what} {len(shares)} cases", max(shares.values()), bar, told)


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "verdict_coverage": coverage,
    "verdict_champions": champions,
    "verdict_more": more,
    "verdict_until": until,
}
