"""What so many seeds can show."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from frostline.statistics.paired import paired
from frostline.statistics.power import (
    CAP,
    more_seeds,
    power_of_difference,
    power_of_equivalence,
    smallest_difference,
    smallest_effect,
    smallest_margin,
)


@pytest.mark.parametrize("n, effect", [(3, 2.0), (5, 1.5), (10, 1.0), (20, 0.3)])
def test_power_is_that_of_statsmodels(n: int, effect: float):
    found = power_of_difference(effect, n)
    assert found == pytest.approx(TTestPower().power(effect, n, 0.025, alternative="larger"), rel=1e-6)


@pytest.mark.parametrize("n, margin, effect", [(4, 2.0, 0.0), (6, 1.5, 0.3), (11, 1.0, 0.0)])
def test_power_of_equivalence_is_what_happens(n: int, margin: float, effect: float):
    draws = np.random.default_rng(0).normal(effect, 1, (4000, n))
    happened = np.mean([paired(dict(enumerate(d)), dict.fromkeys(range(n), 0.0), margin).equivalent for d in draws])
    assert power_of_equivalence(margin, n, effect) == pytest.approx(happened, abs=0.025)


def test_seeds_for_80_percent_power():
    """By hand: 10 / 6 / 5 / 4 pairs for 1 / 1.5 / 2 / 3 deviations, 11 / 6 / 4 / 3 for margins as wide."""
    for smallest, fewest in ((smallest_effect, [10, 6, 5, 4]), (smallest_margin, [11, 6, 4, 3])):
        for width, n in zip((1, 1.5, 2, 3), fewest, strict=True):
            assert smallest(n) <= width < smallest(n - 1)
        assert smallest(CAP) > 0.1
    assert smallest_effect(1) == smallest_margin(1) == np.inf


def _pairs(differences: list[float], margin: float | None = None):
    return paired(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0), margin)


def test_more_seeds():
    # Of mean 1 and deviation 1, which would ask for seven more; that of three is exaggerated.
    more = more_seeds(_pairs([0.0, 1.0, 2.0]))
    assert 7 < more.median < 20 and more.low < 7 and more.high is None
    # Nothing seen and no margin: no end to it.
    assert more_seeds(_pairs([-1.0, 0.0, 1.0])).median is None
    # Equal, within a margin of 1.5 deviations: six pairs.
    assert more_seeds(_pairs([-1.0, 0.0, 1.0], margin=1.5)).median == 3
    assert more_seeds(_pairs([0.3])).median is None
    assert more_seeds(_pairs([0.3, 0.3])).median == 1
    assert CAP >= more_seeds(_pairs([0.0, 0.5, 1.0, 2.0])).median > 0


def test_smallest_difference_is_in_the_unit_of_the_values():
    assert smallest_difference(_pairs([0.0, 0.01, 0.02])) == pytest.approx(0.01 * smallest_effect(3))
    assert np.isnan(smallest_difference(_pairs([0.3])))
