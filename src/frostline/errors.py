"""The one exception for mistakes that a user can mend."""


class FrostlineError(Exception):
    """A mistake in the input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def check_number(key: str, value: object, low: float, high: float = float("inf"), whole: bool = False) -> None:
    """Raise FrostlineError unless the value of a key is a number (whole: without fraction) from `low` to `high`."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        limits = f"from {low:g} up" if high == float("inf") else f"from {low:g} to {high:g}"
        raise FrostlineError(f"{key} is {value!r}; it is a {'whole ' if whole else ''}number {limits}.")
