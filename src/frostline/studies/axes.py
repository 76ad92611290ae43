"""The axes of a study's grid, and what they are called where people read."""

from collections import Counter
from collections.abc import Iterable


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Key of the configuration -> its last part, or the whole key where two end alike."""
    ends = {key: key.rsplit(".", 1)[-1].rsplit("/", 1)[-1] for key in keys}
    often = Counter(ends.values())
    return {key: end if often[end] == 1 else key for key, end in ends.items()}
