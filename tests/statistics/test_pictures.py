"""A metric over other draws of test pictures."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from frostline.errors import FrostlineError
from frostline.metrics.resampled import set_metric
from frostline.statistics.pictures import Resampled, resamples

RIGHT = np.random.default_rng(0).random(300) < 0.7
COUNTS = resamples(300, 500)


def of_mean(values, counts):
    """The mean over pictures of their qualities."""
    metric = set_metric(pa.table({"quality": values}))
    return Resampled(len(values), metric(np.ones((1, len(values)), int))[0], metric(counts))


def test_a_resample_draws_as_many_pictures_as_there_are():
    assert COUNTS.shape == (500, 300) and (COUNTS.sum(1) == 300).all()
    assert COUNTS.mean(0) == pytest.approx(np.ones(300), abs=0.25)
    assert (resamples(300, 500) == COUNTS).all() and (resamples(300, 500, seed=1) != COUNTS).any()


def test_a_mean_is_the_metric_computed_anew_for_each_resample():
    values = np.where(np.arange(300) % 50, RIGHT.astype(float), np.nan)  # some pictures have no value

    found = of_mean(values, COUNTS)
    assert found.value == pytest.approx(np.nanmean(values))
    assert found.draws == pytest.approx([np.nanmean(np.repeat(values, weights)) for weights in COUNTS])


def test_interval_is_that_of_scipy():
    found = of_mean(RIGHT.astype(float), resamples(300, 4000)).interval()
    other = stats.bootstrap((RIGHT.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=0)
    ends = other.confidence_interval
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.004)


def test_differences_are_of_the_same_pictures():
    """Two arms that err on the same pictures, but for a few: unpaired, the interval would be six times as wide."""
    other = RIGHT.copy()
    other[:6] = False
    apart = of_mean(RIGHT.astype(float), COUNTS).minus(of_mean(other.astype(float), COUNTS))
    found = apart.interval()
    assert apart.value == pytest.approx((RIGHT[:6]).mean() * 6 / 300)
    assert found.high - found.low < 0.035
    with pytest.raises(FrostlineError, match="cannot be paired"):
        apart.minus(of_mean(RIGHT[:200].astype(float), resamples(200, 500)))


def test_interval_covers_in_about_95_percent():
    draw = np.random.default_rng(2)
    inside = []
    for n in range(200):
        found = of_mean(draw.beta(2, 1, 150), resamples(150, 200, seed=n)).interval()
        inside.append(found.low < 2 / 3 < found.high)
    assert 0.90 < np.mean(inside) < 0.99


def test_too_few_pictures_and_undefined_values_have_no_interval():
    assert of_mean(np.ones(99), resamples(99, 10)).interval() is None
    counts = resamples(100, 10)
    one = np.where(np.arange(100) == 0, 1.0, np.nan)  # alone has a value, and is not in every resample
    assert np.isnan(of_mean(one, counts).draws).any() and of_mean(one, counts).interval() is None
    assert np.isnan(of_mean(np.full(100, np.nan), counts).value)
