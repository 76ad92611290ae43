"""The pictures of the part on transfer: augmented views, and the curves of trainings that freeze and thaw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from frostline.draw.colours import BLUE, GREEN, INK, ORANGE, PALE, QUIET, RED
from frostline.draw.marks import veil
from frostline.draw.style import chart
from frostline.lecture.figures.panels import frame, panels, show

WIDTH, HEIGHT = 5.0, 3.0  # inches of a chart
COLOURS = (BLUE, RED, QUIET, GREEN)


def views_figure(views: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> Figure:
    """By what was done, an item: its picture with its boxes and its mask, as far as it has them. Three in a row."""
    figure, axes = panels(-(-len(views) // 3), 3, 1.9)
    for each, (title, item) in zip(axes.flat, views.items(), strict=False):
        show(each, item["image"] / 255, title)
        if "mask" in item:
            each.imshow(veil(item["mask"].numpy(), classes, hatched=True), interpolation="nearest")
        for x0, y0, x1, y1 in item.get("boxes", np.zeros((0, 4))).tolist():
            frame(each, y0, x0, y1 - y0, x1 - x0)
        side = item["image"].shape[-1]
        each.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
    return figure


@chart
def thaw_figure(curves: Mapping[str, Sequence[float]], thawed: int, what: str) -> Figure:
    """Curves with a value for each epoch, and the moment at which all of the network begins to train."""
    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    axes = figure.subplots()
    lines(axes, curves, what)
    moment(axes, thawed)
    return figure


@chart
def wrong_figure(
    thaws: Mapping[str, Sequence[float]], thawed: int, drifts: Mapping[str, Sequence[float]], what: Sequence[str]
) -> Figure:
    """What goes wrong: above where the rate is not lowered, below where a frozen network's norms go on. what: is on the
    vertical axes."""
    figure = Figure(figsize=(WIDTH, 2 * HEIGHT), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    lines(upper, thaws, what[0])
    moment(upper, thawed)
    lines(lower, drifts, what[1])
    lower.set_ylim(bottom=min(-0.02, lower.get_ylim()[0]))
    return figure


def lines(axes: Axes, curves: Mapping[str, Sequence[float]], what: str) -> None:
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(range(1, len(values) + 1), values, "o-", color=colour, lw=1.9, ms=3.5, label=name)
    axes.set_xlabel("epoch")
    axes.margins(y=0.14)  # room for a word
    axes.set_title(what, fontsize=9, color=QUIET, loc="left")
    axes.tick_params(labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=2,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
        columnspacing=1,
    )  # below, where no line is


def moment(axes: Axes, thawed: int) -> None:
    """The end of epoch `thawed`, after which nothing is frozen any more; frozen before it is a pale ground."""
    axes.axvspan(0.5, thawed + 0.5, color=PALE, lw=0, zorder=0)
    axes.axvline(thawed + 0.5, color=ORANGE, lw=1.6, ls=(0, (3, 2)))
    axes.set_xlim(left=0.5)
    axes.annotate(
        "thaws here",
        (thawed + 0.5, 1),
        (-3, -3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=9,
        color=INK,
        ha="right",
        va="top",
    )
