"""The table of all pairs."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from frostline.statistics.holm import holm, table


def test_adjusted_are_those_of_statsmodels():
    p = np.random.default_rng(0).uniform(0, 0.2, 45)
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert holm([]).tolist() == []


def test_a_pair_without_a_test_is_none():
    assert holm([0.01, float("nan"), 0.02]) == pytest.approx([0.02, np.nan, 0.02], nan_ok=True)
    arms = {"a": {0: 1.0, 1: 1.1, 2: 1.0}, "b": {0: 0.0, 1: 0.1, 2: 0.01}, "failed": {0: float("nan"), 1: 0.1, 2: 0.3}}
    rows = table(arms)
    assert [(row.a, row.b) for row in rows] == [("a", "b"), ("a", "failed"), ("b", "failed")]
    assert [row.differ for row in rows] == [True, False, False]
    assert rows[0].adjusted == pytest.approx(rows[0].pairs.p)
