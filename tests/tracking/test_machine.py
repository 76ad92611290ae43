"""How often a machine's use is sampled."""

import pytest

from frostline.tracking.machine import pause


@pytest.mark.parametrize(("age", "seconds"), [(0, 1), (60, 1), (120, 2), (600, 10), (1e6, 10), (-5, 1)])
def test_a_long_run_is_sampled_less_often_than_a_short_one(age, seconds):
    assert pause(age) == seconds
