"""Two arms over the seeds they share."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from frostline.statistics.paired import paired

A = {seed: value for seed, value in enumerate([0.81, 0.84, 0.80, 0.86, 0.83])}
B = {seed: value for seed, value in enumerate([0.78, 0.80, 0.79, 0.82, 0.80])}


def test_interval_and_tests_are_those_of_statsmodels_and_scipy():
    found = paired(A, B, margin=0.04)
    a, b = np.array([*A.values()]), np.array([*B.values()])
    ends = DescrStatsW(a - b).tconfint_mean(0.05)
    assert (found.interval.low, found.interval.high) == pytest.approx(ends, rel=1e-9)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    for margin in np.linspace(0.02, 0.06, 41):
        both, _, _ = ttost_paired(a, b, -margin, margin)
        assert paired(A, B, margin).equivalent == (both < 0.05)


def test_pairs_are_made_by_identity_never_by_order():
    turned = dict(reversed(B.items()))
    assert paired(A, turned) == paired(A, B)
    found = paired(A | {"a only": 0.1}, turned | {"b only": 0.9})
    assert found.differences.n == 5 and found.only_a == ("a only",) and found.only_b == ("b only",)
    assert found.differences == paired(A, B).differences


def test_four_verdicts():
    near = {seed: value + 0.001 * (-1) ** seed for seed, value in A.items()}
    assert paired(A, B).verdict == "better"
    assert paired(B, A).verdict == "worse"
    assert paired(A, near).verdict == "cannot tell"
    assert paired(A, near, margin=0.01).verdict == "equivalent"
    # Certain, and too small to matter.
    assert paired(A, B, margin=0.05).verdict == "equivalent" and paired(A, B, margin=0.05).beats


def test_one_seed_cannot_tell_and_has_no_interval():
    found = paired({0: 0.9}, {0: 0.1}, margin=5.0)
    assert found.verdict == "cannot tell" and found.interval is None
    assert math.isnan(found.p) and math.isnan(found.wins)
    assert paired({0: 0.9}, {1: 0.1}).verdict == "cannot tell"


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_a_failed_seed_is_named_and_nobody_wins(bad: float):
    for a, b in ((A | {2: bad}, B), (B, A | {2: bad})):
        found = paired(a, b, margin=0.5)
        assert found.failed == (2,) and found.verdict == "cannot tell" and not found.beats
        assert found.differences.n == 4


def test_wins_is_the_chance_on_a_new_seed():
    """A new seed of two arms that differ by one deviation, against the plain share: 0.76 of seeds."""
    draw = np.random.default_rng(0)
    told, came = [], []
    for seen, new in zip(draw.normal(1, 1, (3000, 4)), draw.normal(1, 1, 3000), strict=True):
        wins = paired(dict(enumerate(seen)), dict.fromkeys(range(4), 0.0)).wins
        told.append(wins)
        came.append((new > 0) if wins > 0.9 else math.nan)
    # Where it says 0.9 and more, it is so in about as many: not more certain than it can be.
    sure = np.array(told) > 0.9
    assert np.nanmean(came) == pytest.approx(stats.norm.cdf(1), abs=0.03)  # independent of the seen ones
    assert 0.9 < np.array(told)[sure].mean() < 0.97
    # By hand, of differences 0, 1, 2: a new one lies 1 / √(1 + 1/3) standard deviations of the prediction above zero.
    by_hand = paired({0: 0.0, 1: 1.0, 2: 2.0}, dict.fromkeys(range(3), 0.0)).wins
    assert by_hand == pytest.approx(stats.t.cdf(np.sqrt(3 / 4), 2))
    assert paired({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}).wins == 0.5
    assert paired({0: 2.0, 1: 2.0}, {0: 1.0, 1: 1.0}).wins == 1.0
