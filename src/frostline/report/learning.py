"""The chart of learning curves: the validation metric at equal images and at equal seconds, and what was frozen."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator

from frostline.draw.colours import INK, QUIET
from frostline.draw.legends import height_of, legend, mark
from frostline.draw.style import headline
from frostline.report.arms import Arm, Panel
from frostline.report.charts import HEAD, TITLE, fit, name_panel
from frostline.report.curve import Curve, Span, Unit
from frostline.report.looks import Line, Look

WIDTH, HEIGHT, ROW = 9.0, 2.75, 0.17  # inches: of the picture, of a panel, of a row of a strip
SHADE, SHADE_KEY = "#eff2f5", "#dbe1e7"
CROWD = 6  # arms of a panel up to which each has a thick line

Rows = list[tuple[str, list[Arm]]]  # of a strip: a label, and the arms that share the row


def learning_curves(panels: Sequence[Panel], look: Look) -> Figure | None:
    """Validation metric against images seen (left) and seconds of training (right), above what was frozen meanwhile.

    None where no arm has a curve.
    """
    drawn = {panel: arms for panel in panels if (arms := [arm for arm in panel.arms if arm.curve])}
    if not drawn:
        return None
    every = [arm for arms in drawn.values() for arm in arms]
    frozen = any(is_frozen(arm) for arm in every)  # else there is nothing to show below
    strips = [_strip_rows(arms, look) if frozen else [] for arms in drawn.values()]
    notes = [mark("time of the fastest arm", SHADE_KEY, marker="s")]
    if any(has_phases(arm) for arm in every):
        notes.insert(0, mark("a phase ends", QUIET, marker="|", size=9))
    legends = [*look.legends(every, lines=True), notes]
    heights = [HEIGHT + (ROW * len(rows) + 0.1 if rows else 0) for rows in strips]
    figure = Figure(figsize=(WIDTH, HEAD + sum(heights) + height_of(legends, WIDTH)), layout="constrained")
    legend(figure, legends)
    grid = figure.add_gridspec(len(drawn), 1, height_ratios=heights)
    for i, (panel, arms) in enumerate(drawn.items()):
        _draw_panel(figure, grid[i, 0], panel, arms, strips[i], look)
    how = "line: mean over seeds, band: lowest to highest"
    how += "; bar below: frozen, with the number of groups" if frozen else "; nothing was frozen"
    headline(figure, "Validation metric at equal images and at equal seconds", how, TITLE)
    return figure


def is_frozen(arm: Arm) -> bool:
    """Whether part of it was frozen at some time."""
    return arm.curve is not None and bool((arm.curve.share < 1).any())


def has_phases(arm: Arm) -> bool:
    """Whether what trains changed."""
    return arm.curve is not None and len(arm.curve.spans("images")) > 1


def _draw_panel(figure: Figure, cell: SubplotSpec, panel: Panel, arms: list[Arm], rows: Rows, look: Look) -> None:
    """Two axes that share their values, each above its strip where there are rows for one."""
    curves = [curve for arm in arms if (curve := arm.curve)]
    if rows:
        inner = cell.subgridspec(2, 2, height_ratios=[HEIGHT, ROW * len(rows) + 0.1], hspace=0)
    else:
        inner = cell.subgridspec(1, 2)
    left = figure.add_subplot(inner[0, 0])
    right = figure.add_subplot(inner[0, 1], sharey=left)
    right.tick_params(labelleft=False)
    name_panel(left, right, panel)
    sides: list[tuple[Axes, Unit, str]] = [
        (left, "images", "training images seen"),
        (right, "seconds", "seconds of training"),
    ]
    for column, (axes, unit, label) in enumerate(sides):
        for arm, curve in zip(arms, curves, strict=True):
            _draw_curve(axes, curve, unit, look.colour(arm), look.line(arm), crowded=len(arms) > CROWD)
        axes.set_xlim(0, 1.03 * max(getattr(curve, unit).max() for curve in curves))
        lowest = axes
        if rows:
            axes.tick_params(labelbottom=False)
            lowest = figure.add_subplot(inner[1, column], sharex=axes)
            _draw_strip(lowest, rows, unit, look)
            if axes is right:
                lowest.set_yticks(range(len(rows)), [""] * len(rows))
        lowest.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        lowest.set_xlabel(label)
    fit(left, [float(value) for curve in curves for value in (*curve.low, *curve.high)])
    right.axvspan(0, min(curve.seconds[-1] for curve in curves), color=SHADE, lw=0, zorder=0)


def _draw_curve(axes: Axes, curve: Curve, unit: Unit, colour: str, line: Line, crowded: bool) -> None:
    """Line, band and ticks of one arm; where many share the panel, thinner and paler and without dots."""
    x = getattr(curve, unit)
    axes.fill_between(x, curve.low, curve.high, color=colour, alpha=0.05 if crowded else 0.14, linewidth=0)
    axes.plot(x, curve.mean, line, color=colour, lw=1.4 if crowded else 1.9)
    if len(x) == 1 or (len(x) <= 20 and not crowded):
        axes.plot(x, curve.mean, "o", color=colour, ms=3.2)
    ends = np.isin(x, [span.end for span in curve.spans(unit)[:-1]])
    axes.plot(x[ends], curve.mean[ends], "|", color=colour, ms=10 if crowded else 15, mew=1.6, zorder=4)


def _strip_rows(arms: Sequence[Arm], look: Look) -> Rows:
    """Arms of one schedule that freeze as many groups as long share a row."""
    rows: dict[tuple[str, tuple[tuple[float, int], ...]], list[Arm]] = {}
    for arm in arms:
        spans = arm.curve.spans("images") if arm.curve else []
        rows.setdefault((arm.facets["schedule"], tuple((span.end, span.depth) for span in spans)), []).append(arm)
    schedules = [schedule for schedule, _ in rows]
    labelled = []
    for (schedule, _), members in sorted(rows.items(), key=lambda row: schedules.index(row[0][0])):
        several = schedules.count(schedule) > 1
        labelled.append((f"{schedule}, {look.kind(members[0])}" if several else schedule, members))
    return labelled


def _draw_strip(strip: Axes, rows: Rows, unit: Unit, look: Look) -> None:
    """A row for each: thin lines while training, bars while something is frozen, the darker the more of it."""
    for y, (_, members) in enumerate(rows):
        colours = {look.colour(arm) for arm in members}
        spans = [arm.curve.spans(unit) for arm in members if arm.curve]
        _draw_row(strip, y, spans, colours.pop() if len(colours) == 1 else QUIET)
    strip.set_ylim(len(rows) - 0.4, -0.6)
    strip.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    strip.grid(False)
    strip.spines["bottom"].set_visible(False)


def _draw_row(strip: Axes, row: int, members: list[list[Span]], colour: str) -> None:
    """members: the spans of the arms that share the row. They need the same images for a phase, but each its own time:
    where they differ, each has its part of the height.
    """
    if all(spans == members[0] for spans in members):
        members = members[:1]
    height = 0.74 / len(members)
    for i, spans in enumerate(members):
        y = row + (i - (len(members) - 1) / 2) * height
        strip.plot([0, spans[-1].end], [y, y], color=colour, lw=1.2, solid_capstyle="butt", zorder=1)
        for start, end, depth, frozen in spans:
            if frozen <= 0:
                continue
            # Mixed with white and not transparent, so that the line behind does not show through.
            shade = [1 + (part - 1) * (0.25 + 0.45 * frozen) for part in to_rgb(colour)]
            strip.barh(y, end - start, height, start, color=shade, ec="white", lw=0.6, zorder=2)
            if len(members) == 1 and end - start > 0.04 * strip.get_xlim()[1]:  # room for a number
                ink = INK if shade[0] + 2 * shade[1] + shade[2] > 2 else "white"
                middle = (start + end) / 2
                strip.text(middle, y, str(depth), color=ink, ha="center", va="center_baseline", fontsize=7.5, zorder=3)
