"""A screen as a picture: for each task the backbones with their intervals, the best above, beside what one costs."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from frostline.draw.colours import BLUE, FAINT, INK, PALE, QUIET
from frostline.draw.legends import height_of, legend, mark
from frostline.draw.png import save
from frostline.draw.style import chart, headline
from frostline.screen.screening import Screen
from frostline.screen.table import Judged, ranked
from frostline.words import decimal, quantity

PICTURE = "screen.png"
WIDTH, ROW, GAP, HEAD = 9.5, 0.26, 0.95, 0.8  # inches: of the picture, a row, what a panel has besides, the headline
TITLE = 14.0  # points
LOST = "#aab4bd"  # of what nothing can save


@chart
def write_picture(found: Screen, verdicts: Judged, margin: float) -> Path:
    """`screen.png` in the screen's folder; returns it. A task in which nothing could be looked at is left out."""
    tasks = [task for task, rows in found.looked.items() if rows]
    keys = _keys(margin)
    heights = [ROW * max(2, len(found.looked[task])) + GAP for task in tasks]
    figure = Figure(figsize=(WIDTH, HEAD + sum(heights) + height_of([keys], WIDTH)), layout="constrained", dpi=130)
    legend(figure, [keys])
    grid = figure.add_gridspec(max(1, len(tasks)), 2, height_ratios=heights or [1], width_ratios=[2.1, 1], wspace=0.03)
    for n, task in enumerate(tasks):
        left = figure.add_subplot(grid[n, 0])
        right = figure.add_subplot(grid[n, 1], sharey=left)
        _quality(left, found, verdicts, task, margin)
        _cost(right, found, verdicts, task)
    headline(
        figure,
        "Backbones, their heads alone trained",
        "right is better; a dot is the mean over seeds, a line its 95 % interval, and beside it what a picture takes",
        TITLE,
    )
    path = found.folder / PICTURE
    save(figure, path)
    return path


def _quality(axes: Axes, found: Screen, verdicts: Judged, task: str, margin: float) -> None:
    rows = ranked(found.looked[task])
    best = next((row.mean for row in rows if math.isfinite(row.mean)), math.nan)
    if math.isfinite(best):
        axes.axvspan(best - margin, best, color=PALE, lw=0, zorder=0)
    for place, row in enumerate(rows):
        if not math.isfinite(row.mean):
            continue
        verdict = verdicts[task][row.name]
        colour = LOST if verdict.lost else BLUE if verdict.wins else INK
        if (interval := row.interval) is not None:
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=2, alpha=0.5, zorder=2)
        filled = colour if verdict.edge else "white"
        axes.scatter([row.mean], [place], s=46, color=filled, ec=colour, lw=1.6, zorder=3)
        axes.annotate(
            decimal(row.mean), (row.mean, place), (0, 5), textcoords="offset points", ha="center", fontsize=7.5,
            color=QUIET if verdict.lost else INK,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(LOST if verdicts[task][row.name].lost else INK)
    # A task of two rows is as high as one of more.
    axes.set_ylim(max(2, len(rows)) - 0.4, -0.8)
    axes.set_xlabel(found.primary[task])
    axes.set_title(task.capitalize(), loc="left", fontsize=11.5, fontweight="bold", color=INK)
    means = [row.mean for row in rows if math.isfinite(row.mean)]
    if means:  # intervals of few seeds may be as wide as all that there is
        spread = max(max(means) - min(means), 2 * margin, 0.02)
        axes.set_xlim(max(-0.02, min(means) - 0.6 * spread), min(1.02, max(means) + 0.6 * spread))
    axes.grid(axis="y", visible=False)


def _cost(axes: Axes, found: Screen, verdicts: Judged, task: str) -> None:
    rows = ranked(found.looked[task])
    for place, row in enumerate(rows):
        lost = verdicts[task][row.name].lost
        axes.barh(place, row.ms, height=0.5, color=FAINT if not lost else PALE, zorder=2)
        axes.annotate(
            f"{row.ms:.1f} ms, {quantity(row.parameters)} parameters", (0, place), (4, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=QUIET if lost else INK, zorder=3,
        )  # fmt: skip
    axes.set_xlim(0, max((row.ms for row in rows), default=1.0) * 1.05)
    axes.set_xlabel("milliseconds to predict a picture")
    axes.tick_params(labelleft=False)
    axes.grid(axis="y", visible=False)


def _keys(margin: float) -> list[Line2D]:
    return [
        mark("may still win", BLUE, marker="o"),
        mark("can not, but is on the Pareto edge of quality and time", INK, marker="o"),
        mark("out", LOST, marker="o"),
        mark(f"within {margin:g} of the best", PALE, marker="s"),
        mark("filled: on the Pareto edge", QUIET, marker="o"),
    ]
