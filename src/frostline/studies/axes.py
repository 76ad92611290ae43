"""The axes of a study's grid: keys of the configuration, their values as texts, and the short names people read."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z_/][\w/.:+-]*", re.ASCII)  # what an override takes as text without quotes
SPECIAL = ("null", "true", "false", "nan", "inf")  # but these, as they are values
SEED = "seed"  # the axis by which the runs of one arm differ

Value = None | bool | int | float | str


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Key of the configuration -> its last part, or the whole key where two end alike.

    `schedule.name` is the schedule: what its file calls itself.
    """
    ends = {key: key.removesuffix(".name").rsplit(".", 1)[-1].rsplit("/", 1)[-1] for key in keys}
    often = Counter(ends.values())
    return {key: end if often[end] == 1 else key for key, end in ends.items()}


def arm(values: Mapping[str, Any]) -> dict[str, str]:
    """What tells a run's arm: short name -> value as text, of all axes but the seed. values: by axis of the grid."""
    names = short_names(dict.fromkeys([*values, SEED]))  # whatever the grid has: no other axis is called as the seed is
    return {names[key]: text(value) for key, value in values.items() if key != SEED}


def is_value(value: object) -> bool:
    """Whether an axis can have it: text that is not empty, a number, true, false, null, or a list of such."""
    if isinstance(value, list):
        return bool(value) and all(is_value(one) and not isinstance(one, list) for one in value)
    return value != "" and isinstance(value, Value)


def text(value: Any) -> str:
    """A value as the configuration writes it, such as `0.001`, `null`, `true` or `[64,32]`."""
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    return str(value)


def in_name(value: Any) -> str:
    """A value as a part of a run's name, which a file has, too, and commands: without `/`, quotes, blanks."""
    return re.sub(r"[^\w.+=-]+", "_", text(value))


def override(key: str, value: Any) -> str:
    """`key=value` as Hydra reads it, so that a text stays the text that it is."""
    return f"{key}={_quoted(value)}"


def _quoted(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_quoted, value))}]"
    if not isinstance(value, str) or (BARE.fullmatch(value) and value.lower() not in SPECIAL):
        return text(value)
    # Between quotes a backslash counts only before one.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (found[2] and "\\'"), value) + "'"
