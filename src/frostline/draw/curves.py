"""Confusion, and precision against recall, as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from frostline.draw.colours import BLUE, FAINT, GREEN, INK, ORANGE, PALE, PINK, QUIET, RED, SKY
from frostline.draw.png import save
from frostline.draw.style import bare, headline, names_as_they_are
from frostline.words import quantity, short

Floats = npt.NDArray[np.float64]

COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, INK)  # with two kinds of line for 14 classes
COUNTED, NUMBERED = 8, 25  # classes up to which cells tell counts, and shares
MOST = 20  # classes of very many that are shown
NAMED = 25  # names along an axis at most
DPI = 110
CURVES = 10  # classes up to which each curve has its colour


def confusion_picture(confusion: Sequence[Sequence[float]], classes: Sequence[str], path: Path) -> None:
    """Write a PNG of how often each true class (row) was taken for each class (column), as shares of the row.

    confusion: (C, C), counts of scenes or pixels. A class that does not occur has an empty row.
    """
    counts = np.array(confusion, dtype=float)
    rows, columns = counts.nonzero()
    pairs = np.stack([rows, columns, counts[rows, columns]], 1)
    _draw_confusion(counts, counts.sum(1), pairs, classes, "What was taken for what", path)


def confused_picture(pairs: Tensor, classes: Sequence[str], path: Path) -> None:
    """`confusion_picture` of the MOST classes, of very many, that the commonest mistakes are between.

    pairs: (m, 3) int64, true class, found class and how often. Shares are of all that a true class was taken for.
    """
    table = pairs.numpy().astype(float)
    wrong = table[table[:, 0] != table[:, 1]]
    wrong = wrong[(-wrong[:, 2]).argsort(kind="stable")]
    mistaken = dict.fromkeys(wrong[:, :2].ravel().astype(int).tolist())  # in the order of their commonest mistakes
    known = dict.fromkeys(table[:, 0].astype(int).tolist())
    chosen = list(mistaken | known)[:MOST]
    place = {number: n for n, number in enumerate(chosen)}
    counts, totals = np.zeros((len(chosen), len(chosen))), np.zeros(len(chosen))
    for truth, found, often in table.tolist():
        if truth in place:
            totals[place[int(truth)]] += often
            if found in place:
                counts[place[int(truth)], place[int(found)]] += often
    title = f"What was taken for what: {len(chosen)} of {len(classes):,} classes"
    _draw_confusion(counts, totals, table, classes, title, path, chosen)


@names_as_they_are
def _draw_confusion(
    counts: Floats,
    totals: Floats,
    pairs: Floats,
    classes: Sequence[str],
    title: str,
    path: Path,
    chosen: Sequence[int] | None = None,
) -> None:
    """counts: (n, n) of the chosen classes, or of all. totals: (n,), of their rows. pairs: (m, 3) of all classes."""
    n = len(counts)
    every = [short(name, 22) for name in classes]
    names = every if chosen is None else [every[number] for number in chosen]
    totals = totals[:, None]
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    side = min(5.8, max(2.8, 0.7 * n))
    figure = Figure(figsize=(side + 2.6, side + 1.9), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=1)  # type: ignore[no-untyped-call]
    axes.set_facecolor(PALE)
    if n <= NUMBERED:
        _write_cells(axes, counts, shares)
    _name_classes(axes, names, side)
    bare(axes)
    if n > NAMED:  # the ticks tell which rows are named
        axes.tick_params(length=2, color=QUIET)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the true class", color=QUIET, fontsize=8)
    bar.ax.tick_params(labelsize=7, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]
    headline(figure, title, _commonest(pairs, every, 12 * (side + 2.6)))
    save(figure, path)


@names_as_they_are
def precision_recall_picture(
    curve: Tensor, average: Sequence[float], classes: Sequence[str], of: str, path: Path
) -> None:
    """Write a PNG of precision against recall, a line for each class that occurs.

    curve: (C, points, 2), recall and precision, all NaN for a class that does not occur. average: (C,), average
    precision, -1 for such a class. of: what is right or wrong, for the headline.
    Of more than CURVES classes, those with the lowest average precision are named, the others grey.
    """
    figure = Figure(figsize=(7.2, 4.6), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    there = sorted((n for n in range(len(classes)) if average[n] >= 0), key=lambda n: average[n])
    for n in there[CURVES:]:
        axes.plot(*_reached(curve[n].numpy()), color=FAINT, lw=0.7, zorder=2)
    for rank, n in reversed(list(enumerate(there[:CURVES]))):
        axes.plot(
            *_reached(curve[n].numpy()),
            ("-", "--")[rank // len(COLOURS) % 2],
            color=COLOURS[rank % len(COLOURS)],
            lw=1.7,
            label=f"{average[n]:.3f}  {short(classes[n], 24)}",
            zorder=3,
        )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set_xlabel("recall: share of the true ones that are found", color=QUIET, fontsize=9)
    axes.set_ylabel("precision: share of the found ones that are right", color=QUIET, fontsize=9)
    axes.grid(color=PALE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    bare(axes)
    if there:  # beside the lines, as their order is that of the legend
        title = "average precision" if len(there) <= CURVES else f"the {CURVES} lowest of {len(there)}"
        axes.legend(
            title=title, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, title_fontsize=8, frameon=False
        )
    headline(figure, f"Precision against recall, {of}", _mean_of(average, len(there)))
    save(figure, path)


def _write_cells(axes: Axes, counts: Floats, shares: Floats) -> None:
    """Shares, and counts below them where there is room."""
    n = len(counts)
    size = 9.5 if n <= 5 else 8 if n <= COUNTED else max(5.5, 9.5 - 0.17 * n)
    for row, column in np.argwhere(np.nan_to_num(shares) > 0):
        share = shares[row, column]
        text = f"{share:.2f}\n{_count(counts[row, column])}" if n <= COUNTED else f"{100 * share:.0f}"
        ink = "white" if share > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink, linespacing=1.3)


def _name_classes(axes: Axes, names: Sequence[str], side: float) -> None:
    """Along both axes, of `side` inches, at most NAMED of them."""
    n = len(names)
    shown = range(0, n, -(-n // NAMED))
    small = 9 if n <= 10 else 7
    axes.set_yticks(shown, [names[i] for i in shown], fontsize=small)
    long = max(map(len, names)) * 0.065 > side / n
    turned: Any = {"rotation": 45, "rotation_mode": "anchor", "ha": "right"} if long else {}
    axes.set_xticks(shown, [names[i] for i in shown], fontsize=small, **turned)
    axes.set_ylabel("truth", color=QUIET, fontsize=9)
    axes.set_xlabel("prediction", color=QUIET, fontsize=9)


def _reached(curve: Floats) -> tuple[Floats, Floats]:
    """Recall and precision up to the highest recall that is reached; beyond, COCO's precision is 0."""
    recall, precision = curve.T
    zero = np.flatnonzero((precision == 0) & (recall > 0))
    end = zero[0] + 1 if len(zero) and recall[-1] > recall[0] else len(recall)
    return recall[:end], precision[:end]


def _mean_of(average: Sequence[float], there: int) -> str:
    """there: classes that occur."""
    if not there:
        return "test split, no class occurs"
    said = f"test split, mean average precision {sum(value for value in average if value >= 0) / there:.3f}"
    absent = len(average) - there
    return f"{said}; {absent} of {len(average)} classes do not occur" if absent else said


def _commonest(pairs: Floats, names: Sequence[str], letters: float) -> str:
    """The three commonest mistakes in words, or as many as `letters` have room for."""
    wrong = pairs[pairs[:, 0] != pairs[:, 1]]
    if not len(wrong):
        return "test split; nothing was taken for anything else"
    order = wrong[(-wrong[:, 2]).argsort(kind="stable")][:3].tolist()
    told = [f"{names[int(t)]} as {names[int(p)]} ({_count(often)})" for t, p, often in order]
    while len(told) > 1 and len("most often: " + ", ".join(told)) > letters:
        told.pop()
    return f"most often: {', '.join(told)}"


def _count(number: float) -> str:
    return f"{number:.0f}" if number < 1e4 else quantity(number)  # shortened only where that saves two digits
