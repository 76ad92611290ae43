import json

import numpy as np
import pytest
from scipy.stats import kendalltau

from frostline.errors import FrostlineError
from frostline.screen.agreement import Agreement, Study, agreement, committed, of_comparisons, tau_b, whole_of, write


def test_tau_is_scipys_where_there_is_one_task():
    draw = np.random.default_rng(1)
    for _ in range(5):
        x, y = draw.integers(0, 6, 12).astype(float), draw.normal(size=12)
        y += x
        assert tau_b([(x, y)]) == pytest.approx(kendalltau(x, y).statistic)


def test_weights_count_a_backbone_as_often_as_it_is_drawn():
    # The trap: a backbone against its copy, which is no pair.
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    twice = [0, 0, 2]
    expected = kendalltau(x[twice], y[twice]).statistic
    assert tau_b([(x, y)], np.array([2.0, 0.0, 1.0])) == pytest.approx(expected)


def test_pairs_are_made_within_a_task():
    # Tasks have metrics of other sizes: across them, every pair would agree.
    screened = {"a": {"x": [0.1], "y": [0.2]}, "b": {"x": [0.9], "y": [0.8]}}
    whole = {"a": {"x": [0.2], "y": [0.1]}, "b": {"x": [0.8], "y": [0.9]}}
    found = agreement(screened, whole, times=50)
    assert found.tau == -1 and found.loss == pytest.approx(0.1) and (found.backbones, found.tasks) == (2, 2)


def test_an_order_of_many_is_more_certain_than_one_of_few():
    draw = np.random.default_rng(0)

    def of(count):
        quality = np.linspace(0, 1, count)
        return (
            {"t": {f"b{n}": [q + 0.05 * draw.normal()] for n, q in enumerate(quality)}},
            {"t": {f"b{n}": list(q + 0.05 * draw.normal(size=3)) for n, q in enumerate(quality)}},
        )

    few, many = agreement(*of(4), times=100), agreement(*of(25), times=100)
    assert few.tau == 1 and few.low < 0.6  # three comparisons, all in the same order: no more than a hint
    assert many.high - many.low < few.high - few.low and many.low > 0.5
    assert "a hint" in str(few) and "a hint" not in str(many)
    with pytest.raises(FrostlineError, match="Fewer than two"):
        agreement({"t": {"a": [1.0]}}, {"t": {"a": [1.0], "b": [2.0]}})


def test_the_interval_of_comparisons_is_clopper_and_pearsons():
    from scipy.stats import binomtest

    exact = binomtest(6, 8).proportion_ci(0.95, "exact")
    assert of_comparisons(0.5, 8) == pytest.approx((2 * exact.low - 1, 2 * exact.high - 1))
    assert of_comparisons(1.0, 8)[1] == 1 and of_comparisons(-1.0, 8)[0] == -1


def test_what_a_study_found_is_read_and_kept(tmp_path):
    rows = "task,backbone,schedule,seed,primary,test_map\nd,one,thaw,0,map,0.5\nd,one,frozen,0,map,0.1\n"
    (tmp_path / "results.csv").write_text(rows)
    assert whole_of(tmp_path / "results.csv", "thaw") == {"d": {"one": [0.5]}}
    with pytest.raises(FrostlineError, match="run the study"):
        whole_of(tmp_path / "none.csv", "thaw")
    assert committed(tmp_path) is None
    study = Study({"probe": Agreement(0.5, None, None, 0.0, 3, 4)}, "thaw", "meadow", ("one",))
    path = write(study, tmp_path)
    assert committed(tmp_path) == study
    path.write_text(json.dumps({"by": {}}))
    with pytest.raises(FrostlineError, match="cannot be read"):
        committed(tmp_path)
