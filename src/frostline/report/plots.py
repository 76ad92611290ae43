"""The pictures of a report. One colour belongs to one schedule in all of them; where there is but one, to one kind."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image, ImageDraw, ImageFont

from frostline.draw.colours import BLUE, FAINT, GREEN, INK, ORANGE, PALE, PINK, QUIET, RED, SKY
from frostline.report.arms import Arm, arms, curve, ranked, rows_of
from frostline.report.results import Results

Line = Literal["-", "--", ":", "-.", ""]
Groups = dict[tuple[str, str], list[Arm]]
Unit = Literal["images", "seconds"]
Span = tuple[float, float, int, float]  # from, to, groups below the frost line, share of the parameters that is frozen

# For more schedules, Tol's "muted" ones and a grey, which colour-blind eyes tell apart, too.
PALETTES = (
    (BLUE, ORANGE, GREEN, PINK, RED, SKY),
    ("#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE", "#882255", "#999933", "#44AA99", "#AA4499", "#7D8790"),
)
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "<", "p", "h")
LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
SHADE = "#eff2f5"
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture does not depend on the machine's fonts
    "font.size": 10,
    "text.parse_math": False,  # a name may hold dollars
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
DPI = 150
MAX_MONTAGE_BYTES = 500_000
MAX_SHEET_BYTES = 300_000
SHEETS = ("confusion", "precision_recall", "errors")  # pictures that a run leaves, those of a task's best shown


@dataclass(frozen=True)
class Look:
    """How arms are told apart in all pictures: by colour their schedules, by mark their kinds.

    kinds: what tells arms apart besides the schedule: backbones, or heads, or both together. colours: by schedule, or,
    `by_kind`, by kind, where there is one schedule.
    """

    kinds: list[str]
    colours: dict[str, str]
    by_kind: bool

    def kind(self, arm: Arm) -> str:
        return next(name for name in (arm.backbone, arm.head, f"{arm.backbone}, {arm.head}") if name in self.kinds)

    def name(self, arm: Arm) -> str:
        """What of it has a colour."""
        return self.kind(arm) if self.by_kind else arm.schedule

    def names(self, arms: Iterable[Arm]) -> list[str]:
        used = {self.name(arm) for arm in arms}
        return [name for name in self.colours if name in used]

    def colour(self, arm: Arm) -> str:
        return self.colours[self.name(arm)]

    def marker(self, arm: Arm) -> str:
        return MARKERS[self.kinds.index(self.kind(arm)) % len(MARKERS)]

    def line(self, arm: Arm) -> Line:
        return LINES[self.kinds.index(self.kind(arm)) % len(LINES)]

    def kind_marks(self, what: Literal["markers", "lines"]) -> list[Line2D]:
        marks = []
        for i, kind in enumerate(self.kinds if len(self.kinds) > 1 else []):
            how: Any = {"line": LINES[i % len(LINES)]} if what == "lines" else {"marker": MARKERS[i % len(MARKERS)]}
            marks.append(_mark(kind, self.colours[kind] if self.by_kind else QUIET, **how))
        return marks

    def legends(self, arms: list[Arm], what: Literal["markers", "lines"]) -> list[list[Line2D]]:
        """What colours mean, and what the marks of the kinds mean; both in one where kinds have colours."""
        marks = self.kind_marks(what)
        if self.by_kind:
            return [marks]
        one: Any = {"line": "-"} if what == "lines" else {"marker": "o"}
        return [[_mark(name, self.colours[name], **one) for name in self.names(arms)], marks]


def look_of(groups: Groups, schedules: list[str]) -> Look:
    """That of these arms: the same in every picture, whichever of them it shows."""
    every = [arm for group in groups.values() for arm in group]
    pairs = {(arm.dataset, arm.task, arm.backbone, arm.head) for arm in every}
    if len(pairs) == len({pair[:3] for pair in pairs}):
        kinds = dict.fromkeys(arm.backbone for arm in every)
    elif len({pair[2:] for pair in pairs}) == len({pair[3] for pair in pairs}):
        kinds = dict.fromkeys(arm.head for arm in every)
    else:
        kinds = dict.fromkeys(f"{arm.backbone}, {arm.head}" for arm in every)
    by_kind = len(schedules) == 1 < len(kinds)
    return Look(list(kinds), colours_of(list(kinds) if by_kind else schedules), by_kind)


def draw(results: Results) -> dict[str, bytes | None]:
    """PNG files by name, in the order of a report; None for one that the results do not allow.

    Names of sheets are `KIND-TASK-DATASET.png`, as `sheet_name` gives them.
    """
    groups = arms(results.frame)
    look = look_of(groups, results.schedules)
    several = any(len({(arm.backbone, arm.head) for arm in group}) > 1 for group in groups.values())
    with rc_context(STYLE):
        curves = learning_curves(groups, results.curves, look)
        return {
            "comparison.png": _png(comparison(groups, look)),
            "curves.png": None if curves is None else _png(curves),
            "cost.png": _png(cost(results.frame, groups, look)),
            "speed.png": _png(speed(results.frame, groups, look)) if several else None,
            "predictions.png": predictions(groups, results.frame, results.folders),
            **sheets(groups, results.frame, results.folders),
        }


def colours_of(names: list[str]) -> dict[str, str]:
    """A colour for each name, the same for the same list."""
    ramp = colormaps["viridis"].resampled(len(names) + 1)  # its last colour is too pale for lines
    palettes = [*PALETTES, [to_hex(ramp(i)) for i in range(len(names))]]
    return dict(zip(names, next(palette for palette in palettes if len(palette) >= len(names)), strict=False))


def comparison(groups: Groups, look: Look) -> Figure:
    """The primary test metric of every run: what has a colour side by side, a dot per seed, a bar at the mean."""
    figure, panels = _panels(groups, 3.1, [[] if look.by_kind else look.kind_marks("markers")])
    for axes, group in panels:
        names = look.names(group)
        # Within a schedule, kinds stand side by side.
        present = [""] if look.by_kind else [kind for kind in look.kinds if kind in map(look.kind, group)]
        width = 0.8 / len(present)
        crowded = len(group) > 10
        for arm in group:
            colour, n = look.colour(arm), len(arm.values)
            place = 0 if look.by_kind else present.index(look.kind(arm))
            x = names.index(look.name(arm)) + (place - (len(present) - 1) / 2) * width
            # Seeds stand side by side, in their order, so that equal values stay visible.
            xs = [x + (i - (n - 1) / 2) * min(0.11, 0.5 * width / n) for i in range(n)]
            size = 18 if crowded else 38
            axes.scatter(xs, arm.values, s=size, color=colour, ec="white", lw=0.8, marker=look.marker(arm), zorder=4)
            if math.isfinite(arm.mean):
                ends = [x - 0.33 * width, x + 0.33 * width]
                axes.plot(ends, [arm.mean, arm.mean], color=colour, lw=2.6, alpha=0.55, zorder=3)
                axes.annotate(
                    f"{arm.mean:.2f}" if crowded else f"{arm.mean:.3f}",
                    (x, max(arm.values)),
                    (0, 5 if crowded else 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6 if crowded else 9 if len(group) <= 6 else 7,
                    zorder=5,
                )
            else:
                axes.text(x, 0.03, "NaN", transform=axes.get_xaxis_transform(), ha="center", color=colour, fontsize=9)
        _fit(axes, [value for arm in group for value in arm.values], above=0.2)
        spare = max(0.0, (3 - len(names)) / 2)
        axes.set_xlim(-0.6 - spare, len(names) - 0.4 + spare)
        axes.set_xticks(range(len(names)), names)
        if sum(map(len, names)) > 42:
            for label in axes.get_xticklabels():
                label.set(rotation=30, rotation_mode="anchor", ha="right", fontsize=8)
        axes.grid(axis="x", visible=False)
    how = "higher is better; a dot is one seed, the bar and the number are the mean"
    _headline(figure, f"Test-set results by {'architecture' if look.by_kind else 'freezing schedule'}", how)
    return figure


def learning_curves(groups: Groups, curves: pd.DataFrame, look: Look) -> Figure | None:
    """Validation metric against images seen (left) and seconds of training (right), above what was frozen meanwhile.

    curves: of `Results`. None where it is empty.
    """
    told = {arm: epochs for group in groups.values() for arm in group if len(epochs := curve(curves, arm))}
    groups = {key: drawn for key, group in groups.items() if (drawn := [arm for arm in group if arm in told])}
    if not groups:
        return None
    frozen = any((epochs["share"] < 1).any() for epochs in told.values())  # else there is nothing to show below
    strips = [_strip_rows(group, told, look) if frozen else [] for group in groups.values()]
    phased = any(len(spans(epochs, "images")) > 1 for epochs in told.values())
    legends = [
        *look.legends(list(told), "lines"),
        [_mark("a phase ends", QUIET, marker="|")] * phased + [_mark("time of the fastest arm", "#dbe1e7", marker="s")],
    ]
    heights = [0.17 * len(rows) + 0.1 if frozen else 0.0 for rows in strips]
    figure, grid = _canvas(9.0, sum(heights) + 2.75 * len(groups), legends, len(groups), 1)
    for i, (group, rows) in enumerate(zip(groups.values(), strips, strict=True)):
        cell = grid[i, 0].subgridspec(1 + frozen, 2, height_ratios=[1.9, heights[i]][: 1 + frozen], hspace=0)
        left = figure.add_subplot(cell[0, 0])
        right = figure.add_subplot(cell[0, 1], sharey=left)
        for axes in (left, right):
            unit: Unit = "images" if axes is left else "seconds"
            for arm in group:
                _draw_curve(axes, told[arm], unit, look.colour(arm), look.line(arm), crowded=len(group) > 6)
            axes.set_xlim(0, 1.03 * max(told[arm][unit].max() for arm in group))
            lowest = axes
            if frozen:
                axes.tick_params(labelbottom=False)
                lowest = strip = figure.add_subplot(cell[1, int(axes is right)], sharex=axes)
                for y, (_, members) in enumerate(rows):
                    colour = QUIET if look.by_kind else look.colour(members[0])
                    _draw_strip(strip, y, [spans(told[arm], unit) for arm in members], colour)
                strip.set_ylim(len(rows) - 0.4, -0.6)
                strip.set_yticks(range(len(rows)), [name if axes is left else "" for name, _ in rows], fontsize=8)
                strip.grid(False)
                strip.spines["bottom"].set_visible(False)
            lowest.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            lowest.set_xlabel("training images seen" if axes is left else "seconds of training")
        left.set_title(group[0].task.capitalize(), loc="left", fontsize=11.5, fontweight="bold", color=INK)
        left.set_ylabel(group[0].primary)
        _fit(left, [v for arm in group for side in ("low", "high") for v in told[arm][side]])
        right.set_title(group[0].dataset, loc="right", fontsize=9, color=QUIET)
        right.tick_params(labelleft=False)
        right.axvspan(0, min(told[arm]["seconds"].iloc[-1] for arm in group), color=SHADE, lw=0, zorder=0)
    how = "line: mean over seeds, band: lowest to highest"
    how += "; bar below: frozen, with the number of groups" if frozen else "; nothing was frozen"
    _headline(figure, "Validation metric at equal images and at equal seconds", how)
    return figure


def cost(df: pd.DataFrame, groups: Groups, look: Look) -> Figure:
    """The primary test metric of every run against its training time, with the arm's mean."""
    title = "Test-set results against training time"
    return _against(df, groups, look, "train_seconds", "seconds of training", title)


def speed(df: pd.DataFrame, groups: Groups, look: Look) -> Figure:
    """The primary test metric of every run against the time to predict one picture, with the arm's mean."""
    title = "Test-set results against the time to predict"
    return _against(df, groups, look, "predict_ms", "milliseconds to predict a picture", title)


def _against(df: pd.DataFrame, groups: Groups, look: Look, fact: str, label: str, title: str) -> Figure:
    legends = look.legends([arm for group in groups.values() for arm in group], "markers")
    figure, panels = _panels(groups, 2.9, legends)
    for axes, group in panels:
        longest, shortest = 0.0, math.inf
        for arm in group:
            colour, marker = look.colour(arm), look.marker(arm)
            costs = df.loc[rows_of(df, arm), fact]
            longest, shortest = max(longest, costs.max()), min(shortest, costs.min())
            axes.scatter(costs, arm.values, s=24, color=colour, ec="white", lw=0.6, marker=marker, zorder=4)
            if len(costs) > 1:
                axes.scatter([costs.mean()], [arm.mean], s=190, color=colour, alpha=0.3, lw=0, marker=marker, zorder=3)
        _fit(axes, [value for arm in group for value in arm.values])
        if longest > 10 * shortest > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif longest > 0:
            axes.set_xlim(0, longest * 1.08)
        axes.set_xlabel(label)
    several = any(len(arm.values) > 1 for group in groups.values() for arm in group)
    marks = "a small mark is one run, a large pale one the mean of its arm" if several else "a mark is one run"
    _headline(figure, title, f"up and left is better; {marks}")
    return figure


def predictions(groups: Groups, df: pd.DataFrame, folders: dict[str, Path]) -> bytes | None:
    """One run's predictions.png of the arm with the highest mean, per task, one below the other; None without any."""
    shown: list[tuple[str, Image.Image]] = []
    for (dataset, task), group in groups.items():
        for arm in ranked(group)[:1]:
            file = _of_a_run("predictions.png", arm, df, folders)
            if file is not None:
                with Image.open(file) as picture:
                    shown.append((f"{task} on {dataset}: {arm.name}", picture.convert("RGB")))
    for width in range(1000, 100, -100) if shown else ():
        buffer = BytesIO()
        _montage(shown, width).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_MONTAGE_BYTES:
            return buffer.getvalue()
    return None


def sheets(groups: Groups, df: pd.DataFrame, folders: dict[str, Path]) -> dict[str, bytes]:
    """The SHEETS of one run of the arm with the highest mean, per task, as far as it has left them, small in bytes."""
    found = {}
    for (dataset, task), group in groups.items():
        for arm in ranked(group)[:1]:
            for kind in SHEETS:
                file = _of_a_run(f"{kind}.png", arm, df, folders)
                if file is not None:
                    found[sheet_name(kind, task, dataset)] = _small(file)
    return found


def sheet_name(kind: str, task: str, dataset: str) -> str:
    """The file of one of SHEETS, such as `errors-detection-pets.png`."""
    return "-".join([kind, task, re.sub(r"[^\w.]+", "_", dataset)]) + ".png"


def _of_a_run(name: str, arm: Arm, df: pd.DataFrame, folders: dict[str, Path]) -> Path | None:
    """This file of the first run of an arm that has it."""
    files = [folders[run] / name for run, same in zip(folders, rows_of(df, arm), strict=True) if same]
    return next((file for file in files if file.is_file()), None)


def _small(file: Path) -> bytes:
    """A picture in 256 colours, and at less than its size where it takes too many bytes else."""
    with Image.open(file) as picture:
        full = picture.convert("RGB")
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        size = (max(1, round(full.width * share)), max(1, round(full.height * share)))
        buffer = BytesIO()
        _in_few_colours(full.resize(size, Image.Resampling.LANCZOS)).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_SHEET_BYTES:
            break
    return buffer.getvalue()


def _draw_curve(axes: Axes, epochs: pd.DataFrame, unit: Unit, colour: str, line: Line, crowded: bool) -> None:
    """Line, band and ticks of one arm; where many share the panel, thinner and paler and without dots."""
    x = epochs[unit]
    axes.fill_between(x, epochs["low"], epochs["high"], color=colour, alpha=0.05 if crowded else 0.14, linewidth=0)
    axes.plot(x, epochs["mean"], line, color=colour, lw=1.4 if crowded else 1.9)
    if len(epochs) == 1 or (len(epochs) <= 20 and not crowded):
        axes.plot(x, epochs["mean"], "o", color=colour, ms=3.2)
    at = epochs[x.isin([end for _, end, _, _ in spans(epochs, unit)[:-1]])]
    axes.plot(at[unit], at["mean"], "|", color=colour, ms=10 if crowded else 15, mew=1.6, zorder=4)


def spans(epochs: pd.DataFrame, unit: Unit) -> list[Span]:
    """The stretches of training in which the same was frozen."""
    spans: list[Span] = []
    start = 0.0
    for end, depth, share in zip(epochs[unit], epochs["depth"], epochs["share"], strict=True):
        same = (int(depth), 1 - float(share))
        if spans and spans[-1][2:] == same:
            start = spans.pop()[0]
        spans.append((start, float(end), *same))
        start = float(end)
    return spans


def _strip_rows(group: list[Arm], told: dict[Arm, pd.DataFrame], look: Look) -> list[tuple[str, list[Arm]]]:
    """Label and arms of each row of a strip; arms of one schedule that freeze as many groups as long share a row."""
    rows: dict[tuple[str, tuple[tuple[float, int], ...]], list[Arm]] = {}
    for arm in group:
        phases = tuple((end, depth) for _, end, depth, _ in spans(told[arm], "images"))
        rows.setdefault((arm.schedule, phases), []).append(arm)
    schedules = [schedule for schedule, _ in rows]
    return [
        (schedule if schedules.count(schedule) == 1 else f"{schedule}, {look.kind(members[0])}", members)
        for (schedule, _), members in sorted(rows.items(), key=lambda row: schedules.index(row[0][0]))
    ]


def _draw_strip(strip: Axes, row: int, members: list[list[Span]], colour: str) -> None:
    """One row: thin lines while training, bars while something is frozen, the darker the more of the parameters.

    members: the spans of the arms that share the row. They need the same images for a phase, but each its own time:
    where they differ, each has its part of the height.
    """
    if all(spans == members[0] for spans in members):
        members = members[:1]
    height = 0.74 / len(members)
    for i, spans in enumerate(members):
        y, end = row + (i - (len(members) - 1) / 2) * height, spans[-1][1]
        strip.plot([0, end], [y, y], color=colour, lw=1.2, solid_capstyle="butt", zorder=1)
        for left, right, depth, frozen in spans:
            if frozen <= 0:
                continue
            # Mixed with white and not transparent, so that the line behind does not show through.
            shade = [1 + (part - 1) * (0.25 + 0.45 * frozen) for part in to_rgb(colour)]
            strip.barh(y, right - left, height, left, color=shade, ec="white", lw=0.6, zorder=2)
            if len(members) == 1 and right - left > 0.04 * strip.get_xlim()[1]:  # room for a number
                ink = INK if shade[0] + 2 * shade[1] + shade[2] > 2 else "white"
                middle = (left + right) / 2
                strip.text(middle, y, str(depth), color=ink, ha="center", va="center_baseline", fontsize=7.5, zorder=3)


def _mark(label: str, colour: str, marker: str = "", line: Line = "") -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle=line, lw=2, ms=7, label=label)


def _panels(groups: Groups, height: float, legends: list[list[Line2D]]) -> tuple[Figure, list[tuple[Axes, list[Arm]]]]:
    """A figure with a panel of `height` inches for each task."""
    columns = min(2, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure, grid = _canvas(9.0 if columns == 2 else 6.0, rows * height, legends, rows, columns)
    panels = []
    for i, group in enumerate(groups.values()):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        axes.set_title(group[0].task.capitalize(), loc="left", fontsize=11.5, fontweight="bold", color=INK)
        axes.set_title(group[0].dataset, loc="right", fontsize=9, color=QUIET)
        axes.set_ylabel(group[0].primary)
        panels.append((axes, group))
    return figure, panels


def _canvas(
    width: float, height: float, legends: list[list[Line2D]], rows: int, columns: int
) -> tuple[Figure, GridSpec]:
    """A figure of `width` inches with a grid of `height` inches.

    There is room at the top for the headline and at the bottom for the legends, each of which starts a new line.
    """
    lines = [line for legend in legends for line in _lines(legend, letters=round(10.2 * width))]
    top, bottom = 0.68, 0.08 + 0.26 * len(lines)
    total = height + top + bottom
    figure = Figure(figsize=(width, total), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.005, bottom / total, 0.99, 1 - (top + bottom) / total), h_pad=0.09, hspace=0.05, wspace=0.08)
    for i, line in enumerate(reversed(lines)):
        place = (0.5, (0.04 + 0.26 * i) / total)
        figure.legend(handles=line, loc="lower center", bbox_to_anchor=place, ncols=len(line), borderaxespad=0)
    return figure, figure.add_gridspec(rows, columns)


def _lines(legend: list[Line2D], letters: int) -> list[list[Line2D]]:
    """A legend cut into lines that are not longer than `letters`, where a mark takes the room of eight."""
    lines: list[list[Line2D]] = []
    room = 0
    for mark in legend:
        needed = len(str(mark.get_label())) + 8
        if not lines or needed > room:
            lines.append([])
            room = letters
        lines[-1].append(mark)
        room -= needed
    return lines


def _headline(figure: Figure, title: str, how_to_read: str) -> None:
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.12 / height, title, fontsize=14, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.40 / height, how_to_read, fontsize=9.5, color=QUIET, va="top")


def _fit(axes: Axes, values: list[float], above: float = 0.08) -> None:
    """Limits with some air, never a scale so narrow that it makes noise look like a difference."""
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        low, high = min(finite), max(finite)
        span = max(high - low, 0.02 * abs(high), 1e-6)
        middle = (high + low) / 2
        axes.set_ylim(middle - span * 0.6, middle + span * (0.5 + above))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _montage(shown: list[tuple[str, Image.Image]], width: int) -> Image.Image:
    """The pictures, `width` pixels wide, below each other, each under its title."""
    font, band = ImageFont.load_default(size=max(11, width // 55)), max(20, width // 26)
    heights = [max(1, round(picture.height * width / picture.width)) for _, picture in shown]
    sheet = Image.new("RGB", (width, sum(heights) + band * len(shown)), "white")
    y = 0
    for (title, picture), height in zip(shown, heights, strict=True):
        ImageDraw.Draw(sheet).text((4, y + band // 2), title, fill=INK, font=font, anchor="lm")
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (0, y + band))
        y += band + height
    return _in_few_colours(sheet)


def _png(figure: Figure) -> bytes:
    full, small = BytesIO(), BytesIO()
    figure.savefig(full, dpi=DPI)
    # Moved to the means of what they stand for, as a chart's pale greys differ by little. Photographs take minutes so.
    _in_few_colours(Image.open(full).convert("RGB"), kmeans=1).save(small, "PNG", optimize=True)
    return small.getvalue()


def _in_few_colours(picture: Image.Image, kmeans: int = 0) -> Image.Image:
    """In 256 colours, which take a third of the bytes, as these stay in git for good.

    They are those that lie furthest apart: the commonest would be those of photographs alone, and a key beside them
    would not have the colours that it tells of.
    """
    return picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=kmeans)
