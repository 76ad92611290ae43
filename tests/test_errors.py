"""The one check of numbers."""

import pytest

from frostline.errors import FrostlineError, check_number, is_number


@pytest.mark.parametrize("value", [True, False, None, "1", float("nan"), float("inf"), -float("inf"), -0.1, 3.1, [1]])
def test_what_is_no_number_in_range_is_told(value: object) -> None:
    assert not is_number(value, 0, 3)
    with pytest.raises(FrostlineError, match="key is .*; it is a number from 0 to 3"):
        check_number("key", value, 0, 3)


def test_a_whole_number_has_no_fraction() -> None:
    assert is_number(2, 0, whole=True) and is_number(2.0, 0) and not is_number(2.0, 0, whole=True)
    assert not is_number(float("inf"), 0)
