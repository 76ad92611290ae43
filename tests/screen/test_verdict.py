import numpy as np
import pytest

from frostline.screen.verdict import Looked, alike, judge, lead, mean_draws


def looked(name, values, ms=10.0, draws=None, pictures=100):
    resampled = None if draws is None else mean_draws([np.asarray(draws)], [np.mean(values)], pictures)
    return Looked(name, dict(enumerate(values)), resampled, ms, 1000, 10.0, {})


def test_who_is_certainly_further_behind_than_the_margin_cannot_win():
    best, close = looked("best", [0.80, 0.81, 0.80]), looked("close", [0.78, 0.79, 0.78], ms=20)
    far, quick = looked("far", [0.60, 0.61, 0.60], ms=30), looked("quick", [0.60, 0.61, 0.60], ms=1)
    verdicts = judge([far, best, close, quick], 0.05)
    assert {name: v.wins for name, v in verdicts.items()} == {"far": False, "best": True, "close": True, "quick": False}
    # Only the quick one of those that cannot win is worth something.
    assert [name for name, v in verdicts.items() if v.lost] == ["far"]
    assert [name for name, v in verdicts.items() if v.edge] == ["best", "quick"]
    assert judge([best, close], 0.0)["close"].wins is False


def test_who_is_not_known_to_be_behind_may_win():
    one, other = looked("one", [0.8]), looked("other", [0.2])
    assert lead(one, other) is None and judge([one, other], 0.0)["other"].wins
    assert alike([other, one]) == [("one", "other")]
    assert judge([looked("none", [float("nan")])], 0.1)["none"].wins


def test_both_doubts_have_to_agree():
    # Of seeds alone they differ for certain, over pictures they do not.
    seeds = {"a": [0.80, 0.80, 0.81], "b": [0.70, 0.70, 0.71]}
    wide = np.linspace(-0.3, 0.3, 400)
    a, b = looked("a", seeds["a"], draws=0.8 + wide), looked("b", seeds["b"], draws=0.7 - wide)
    assert lead(a, b).low < 0 < lead(a, b).high and alike([a, b]) == [("a", "b")]
    certain = looked("b", seeds["b"], draws=0.7 + wide)  # paired: the same pictures are hard for both
    assert lead(a, certain).low == pytest.approx(0.1, abs=0.02) and alike([a, certain]) == []
    assert a.interval.high - a.interval.low == pytest.approx(0.57, abs=0.02)  # the wider one


def test_resamples_of_another_number_are_not_mixed():
    assert mean_draws([np.zeros(3), np.zeros(4)], [0.1, 0.2], 100) is None and mean_draws([], [], 100) is None
