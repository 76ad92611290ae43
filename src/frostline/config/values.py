"""What a value means: the same for a key on the command line, in conf/ and in a study's grid.

- A truth value is true, yes or on; or false, no or off; in small letters or capitals. Nothing else: not 0 and not 1.
- A whole number is written in digits and counts by ten, so `010` is 10.
- A number may have a fraction and an exponent, so `1e-3` is 0.001. Infinity and NaN are none.
- `null` is no value, where a key may lack one.
- Text is what stands there, so a name may be `010`, `on` or `1e-3`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from frostline.errors import INF, FrostlineError, is_number

TRUTH = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)
WHOLE = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Simple = Literal["bool", "int", "float", "str", "any"]
WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}


@dataclass(frozen=True)
class Kind:
    """What a key takes. many: a list of such. none: null as well. word: one that is taken beside."""

    of: Simple
    many: bool = False
    none: bool = False
    word: str | None = None

    def __str__(self) -> str:
        words = f"a list, such as [{'a, b' if self.of in ('str', 'any') else '1, 2'}]" if self.many else WORDS[self.of]
        return words + (f", or {self.word}" if self.word else "") + (", or null" if self.none else "")


ANY = Kind("any", none=True)


def kind_of(default: Any) -> Kind:
    """What a key takes whose default is this: values of the default's own type."""
    if isinstance(default, list):
        kinds = {kind_of(value).of for value in default}
        return Kind("float" if kinds == {"int", "float"} else kinds.pop() if len(kinds) == 1 else "any", many=True)
    for simple in (bool, int, float, str):
        if isinstance(default, simple):
            return Kind(simple.__name__)  # type: ignore[arg-type]
    return ANY


def annotated(annotation: str) -> Kind | None:
    """What a parameter takes that is annotated so, as in `int | None` or `Sequence[float]`; None for anything else."""
    parts = [part.strip() for part in annotation.strip("'\"").split("|")]
    none = "None" in parts
    parts = [part for part in parts if part != "None"]
    if len(parts) != 1:
        return None
    found = re.fullmatch(
        r"(?:(?:Sequence|list|tuple|Iterable)\[)?(bool|int|float|str)((?:,\s*\1)*(?:,\s*\.\.\.)?\])?", parts[0]
    )
    return None if found is None else Kind(found[1], "[" in parts[0], none)  # type: ignore[arg-type]


def typed(key: str, value: Any, kind: Kind, written: str | None = None) -> Any:
    """A value as its key takes it. written: its text, where a number or truth value may have been meant as text.

    Raises FrostlineError where the key takes no such value.
    """
    if value is None:
        if kind.none:
            return None
        raise FrostlineError(f"{key} is null; it is {kind}.")
    if kind.word is not None and value == kind.word:
        return value
    if kind.many:
        if not isinstance(value, list):
            raise FrostlineError(f"{key} is {_shown(value)}; it is {kind}.")
        return (
            value if kind.of == "any" else [typed(f"{key}[{i}]", each, Kind(kind.of)) for i, each in enumerate(value)]
        )
    if kind.of == "any":
        return scalar(value)
    made = _made(value, kind.of, written)
    if made is None:
        raise FrostlineError(f"{key} is {_shown(value)}; it is {kind}.")
    return made


def scalar(value: Any) -> Any:
    """A value of which nothing is known: text that reads as a number is one."""
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _made(value: Any, kind: Simple, written: str | None) -> Any:
    """None where it is of another kind."""
    if isinstance(value, Mapping | list):
        return None
    match kind:
        case "bool":
            return TRUTH.get(str(value).lower())
        case "int":
            number = scalar(value)
            return number if is_number(number, -INF, whole=True) else None
        case "float":
            number = scalar(value)
            return float(number) if is_number(number, -INF) else None
        case _:
            if isinstance(value, str):
                return value
            return written if written is not None else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    return repr(value).lower() if isinstance(value, bool) else repr(value)
