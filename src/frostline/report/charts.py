"""The charts of results: every run's primary test metric, by what was varied, and against what it cost."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from frostline.draw.colours import INK, QUIET
from frostline.draw.legends import height_of, legend
from frostline.draw.style import headline
from frostline.report.arms import Arm, Panel
from frostline.report.looks import Look

HEAD = 0.68  # inches of a headline
TITLE = 14.0  # points
COSTS = {
    "train_seconds": ("training time", "seconds of training"),
    "predict_ms": ("the time to predict", "milliseconds to predict a picture"),
}
BY = {"schedule": "freezing schedule"}  # what an axis is called in a headline, where that is not its name
SPARE = 0.75  # inches of a panel that its values do not have: the metric's name and the numbers beside the axis
DIGIT, LETTER = 0.64, 1.1  # width of a digit and height of a line, in sizes of the letters, with some air
CROWDED = 10  # arms of a panel beyond which their dots and numbers are smaller
GROUP = 0.8  # of the room of what has a colour, that its arms share


def comparison(panels: Sequence[Panel], look: Look) -> Figure:
    """The primary test metric of every run: what has a colour side by side, a dot per seed, a bar at the mean."""
    wanted = max(SPARE + _units(panel, look) * _size(panel) * LETTER / 72 for panel in panels)
    figure, all_axes = canvas(panels, 3.1, [] if look.doubled else [look.marks()], wanted)
    room = figure.get_figwidth() / min(2, len(panels)) - SPARE  # inches of a panel's values
    for axes, panel in zip(all_axes, panels, strict=True):
        values = look.values(panel.arms)
        # Within a colour, kinds stand side by side.
        kinds = _kinds(panel, look)
        width = GROUP / len(kinds)
        told = {arm: _told(arm, panel) for arm in panel.arms}
        longest = max(map(len, told.values())) * DIGIT * _size(panel) / 72
        upright = longest > room / _units(panel, look)
        for arm in panel.arms:
            place = 0 if look.doubled else kinds.index(look.kind(arm))
            x = values.index(look.value(arm)) + (place - (len(kinds) - 1) / 2) * width
            _draw_arm(axes, arm, x, width, look, len(panel.arms))
            _write(axes, arm, x, told[arm], _size(panel), look.colour(arm), upright)
        fit(axes, [value for arm in panel.arms for value in arm.values], above=0.35 if upright else 0.2)
        spare = _aside(values)
        axes.set_xlim(-0.6 - spare, len(values) - 0.4 + spare)
        axes.set_xticks(range(len(values)), values)
        if sum(map(len, values)) > 42:
            for label in axes.get_xticklabels():
                label.set(rotation=30, rotation_mode="anchor", ha="right", fontsize=8)
        axes.grid(axis="x", visible=False)
    how = "higher is better; a dot is one seed, the bar and the number are the mean"
    headline(figure, f"Test-set results by {BY.get(look.axis, look.axis)}", how, TITLE)
    return figure


def against(panels: Sequence[Panel], look: Look, cost: str) -> Figure:
    """The primary test metric of every run against what it cost, one of COSTS, with the arm's mean."""
    arms = [arm for panel in panels for arm in panel.arms]
    figure, all_axes = canvas(panels, 2.9, look.legends(arms))
    what, label = COSTS[cost]
    for axes, panel in zip(all_axes, panels, strict=True):
        longest, shortest = 0.0, math.inf
        for arm in panel.arms:
            colour, marker = look.colour(arm), look.marker(arm)
            costs = [getattr(run.result, cost) for run in arm.runs]
            longest, shortest = max(longest, *costs), min(shortest, *costs)
            axes.scatter(costs, arm.values, s=24, color=colour, ec="white", lw=0.6, marker=marker, zorder=4)
            if len(costs) > 1:
                mean = sum(costs) / len(costs)
                axes.scatter([mean], [arm.mean], s=190, color=colour, alpha=0.3, lw=0, marker=marker, zorder=3)
        fit(axes, [value for arm in panel.arms for value in arm.values])
        if longest > 10 * shortest > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif longest > 0:
            axes.set_xlim(0, longest * 1.08)
        axes.set_xlabel(label)
    several = any(len(arm.values) > 1 for arm in arms)
    marks = "a small mark is one run, a large pale one the mean of its arm" if several else "a mark is one run"
    headline(figure, f"Test-set results against {what}", f"up and left is better; {marks}", TITLE)
    return figure


def canvas(
    panels: Sequence[Panel], height: float, legends: Sequence[Sequence[Line2D]], wanted: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure with axes of `height` inches for each panel, room for a headline, and the legends below.

    wanted: inches that each panel is wide at least.
    """
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = max(9.0 if columns == 2 else 6.0, columns * wanted)
    total = HEAD + rows * height + height_of(legends, width)
    figure = Figure(figsize=(width, total), layout="constrained")
    legend(figure, legends)
    grid = figure.add_gridspec(rows, columns, hspace=0.05, wspace=0.08)
    all_axes = []
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        name_panel(axes, axes, panel)
        all_axes.append(axes)
    return figure, all_axes


def name_panel(left: Axes, right: Axes, panel: Panel) -> None:
    """Task and metric at the left, the dataset at the right."""
    left.set_title(panel.task.capitalize(), loc="left", fontsize=11.5, fontweight="bold", color=INK)
    right.set_title(panel.dataset, loc="right", fontsize=9, color=QUIET)
    left.set_ylabel(panel.primary)


def fit(axes: Axes, values: Sequence[float], above: float = 0.08) -> None:
    """Limits with some air, never a scale so narrow that it makes noise look like a difference."""
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        low, high = min(finite), max(finite)
        span = max(high - low, 0.02 * abs(high), 1e-6)
        middle = (high + low) / 2
        axes.set_ylim(middle - span * 0.6, middle + span * (0.5 + above))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _kinds(panel: Panel, look: Look) -> list[str]:
    """What stands side by side within a colour."""
    kinds = [kind for kind in look.kinds if kind in map(look.kind, panel.arms)]
    return kinds[:1] if look.doubled else kinds


def _aside(values: Sequence[str]) -> float:
    """Room at each side, in values, so that few do not lie far apart."""
    return max(0.0, (3 - len(values)) / 2)


def _units(panel: Panel, look: Look) -> float:
    """How many arms would stand side by side, all as narrow as the panel's are."""
    values = look.values(panel.arms)
    return (len(values) + 0.2 + 2 * _aside(values)) * len(_kinds(panel, look)) / GROUP


def _size(panel: Panel) -> float:
    """Of the numbers, in points."""
    arms = len(panel.arms)
    return 6 if arms > CROWDED else 9 if arms <= 6 else 7


def _told(arm: Arm, panel: Panel) -> str:
    if not math.isfinite(arm.mean):
        return "NaN"
    return f"{arm.mean:.2f}" if len(panel.arms) > CROWDED else f"{arm.mean:.3f}"


def _draw_arm(axes: Axes, arm: Arm, x: float, width: float, look: Look, arms: int) -> None:
    """Dots and bar around x. arms: how many share the panel."""
    colour, n = look.colour(arm), len(arm.values)
    # Seeds stand side by side, in their order, so that equal values stay visible.
    xs = [x + (i - (n - 1) / 2) * min(0.11, 0.5 * width / n) for i in range(n)]
    size = 18 if arms > CROWDED else 38
    axes.scatter(xs, arm.values, s=size, color=colour, ec="white", lw=0.8, marker=look.marker(arm), zorder=4)
    if math.isfinite(arm.mean):
        axes.plot([x - 0.33 * width, x + 0.33 * width], [arm.mean] * 2, color=colour, lw=2.6, alpha=0.55, zorder=3)


def _write(axes: Axes, arm: Arm, x: float, text: str, size: float, colour: str, upright: bool) -> None:
    """The arm's number above its dots. upright: turned, where numbers side by side would lie over each other."""
    turned = 90 if upright else 0
    if not math.isfinite(arm.mean):
        axes.text(
            x, 0.03, text, transform=axes.get_xaxis_transform(), ha="center", color=colour, fontsize=size,
            rotation=turned,
        )  # fmt: skip
        return
    axes.annotate(
        text, (x, max(arm.values)), (0, 5 if size < 7 else 7), textcoords="offset points", ha="center", fontsize=size,
        rotation=turned, zorder=5,
    )  # fmt: skip
