"""How arms are told apart in all pictures of a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.lines import Line2D

from frostline.draw.colours import QUIET, colours_of
from frostline.draw.legends import mark
from frostline.report.arms import Arm, Panel, said

Line = Literal["-", "--", ":", "-."]
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "<", "p", "h")
LINES: tuple[Line, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Look:
    """One axis has colours, the same in all pictures, and the others that vary have marks together.

    axis: that with colours: the schedule where it varies, else the first that does. colours: by its values.
    others: the axes that have marks together: all others that vary. Where there are none and the axis is not the
    schedule, its values have marks as well as colours. kinds: what has a mark.
    """

    axis: str
    colours: dict[str, str]
    others: tuple[str, ...]
    kinds: list[str]

    @property
    def doubled(self) -> bool:
        """Whether marks mean the same as colours."""
        return self.others == (self.axis,)

    def value(self, arm: Arm) -> str:
        """What of it has a colour."""
        return said(self.axis, arm.facets[self.axis])

    def kind(self, arm: Arm) -> str:
        """What of it has a mark."""
        return _together(arm, self.others)

    def values(self, arms: Iterable[Arm]) -> list[str]:
        """What of these arms has a colour, in order."""
        used = {self.value(arm) for arm in arms}
        return [value for value in self.colours if value in used]

    def colour(self, arm: Arm) -> str:
        return self.colours[self.value(arm)]

    def marker(self, arm: Arm) -> str:
        return MARKERS[self.kinds.index(self.kind(arm)) % len(MARKERS)]

    def line(self, arm: Arm) -> Line:
        return LINES[self.kinds.index(self.kind(arm)) % len(LINES)]

    def marks(self, lines: bool = False) -> list[Line2D]:
        """A legend of what marks, or kinds of line, mean; empty where there is but one."""
        entries = []
        for i, kind in enumerate(self.kinds if len(self.kinds) > 1 else []):
            colour = self.colours[kind] if self.doubled else QUIET
            if lines:
                entries.append(mark(kind, colour, line=LINES[i % len(LINES)]))
            else:
                entries.append(mark(kind, colour, marker=MARKERS[i % len(MARKERS)]))
        return entries

    def legends(self, arms: Iterable[Arm], lines: bool = False) -> list[list[Line2D]]:
        """What colours mean, and what marks mean; both in one where they mean the same."""
        if self.doubled:
            return [self.marks(lines)]
        marker, line = ("", "-") if lines else ("o", "")
        return [[mark(value, self.colours[value], marker, line) for value in self.values(arms)], self.marks(lines)]


def look_of(panels: Sequence[Panel], axes: Mapping[str, Sequence[str]]) -> Look:
    """axes: of the study; their values have colours in that order, whether they have a result yet or not."""
    arms = [arm for panel in panels for arm in panel.arms]
    varying = [axis for axis in axes if any(axis in panel.columns for panel in panels)]
    axis = "schedule" if "schedule" in varying or not varying else varying[0]
    known = list(axes.get(axis, ()))
    values = [said(axis, value) for value in [*known, *sorted({arm.facets[axis] for arm in arms} - set(known))]]
    others = tuple(other for other in varying if other != axis)
    kinds = list(dict.fromkeys(_together(arm, others) for arm in arms))
    if not others and axis != "schedule":
        others, kinds = (axis,), values
    return Look(axis, colours_of(values), others, kinds)


def _together(arm: Arm, axes: Sequence[str]) -> str:
    return ", ".join(said(axis, arm.facets[axis]) for axis in axes)
