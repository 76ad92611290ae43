"""Intervals of means of few values."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from frostline.statistics.arm import outlying, summarise
from frostline.statistics.student import Interval, Mean, mean_of

VALUES = [0.71, 0.74, 0.69, 0.78, 0.73]


def test_interval_and_p_are_those_of_statsmodels_and_scipy():
    found, other = mean_of(VALUES), DescrStatsW(VALUES)
    assert (found.interval().low, found.interval().high) == pytest.approx(other.tconfint_mean(0.05), rel=1e-12)
    assert found.above(0.7) == pytest.approx(stats.ttest_1samp(VALUES, 0.7, alternative="greater").pvalue, rel=1e-9)


def test_interval_covers_where_a_bootstrap_does_not():
    """Three seeds of normal noise, 4,000 times: a normal quantile in Student's place would cover in 0.81."""
    draws = np.random.default_rng(0).normal(size=(4000, 3)).tolist()
    covered = np.mean([ends.low < 0 < ends.high for ends in (mean_of(values).interval() for values in draws)])
    assert 0.94 < covered < 0.96


def test_too_few_values_have_no_interval():
    assert mean_of([0.5]).interval() is None and math.isnan(mean_of([0.5]).above())
    assert mean_of([]).interval() is None and math.isnan(mean_of([]).mean)
    assert Mean(2, 0.5, 0.0).interval() == Interval(0.5, 0.5)
    assert [Mean(2, 0.5, 0.0).above(value) for value in (0.4, 0.5, 0.6)] == [0.0, 0.5, 1.0]


def test_failed_seeds_are_named_and_left_out_of_the_mean():
    found = summarise({1: 0.5, 2: math.nan, 3: 0.7, 4: math.inf})
    assert found.seen.mean == pytest.approx(0.6) and found.failed == (2, 4)


def _study(seed: int, arms: int = 10, seeds: int = 5) -> dict[str, dict[int, float]]:
    draws = np.random.default_rng(seed).normal(size=(arms, seeds))
    return {f"arm{n}": dict(enumerate(row.tolist())) for n, row in enumerate(draws)}


def test_a_collapsed_seed_is_flagged():
    arms = _study(0)
    arms["arm3"][2] = -12.0
    assert outlying(arms) == {"arm3": (2,)}


@pytest.mark.parametrize("arms, seeds", [(1, 5), (10, 3)])
def test_honest_seeds_are_seldom_flagged(arms: int, seeds: int):
    """Without Bonferroni's factor more than half of the studies of ten arms would have a flag."""
    flagged = np.mean([bool(outlying(_study(n, arms, seeds))) for n in range(400)])
    assert flagged < 0.09


def test_two_close_values_make_no_outlier_of_the_third_where_other_arms_spread():
    arms = _study(0, seeds=3) | {"close": {0: 0.5, 1: 0.5001, 2: 0.9}}
    assert "close" not in outlying(arms)
    assert outlying({"close": arms["close"], "one more": {0: 1.0, 1: 2.0}}) == {"close": (2,)}
    assert outlying({"alone": {0: 0.5, 1: 0.5, 2: 0.5}, "single": {0: 1.0}, "none": {}}) == {}
