"""The chart of quality against seconds: what each arm had reached, and where its runs ended."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from frostline.draw.colours import QUIET
from frostline.draw.legends import mark
from frostline.draw.style import headline
from frostline.report.arms import Arm, Panel
from frostline.report.charts import TITLE, canvas, fit
from frostline.report.learning import CROWD
from frostline.report.looks import Look
from frostline.report.reached import Reached, reached, seconds_of, validating
from frostline.report.within import BUDGETS


def quality_against_seconds(panels: Sequence[Panel], look: Look) -> Figure | None:
    """The best validation metric so far against the seconds of one run, on a logarithmic axis: a line an arm, a band
    over its seeds, and at its end the figure of the test split. None where no arm has a journal."""
    beside = {panel: validating(panel) for panel in panels}
    lines = {panel: {arm: line for arm in panel.arms if (line := reached(arm, beside[panel]))} for panel in panels}
    drawn = [panel for panel in panels if lines[panel]]
    if not drawn:
        return None
    arms = [arm for panel in drawn for arm in lines[panel]]
    notes = [mark("the run's end, on the test split", QUIET, marker="o")]
    figure, all_axes = canvas(drawn, 3.1, [*look.legends(arms, lines=True), notes])
    for axes, panel in zip(all_axes, drawn, strict=True):
        crowded, seen, ends = len(panel.arms) > CROWD, [], []
        for arm, line in lines[panel].items():
            end = seconds_of(arm, beside[panel])
            ends += [one for one in (line.seconds[0], line.seconds[-1], end) if one > 0]
            _draw_line(axes, line, end, arm, look, crowded)
            seen += [*line.best, *line.low, *line.high, arm.mean]
        fit(axes, seen)
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.08 * (high - low), high)  # the budgets are named there
        _seconds_axis(axes, ends)
    what = "validation" if all(len(arm.runs) == 1 for arm in arms) else "validation, mean and range over seeds"
    how = f"up and left is better; a line is the best so far on {what}"
    headline(figure, "Quality against seconds of one run", how, TITLE)
    return figure


def _draw_line(axes: Axes, line: Reached, end: float, arm: Arm, look: Look, crowded: bool) -> None:
    """Line, band and end of one arm; where many share the panel, thinner and paler. end: seconds, NaN where unknown."""
    colour = look.colour(arm)
    axes.fill_between(
        line.seconds, line.low, line.high, color=colour, alpha=0.05 if crowded else 0.14, linewidth=0, step="post"
    )
    axes.plot(line.seconds, line.best, look.line(arm), color=colour, lw=1.2 if crowded else 1.9, drawstyle="steps-post")
    if len(line.seconds) == 1:
        axes.plot(line.seconds, line.best, "|", color=colour, ms=9, mew=1.6)
    if math.isfinite(end) and math.isfinite(arm.mean):
        axes.plot([end, end], [line.best[-1], arm.mean], ":", color=colour, lw=1)
        axes.plot([end], [arm.mean], "o", color=colour, ms=5 if crowded else 7, mec="white", mew=0.8, zorder=4)


def _seconds_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """seconds: between which the axis is drawn, with the budgets that lie there."""
    axes.set_xscale("log")
    if seconds:
        axes.set_xlim(min(seconds) / 1.15, max(seconds) * 1.15)
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    steps = (1,) if decades > 3.2 else (1, 3) if decades > 2 else (1, 2, 5)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds of one run")
    for label, budget in BUDGETS.items():
        if low < budget < high:
            axes.axvline(budget, color=QUIET, lw=1, ls=(0, (4, 3)), zorder=1)
            left = budget > math.sqrt(low * high)  # there is room on the longer side
            axes.annotate(
                label, (budget, 0), (-3 if left else 3, 3), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha="right" if left else "left", color=QUIET, fontsize=7,
            )  # fmt: skip
