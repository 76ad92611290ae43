"""Whether one arm is better than every other."""

import math

import numpy as np
import pytest

from frostline.errors import FrostlineError
from frostline.statistics.champion import champion

SEEDS = range(5)
NOISE = np.random.default_rng(0).normal(0, 0.01, (4, 5))


def _arms(*means: float) -> dict[str, dict[int, float]]:
    return {name: dict(enumerate((mean + row).tolist())) for name, mean, row in zip("abcd", means, NOISE, strict=False)}


def _planned(arms: dict[str, dict[int, float]]) -> dict[str, range]:
    return {name: SEEDS for name in arms}


def test_it_beats_each_other_arm():
    arms = _arms(0.9, 0.8, 0.7)
    found = champion("a", arms, _planned(arms), margin=0.02)
    assert found.champion == "a" and not (found.unbeaten or found.equivalent or found.higher)


def test_one_arm_not_beaten_is_enough_to_have_none():
    arms = _arms(0.9, 0.895, 0.7)
    found = champion("a", arms, _planned(arms), margin=0.05)
    assert found.champion is None and found.unbeaten == ("b",) and found.equivalent == ("b",)


def test_candidate_is_the_one_given_and_a_higher_arm_is_named():
    arms = _arms(0.8, 0.9, 0.7)
    found = champion("a", arms, _planned(arms))
    assert found.champion is None and found.higher == ("b",) and found.unbeaten == ("b",)
    assert found.pairs["b"].verdict == "worse"


def test_a_planned_run_that_is_missing_leaves_nobody_champion():
    arms = _arms(0.9, 0.8, 0.7)
    del arms["c"][3]
    found = champion("a", arms, _planned(_arms(0.9, 0.8, 0.7)) | {"never ran": SEEDS})
    assert found.champion is None and found.missing == {"c": (3,), "never ran": tuple(SEEDS)}


def test_a_failed_arm_wins_nothing_and_holds_nobody_up():
    arms = _arms(0.9, 0.8, 0.95)
    arms["c"][1] = math.nan
    found = champion("a", arms, _planned(arms))
    assert found.champion == "a" and found.failed == ("c",) and found.higher == ()
    assert champion("c", arms, _planned(arms)).champion is None


def test_there_must_be_others_and_more_than_one_seed():
    alone = _arms(0.9)
    assert champion("a", alone, _planned(alone)).champion is None
    single = {"a": {0: 0.9}, "b": {0: 0.1}}
    assert champion("a", single, {}).champion is None
    with pytest.raises(FrostlineError, match="'e' is none of the arms"):
        champion("e", alone, {})


def test_two_equal_at_the_top_are_seldom_told_apart():
    """1,500 studies whose two best of three are equal; at 0.05 a side it would be twice as often."""
    draw, false = np.random.default_rng(1), 0
    for values in draw.normal(0, 1, (1500, 3, 5)) + np.array([0, 0, -6])[:, None]:
        arms = {name: dict(enumerate(row)) for name, row in zip("abc", values.tolist(), strict=True)}
        best = max(arms, key=lambda name: sum(arms[name].values()))
        false += champion(best, arms, _planned(arms)).champion is not None
    assert false / 1500 < 0.065
