"""The pictures of a report. One colour belongs to one schedule in all of them."""

import json
import math
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from frostline.errors import FrostlineError
from frostline.studies.arms import ARM, Arm, arms, ranked

Line = Literal["-", "--", ":", "-.", ""]
Groups = dict[tuple[str, str], list[Arm]]
Bars = tuple[tuple[float, float, int], ...]

# Okabe and Ito's colours, which the common kinds of colour blindness keep apart; theirs without yellow and black.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
MARKERS = ("o", "D", "s", "^", "v", "P", "X")
LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
INK, QUIET, GRID = "#1f2933", "#66737f", "#e6eaee"
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture does not depend on the machine's fonts
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": "#c3ccd4",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
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


def draw(df: pd.DataFrame, folders: dict[str, Path], schedules: list[str]) -> dict[str, bytes | None]:
    """PNG files by name, in the order of a report; None for one that the results do not allow.

    df: frame of `compare`, whose rows stand in the order of `folders`, the folder of each run by name.
    schedules: all names, in the order that gives them their colours.
    """
    groups, colours = arms(df), colours_of(schedules)
    with rc_context(STYLE):
        curves = learning_curves(groups, read_curves(df, folders), colours)
        return {
            "comparison.png": _png(comparison(groups, colours)),
            "curves.png": None if curves is None else _png(curves),
            "cost.png": _png(cost(df, groups, colours)),
            "predictions.png": predictions(groups, df, folders),
        }


def colours_of(schedules: list[str]) -> dict[str, str]:
    """A colour for each schedule, the same for the same list."""
    many = len(schedules) > len(PALETTE)
    ramp = colormaps["viridis"].resampled(len(schedules) + 1)  # its last colour is too pale for lines
    return {s: to_hex(ramp(i)) if many else PALETTE[i] for i, s in enumerate(schedules)}


def comparison(groups: Groups, colours: dict[str, str]) -> Figure:
    """The primary test metric of every run: schedules side by side, a dot per seed, a bar at the mean."""
    kinds = _kinds(groups)
    figure, panels = _panels(groups, 3.1, [_kind_marks(kinds, "markers")])
    for axes, _, group in panels:
        names = _used(colours, group)
        present = [kind for kind in kinds if any(_kind(arm, kinds) == kind for arm in group)]
        width = 0.8 / len(present)
        crowded = len(group) > 10
        for arm in group:
            kind, colour, n = _kind(arm, kinds), colours[arm.schedule], len(arm.values)
            x = names.index(arm.schedule) + (present.index(kind) - (len(present) - 1) / 2) * width
            # Seeds stand side by side, in their order, so that equal values stay visible.
            xs = [x + (i - (n - 1) / 2) * min(0.11, 0.5 * width / n) for i in range(n)]
            size = 18 if crowded else 38
            axes.scatter(
                xs, arm.values, s=size, color=colour, ec="white", lw=0.8, marker=MARKERS[kinds[kind]], zorder=4
            )
            if math.isfinite(arm.mean):
                ends = [x - 0.33 * width, x + 0.33 * width]
                axes.plot(ends, [arm.mean, arm.mean], color=colour, lw=2.6, alpha=0.55, zorder=3)
                axes.annotate(
                    f"{arm.mean:.2f}" if crowded else f"{arm.mean:.3f}",
                    (x, max(arm.values)),
                    (0, 5 if crowded else 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6 if crowded else 9,
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
    _headline(figure, "Test-set results by freezing schedule", how)
    return figure


def learning_curves(groups: Groups, curves: pd.DataFrame, colours: dict[str, str]) -> Figure | None:
    """Validation metric against images seen, mean and range over seeds, above a strip of the frost line's depth.

    curves: of `read_curves`. None where it is empty.
    """
    if curves.empty:
        return None
    kinds = _kinds(groups)
    told = {arm: _by_epoch(curves[_of(curves, arm)]) for group in groups.values() for arm in group}
    strips = [_frost_rows({arm: told[arm] for arm in group}, kinds) for group in groups.values()]
    marks = [_mark(s, colours[s], line="-") for s in _used(colours, list(told))]
    legends = [marks, _kind_marks(kinds, "lines")]
    figure, panels = _panels(groups, 2.9, legends, strip=0.19 * max(map(len, strips)) + 0.1)
    for (axes, strip, group), rows in zip(panels, strips, strict=True):
        for arm in group:
            epochs, colour = told[arm], colours[arm.schedule]
            line = LINES[kinds[_kind(arm, kinds)] % len(LINES)]
            axes.fill_between(epochs["x"], epochs["low"], epochs["high"], color=colour, alpha=0.14, linewidth=0)
            axes.plot(epochs["x"], epochs["mean"], line, color=colour, lw=1.9)
            if len(epochs) <= 20:
                axes.plot(epochs["x"], epochs["mean"], "o", color=colour, ms=3.2)
        _fit(axes, [v for arm in group for side in ("low", "high") for v in told[arm][side]])
        axes.set_xlim(left=0)
        axes.tick_params(labelbottom=False)
        for row, (schedule, _, bars) in enumerate(rows):
            _draw_frost(strip, row, bars, colours[schedule])
        strip.set_yticks(range(len(rows)), [label for _, label, _ in rows], fontsize=8)
        strip.set_ylim(len(rows) - 0.4, -0.6)
        strip.grid(False)
        strip.spines["bottom"].set_visible(False)
        strip.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        strip.set_xlabel("training images seen")
    how = "line: mean over seeds, band: lowest to highest; bars below: number of frozen groups"
    _headline(figure, "Validation metric while training", how)
    return figure


def cost(df: pd.DataFrame, groups: Groups, colours: dict[str, str]) -> Figure:
    """The primary test metric of every run against its training time, with the arm's mean."""
    kinds = _kinds(groups)
    marks = [_mark(s, colours[s], marker="o") for s in _used(colours, [a for group in groups.values() for a in group])]
    figure, panels = _panels(groups, 2.9, [marks, _kind_marks(kinds, "markers")])
    for axes, _, group in panels:
        longest, shortest = 0.0, math.inf
        for arm in group:
            colour, marker = colours[arm.schedule], MARKERS[kinds[_kind(arm, kinds)]]
            seconds = df.loc[_of(df, arm), "train_seconds"]
            longest, shortest = max(longest, seconds.max()), min(shortest, seconds.min())
            axes.scatter(seconds, arm.values, s=24, color=colour, ec="white", lw=0.6, marker=marker, zorder=4)
            axes.scatter([arm.seconds], [arm.mean], s=190, color=colour, alpha=0.3, lw=0, marker=marker, zorder=3)
        _fit(axes, [value for arm in group for value in arm.values])
        if longest > 20 * shortest > 0:
            axes.set_xscale("log")
        elif longest > 0:
            axes.set_xlim(0, longest * 1.08)
        axes.set_xlabel("seconds of training")
    how = "up and left is better; a small mark is one run, a large pale one the mean of its arm"
    _headline(figure, "Test-set results against training time", how)
    return figure


def predictions(groups: Groups, df: pd.DataFrame, folders: dict[str, Path]) -> bytes | None:
    """One run's predictions.png of the arm with the highest mean, per task, one below the other; None without any."""
    shown: list[tuple[str, Image.Image]] = []
    for (dataset, task), group in groups.items():
        for arm in ranked(group)[:1]:
            files = [folders[run] / "predictions.png" for run, same in zip(folders, _of(df, arm), strict=True) if same]
            file = next((file for file in files if file.is_file()), None)
            if file is not None:
                with Image.open(file) as picture:
                    shown.append((f"{task} on {dataset}: {arm.name}", picture.convert("RGB")))
    for width in range(1000, 100, -100) if shown else ():
        buffer = BytesIO()
        _montage(shown, width).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_MONTAGE_BYTES:
            return buffer.getvalue()
    return None


def read_curves(df: pd.DataFrame, folders: dict[str, Path]) -> pd.DataFrame:
    """One row per run and epoch that epochs.jsonl tells of: run, dataset … schedule, epoch, images_seen, frost_depth,
    and `value`, the primary metric on the validation split, NaN where it is not told.

    Raises FrostlineError for a line that is no epoch.
    """
    rows = []
    for (run, folder), (_, known) in zip(folders.items(), df.iterrows(), strict=True):
        file = folder / "epochs.jsonl"
        if not file.is_file():
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                epoch = json.loads(line)
                value = epoch.get(f"val_{known['primary']}")
                rows.append(
                    {key: known[key] for key in ARM}
                    | {key: int(epoch[key]) for key in ("epoch", "images_seen", "frost_depth")}
                    | {"run": run, "value": math.nan if value is None else float(value)}
                )
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise FrostlineError(
                    f"Line {number} of {file} is not an epoch ({error!r}); delete the folder and train the run again."
                ) from error
    return pd.DataFrame(rows)


def _by_epoch(seeds: pd.DataFrame) -> pd.DataFrame:
    """One row per epoch that all of an arm's seeds reached: x, mean, low, high, depth."""
    epochs = seeds.groupby("epoch").agg(
        x=("images_seen", "mean"),
        n=("run", "nunique"),
        mean=("value", lambda values: values.mean(skipna=False)),
        low=("value", "min"),
        high=("value", "max"),
        depth=("frost_depth", "max"),
    )
    return epochs[epochs["n"] == seeds["run"].nunique()]


def _frost_rows(told: dict[Arm, pd.DataFrame], kinds: dict[str, int]) -> list[tuple[str, str, Bars]]:
    """Schedule, label and bars of each row of a strip; arms of one schedule with the same bars share a row."""
    rows: dict[tuple[str, Bars], str] = {}
    for arm, epochs in told.items():
        ends, depths = list(epochs["x"]), list(epochs["depth"])
        starts = [0.0, *ends[:-1]]
        spans = [list(span) for _, span in groupby(range(len(ends)), key=depths.__getitem__)]
        bars = tuple((starts[span[0]], ends[span[-1]], depths[span[0]]) for span in spans)
        if bars:
            rows.setdefault((arm.schedule, bars), _kind(arm, kinds))
    schedules = [schedule for schedule, _ in rows]
    return [
        (schedule, schedule if schedules.count(schedule) == 1 else f"{schedule}, {kind}", bars)
        for (schedule, bars), kind in sorted(rows.items(), key=lambda row: schedules.index(row[0][0]))
    ]


def _draw_frost(strip: Axes, row: int, bars: Bars, colour: str) -> None:
    """One row of bars: where groups are frozen, how many, and the darker the more."""
    deepest = max(depth for _, _, depth in bars)
    if not deepest:
        strip.text(0, row, " nothing frozen", va="center_baseline", fontsize=7.5, color=QUIET)
    for left, right, depth in bars:
        if depth:
            alpha = 0.15 + 0.45 * depth / deepest
            strip.barh(row, right - left, left=left, height=0.74, color=colour, alpha=alpha, linewidth=0)
            strip.text((left + right) / 2, row, str(depth), ha="center", va="center_baseline", fontsize=7.5)


def _of(df: pd.DataFrame, arm: Arm) -> "pd.Series[bool]":
    """Which rows belong to the arm."""
    return (df[ARM] == [getattr(arm, key) for key in ARM]).all(axis=1)


def _kinds(groups: Groups) -> dict[str, int]:
    """Numbers the backbones, or the (backbone, head) where the backbone does not tell the arms of a task apart."""
    every = [arm for group in groups.values() for arm in group]
    pairs = {(arm.dataset, arm.task, arm.backbone, arm.head) for arm in every}
    several_heads = len(pairs) > len({pair[:3] for pair in pairs})
    names = dict.fromkeys(f"{arm.backbone}, {arm.head}" if several_heads else arm.backbone for arm in every)
    return {name: i % len(MARKERS) for i, name in enumerate(names)}


def _kind(arm: Arm, kinds: dict[str, int]) -> str:
    return arm.backbone if arm.backbone in kinds else f"{arm.backbone}, {arm.head}"


def _kind_marks(kinds: dict[str, int], what: Literal["markers", "lines"]) -> list[Line2D]:
    if len(kinds) < 2:
        return []
    if what == "lines":
        return [_mark(kind, QUIET, line=LINES[i % len(LINES)]) for kind, i in kinds.items()]
    return [_mark(kind, QUIET, marker=MARKERS[i]) for kind, i in kinds.items()]


def _used(colours: dict[str, str], group: list[Arm]) -> list[str]:
    return [schedule for schedule in colours if any(arm.schedule == schedule for arm in group)]


def _mark(label: str, colour: str, marker: str = "", line: Line = "") -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle=line, lw=2, ms=7, label=label)


def _panels(
    groups: Groups, height: float, legends: list[list[Line2D]], strip: float = 0.0
) -> tuple[Figure, list[tuple[Axes, Axes, list[Arm]]]]:
    """A figure with a panel of `height` inches for each task, and below each one of `strip` inches if wanted.

    There is room at the top for the headline and at the bottom for the legends, each of which starts a new line.
    """
    columns = min(2, len(groups))
    rows = math.ceil(len(groups) / columns)
    lines = [line for legend in legends for line in _lines(legend, letters=46 * columns)]
    top, bottom = 0.68, 0.08 + 0.26 * len(lines)
    total = rows * (height + strip) + top + bottom
    figure = Figure(figsize=(9.0 if columns == 2 else 6.0, total), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.005, bottom / total, 0.99, 1 - (top + bottom) / total), h_pad=0.09, hspace=0.05, wspace=0.08)
    for i, line in enumerate(reversed(lines)):
        place = (0.5, (0.04 + 0.26 * i) / total)
        figure.legend(handles=line, loc="lower center", bbox_to_anchor=place, ncols=len(line), borderaxespad=0)
    grid = figure.add_gridspec(rows, columns)
    panels = []
    for i, group in enumerate(groups.values()):
        cell = grid[i // columns, i % columns]
        if strip:
            inner = cell.subgridspec(2, 1, height_ratios=[height - 0.8, strip])
            axes = figure.add_subplot(inner[0])
            below = figure.add_subplot(inner[1], sharex=axes)
        else:
            axes = below = figure.add_subplot(cell)
        axes.set_title(group[0].task.capitalize(), loc="left", fontsize=11.5, fontweight="bold", color=INK)
        axes.set_title(group[0].dataset, loc="right", fontsize=9, color=QUIET)
        axes.set_ylabel(group[0].primary)
        panels.append((axes, below, group))
    return figure, panels


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
    return sheet.quantize(256)


def _png(figure: Figure) -> bytes:
    full, small = BytesIO(), BytesIO()
    figure.savefig(full, dpi=DPI)
    # 256 colours are plenty for a plot and a third of the bytes, which stay in git for good.
    Image.open(full).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()
