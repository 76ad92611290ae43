"""A race over planned looks."""

import math

import numpy as np
import pytest
from scipy import stats

from frostline.errors import FrostlineError
from frostline.statistics.blocks import led
from frostline.statistics.paired import paired
from frostline.statistics.race import LOOKS, race, run
from frostline.statistics.spending import levels

SEEDS = [f"seed{n}" for n in range(10)]


def _arms(means: dict[str, float], seeds: int, noise: float = 1.0, seed: int = 0) -> dict[str, dict[str, float]]:
    draws = np.random.default_rng(seed).normal(0, noise, (len(means), 10))
    shared = np.random.default_rng(99).normal(0, 5, 10)  # what a seed does to all arms
    return {
        name: dict(zip(SEEDS[:seeds], (mean + row + shared).tolist(), strict=False))
        for (name, mean), row in zip(means.items(), draws, strict=True)
    }


def test_levels_are_those_published():
    """Bounds of five even looks at two-sided 0.05 by Lan and DeMets' two functions, as their program and gsDesign give
    them. Without the earlier looks taken into account, each would be lower."""

    def of_pocock(share: float) -> float:
        return math.log(1 + (math.e - 1) * share)

    def of_obrien_fleming(share: float) -> float:
        return float(2 * stats.norm.sf(stats.norm.isf(0.0125) / math.sqrt(share)) / 0.025)

    found = stats.norm.isf(levels((1, 2, 3, 4, 5), 0.025, of_pocock))
    assert found == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=0.002)
    found = stats.norm.isf(levels((1, 2, 3, 4, 5), 0.025, of_obrien_fleming))
    assert found == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=0.002)


def test_looks_together_err_as_often_as_one():
    sums = np.random.default_rng(0).normal(size=(200_000, 10)).cumsum(1)
    seen = [
        sums[:, look - 1] / math.sqrt(look) > stats.norm.isf(p)
        for look, p in zip(LOOKS, levels(LOOKS, 0.05), strict=True)
    ]
    assert np.any(seen, 0).mean() == pytest.approx(0.05, abs=0.0015)


def test_two_arms_alone_are_a_paired_t_test():
    values = np.random.default_rng(0).normal(size=(1, 2, 5)) + np.array([1.0, 0.0])[:, None]
    found = led(values, np.ones(values.shape, bool), np.ones((1, 2), bool))
    a, b = (dict(enumerate(row)) for row in values[0].tolist())
    assert 2 * found.above()[0, 1] == pytest.approx(paired(a, b).p, rel=1e-9)


def test_what_a_seed_does_to_all_arms_changes_nothing():
    values = np.random.default_rng(0).normal(size=(1, 6, 5))
    shape, all_of = np.ones(values.shape, bool), np.ones((1, 6), bool)
    found, moved = led(values, shape, all_of), led(values + [0.0, 9.0, -4.0, 100.0, 2.0], shape, all_of)
    assert moved.error == pytest.approx(found.error) and moved.df == pytest.approx(found.df)


def test_residuals_of_a_table_with_gaps_are_those_of_least_squares():
    from frostline.statistics.blocks import _fit

    values = np.random.default_rng(0).normal(size=(6, 8))
    present = np.arange(8) < np.array([8, 8, 3, 3, 4, 6])[:, None]
    rows = [[*np.eye(6)[arm], *np.eye(8)[seed]] for arm, seed in np.argwhere(present)]
    solution = np.linalg.lstsq(np.array(rows), values[present], rcond=None)[0]
    expected = values[present] - np.array(rows) @ solution
    _, residuals = _fit(np.where(present, values, 0.0)[None], present[None])
    assert residuals[0][present] == pytest.approx(expected, abs=2e-3)


def test_spreads_of_each_arm():
    """Of arms whose spreads differ by five times, the widest isn't told too narrow on average: then it would be beaten,
    or win, too often."""
    from frostline.statistics.blocks import _fit, _spreads

    true = np.array([0.3] * 9 + [1.5])
    values = np.random.default_rng(0).normal(size=(4000, 10, 6)) * true[:, None]
    present = np.ones(values.shape, bool)
    variance, _ = _spreads(_fit(values, present)[1], present)
    assert variance[:, -1].mean() == pytest.approx(1.5**2, rel=0.05)
    assert 0.3**2 <= variance[:, 0].mean() < 0.3**2 * 1.5


def test_arms_leave_and_the_last_is_champion():
    means = {"best": 4.0, "far": -20.0, "near": 3.0, "mid": 0.0}
    found = race(_arms(means, 3, 0.5), SEEDS)
    assert found.end == "more seeds" and found.look == 3 and found.seeds == 4
    assert "far" in found.beaten and "best" in found.competing and found.champion is None
    assert found.missing == {name: ("seed3",) for name in found.competing}
    ended = race(_arms(means, 10, 0.5), SEEDS)
    assert ended.end == "champion" and ended.champion == "best" and ended.seeds == 0 and not ended.missing
    assert ended.beaten["far"] == found.beaten["far"] == 3


def test_it_goes_on_as_it_went_whatever_order_and_whatever_more_is_there():
    """Asked again with more values, an arm that has left stays away: else each asking would be one more look."""
    means = {"a": 1.0, "b": 0.8, "c": 0.0, "d": -1.0}
    arms = _arms(means, 10)
    before: dict[str, int] = {}
    for seeds in range(11):
        found = race({name: dict(list(values.items())[:seeds]) for name, values in arms.items()}, SEEDS)
        assert before.items() <= found.beaten.items()
        before = found.beaten
    turned = race({name: dict(reversed(arms[name].items())) for name in arms}, SEEDS)
    assert turned == race(arms, SEEDS)


def test_rest_that_is_as_good_ends_it():
    arms = _arms({"a": 0.0, "b": 0.0, "bad": -30.0}, 10, 0.3)
    found = race(arms, SEEDS, margin=2.0)
    assert found.end == "equivalent" and set(found.equivalent) == {"a", "b"} - {found.leader}
    assert found.champion is None and "bad" in found.beaten
    assert race(arms, SEEDS).end == "cannot tell"


def test_a_failed_arm_is_named_and_never_wins():
    arms = _arms({"a": 2.0, "b": 0.0, "c": -20.0}, 10, 0.3)
    arms["a"]["seed4"] = math.nan
    found = race(arms, SEEDS)
    assert found.failed == ("a",) and found.champion != "a" and "a" not in found.competing
    arms = _arms({"a": 2.0, "b": 0.0, "c": -20.0}, 10, 0.3)
    arms["c"]["seed1"] = math.inf
    assert race(arms, SEEDS).champion == "a" and race(arms, SEEDS).failed == ("c",)
    gone = race({name: {"seed0": math.nan} for name in "ab"}, SEEDS)
    assert gone.end == "cannot tell" and gone.failed == ("a", "b") and gone.champion is None


def test_nothing_yet():
    found = race({"a": {}, "b": {"seed0": 1.0}}, SEEDS)
    assert found.end == "more seeds" and found.look == 0 and found.leader is None
    assert found.missing == {"a": ("seed0", "seed1", "seed2"), "b": ("seed1", "seed2")}


@pytest.mark.parametrize(
    "arms, seeds, looks, said",
    [
        (1, 10, LOOKS, "two arms or more"),
        (2, 10, (3, 3), "they rise"),
        (2, 10, (1, 3), "2 or more"),
        (2, 5, LOOKS, "5 seeds"),
    ],
)
def test_what_cannot_be_raced_is_told(arms: int, seeds: int, looks: tuple[int, ...], said: str):
    with pytest.raises(FrostlineError, match=said):
        race({str(n): {} for n in range(arms)}, SEEDS[:seeds], looks)


def test_two_tied_tops_are_seldom_told_apart():
    """A look more that isn't paid for, or a pooled spread where the tops spread more, would go beyond 0.07."""
    draw = np.random.default_rng(5)
    for spreads in (np.ones(10), np.array([1.4, 1.4] + [0.5] * 8)):
        values = np.array([0, 0] + [-8.0] * 8)[:, None] + spreads[:, None] * draw.normal(size=(6000, 10, 10))
        assert (run(values).champion >= 0).mean() < 0.062
