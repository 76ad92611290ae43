"""The one exception for mistakes that a user can mend, and the checks of settings."""

from collections.abc import Sequence
from typing import TypeGuard

INF = float("inf")


class FrostlineError(Exception):
    """A mistake in the input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def is_number(value: object, low: float, high: float = INF, whole: bool = False) -> TypeGuard[float]:
    """Whether this is a finite number (whole: without fraction) from `low` to `high`; true and false are none."""
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high and abs(value) < INF


def check_number(key: str, value: object, low: float, high: float = INF, whole: bool = False) -> None:
    """Raise FrostlineError unless the value of a key `is_number`."""
    if not is_number(value, low, high, whole):
        limits = f"from {low:g} up" if high == INF else f"from {low:g} to {high:g}"
        raise FrostlineError(f"{key} is {value!r}; it is a {'whole ' if whole else ''}number {limits}.")


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Raise FrostlineError unless the value of a key is one of these."""
    if value not in choices:
        raise FrostlineError(f"{key} is {value!r}: set it to {', '.join(choices)}.")
