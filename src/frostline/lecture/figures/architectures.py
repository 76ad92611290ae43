"""The pictures of the part on architectures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from frostline.draw.colours import BLUE, GREEN, INK, ORANGE, QUIET, RED
from frostline.draw.style import chart
from frostline.words import quantity

AREA = 7.0  # square points of a dot, for a million parameters
FIRST, LAST = 1996, 2021  # years that are shown
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "color": QUIET}


@chart
def history_figure(networks: Sequence[tuple[str, int, int, int, float | None, bool]]) -> Figure:
    """Networks as (name, year, depth, parameters, top-5 error in per cent, whether that is of the contest)."""
    figure = Figure(figsize=(5.6, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for name, year, depth, parameters, error, contest in networks:
        area = max(AREA * parameters / 1e6, 6)
        upper.scatter(year, depth, area, color=BLUE, alpha=0.6, linewidths=0, zorder=3)
        _name(upper, f"{name}, {quantity(parameters, 2)}", year, depth, area, year < 2000 or year > 2015)
        if error is not None:
            lower.scatter(year, error, 45, facecolors=ORANGE if contest else "white", edgecolors=ORANGE, zorder=3)
            _name(lower, f"{name}, {error:.1f} %", year, error, 45, not contest)
    upper.set(yscale="log", ylim=(4.5, 260), xlim=(FIRST, LAST))
    upper.yaxis.set_major_locator(FixedLocator([5, 10, 20, 50, 100, 200]))
    upper.yaxis.set_major_formatter("{x:.0f}")
    upper.yaxis.set_minor_locator(NullLocator())
    upper.set_title("layers with weights; a dot's area: its parameters", **TITLE)
    entries = [(year, error) for _, year, _, _, error, contest in networks if contest]
    lower.plot(*zip(*entries, strict=True), color=ORANGE, linewidth=1.5, alpha=0.6)
    lower.set(ylim=(0, 20), xticks=range(1998, LAST, 4))
    lower.set_title("top-5 error, %; filled: the contest's test, hollow: one network", **TITLE)
    return figure


def _name(axes: Axes, text: str, x: float, y: float, area: float, right: bool) -> None:
    """Beside a dot of so many square points."""
    far = 5 + math.sqrt(area / math.pi)
    style: dict[str, Any] = {"fontsize": 10, "color": INK, "va": "center", "ha": "left" if right else "right"}
    axes.annotate(text, (x, y), (far if right else -far, 0), textcoords="offset points", **style)


@chart
def gradients_figure(curves: Mapping[str, Sequence[float]]) -> Figure:
    """For each chain, its name and how strong the gradient is at each of its layers, the first one first."""
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(curves.items(), (RED, QUIET, GREEN), strict=True):
        axes.plot(range(1, len(values) + 1), values, color=colour, linewidth=2.2, label=name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, place: _ten(value))
    axes.set_xlabel("layer, from the picture on")
    axes.set_title("size of the gradient, in multiples of the last layer's", **TITLE)
    axes.legend(frameon=False, fontsize=10, loc="lower right")
    return figure


def _ten(value: float) -> str:
    """A power of ten, as charts without formulas can write it."""
    return "10" + str(round(math.log10(value))).translate(RAISED)
