"""One claim and what was measured of it."""

import operator
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """value: what the bar is about. bar: such as `<= 600` or `>= 0.97`. ours, other: both sides, in words."""

    name: str
    what: str
    value: float
    bar: str
    ours: str
    other: str = ""

    @property
    def holds(self) -> bool:
        sign, bound = self.bar.split()
        return bool({"<=": operator.le, ">=": operator.ge, "==": operator.eq}[sign](self.value, float(bound)))
