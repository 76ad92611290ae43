"""Confusion, and precision against recall, as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from frostline.draw.colours import BLUE, FAINT, GREEN, INK, ORANGE, PALE, PINK, QUIET, RED, SKY
from frostline.draw.marks import names_as_they_are, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, INK)  # with two kinds of line for 14 classes
COUNTED, NUMBERED = 8, 25  # classes up to which cells tell counts, and shares
NAMED = 25  # names along an axis at most
CURVES = 10  # classes up to which each curve has its colour


@names_as_they_are
def confusion_picture(confusion: Sequence[Sequence[float]], classes: Sequence[str], path: Path) -> None:
    """Write a PNG of how often each true class (row) was taken for each class (column), as shares of the row.

    confusion: (C, C), counts of scenes or pixels. A class that does not occur has an empty row.
    """
    from matplotlib.figure import Figure

    counts = np.array(confusion, dtype=float)
    n, totals = len(counts), counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    names = [short(name, 22) for name in classes]
    side = min(5.8, max(2.8, 0.7 * n))
    figure = Figure(figsize=(side + 2.6, side + 1.9), layout="constrained", dpi=110)
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=1)  # type: ignore[no-untyped-call]
    axes.set_facecolor(PALE)
    size = 9.5 if n <= 5 else 8 if n <= COUNTED else max(5.5, 9.5 - 0.17 * n)
    for row, column in np.argwhere(np.nan_to_num(shares) > 0) if n <= NUMBERED else ():
        share = shares[row, column]
        text = f"{share:.2f}\n{_count(float(counts[row, column]))}" if n <= COUNTED else f"{100 * share:.0f}"
        ink = "white" if share > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink, linespacing=1.3)
    shown = range(0, n, -(-n // NAMED))
    small = 9 if n <= 10 else 7
    axes.set_yticks(shown, [names[i] for i in shown], fontsize=small)
    long = max(map(len, names)) * 0.065 > side / n
    turned: Any = {"rotation": 45, "rotation_mode": "anchor", "ha": "right"} if long else {}
    axes.set_xticks(shown, [names[i] for i in shown], fontsize=small, **turned)
    axes.set_ylabel("truth", color=QUIET, fontsize=9)
    axes.set_xlabel("prediction", color=QUIET, fontsize=9)
    axes.tick_params(length=0 if len(shown) == n else 2, color=QUIET)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the true class", color=QUIET, fontsize=8)
    bar.ax.tick_params(labelsize=7, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]
    _headline(figure, "What was taken for what", _commonest(counts, names, 12 * (side + 2.6)))
    figure.savefig(path)


@names_as_they_are
def precision_recall_picture(
    curve: Tensor, average: Sequence[float], classes: Sequence[str], of: str, path: Path
) -> None:
    """Write a PNG of precision against recall, a line for each class that occurs.

    curve: (C, points, 2), recall and precision, all NaN for a class that does not occur. average: (C,), average
    precision, -1 for such a class. of: what is right or wrong, for the headline.
    Of more than CURVES classes, those with the lowest average precision are named, the others grey.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained", dpi=110)
    axes = figure.subplots()
    there = sorted((n for n in range(len(classes)) if average[n] >= 0), key=lambda n: average[n])
    named = there[:CURVES]
    for n in there[CURVES:]:
        axes.plot(*_reached(curve[n].numpy()), color=FAINT, lw=0.7, zorder=2)
    for rank, n in reversed(list(enumerate(named))):
        style = ("-", "--")[rank // len(COLOURS) % 2]
        axes.plot(
            *_reached(curve[n].numpy()),
            style,
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
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if named:
        title = "average precision" if len(there) <= CURVES else f"the {CURVES} lowest of {len(there)}"
        axes.legend(
            title=title, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, title_fontsize=8, frameon=False
        )
    absent = len(classes) - len(there)
    mean = f"mean average precision {np.mean([average[n] for n in there]):.3f}" if there else "no class occurs"
    gone = f"; {absent} of {len(classes)} classes do not occur" if absent and there else ""
    _headline(figure, f"Precision against recall, {of}", f"test split, {mean}{gone}")
    figure.savefig(path)


def _reached(curve: Floats) -> tuple[Floats, Floats]:
    """Recall and precision up to the highest recall that is reached; beyond, COCO's precision is 0."""
    recall, precision = curve.T
    zero = np.flatnonzero((precision == 0) & (recall > 0))
    end = zero[0] + 1 if len(zero) and recall[-1] > recall[0] else len(recall)
    return recall[:end], precision[:end]


def _headline(figure: "Figure", title: str, below: str) -> None:
    figure.suptitle(f"{title}\n", x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.31 / height, below, fontsize=8, color=QUIET, va="top")


def _commonest(counts: Floats, names: Sequence[str], letters: float) -> str:
    """The three commonest mistakes in words, or as many as `letters` have room for."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return "test split; nothing was taken for anything else"
    order = [np.unravel_index(i, wrong.shape) for i in wrong.argsort(axis=None)[::-1][:3]]
    told = [f"{names[t]} as {names[p]} ({_count(float(wrong[t, p]))})" for t, p in order if wrong[t, p]]
    while len(told) > 1 and len("most often: " + ", ".join(told)) > letters:
        told.pop()
    return f"most often: {', '.join(told)}"


def _count(number: float) -> str:
    # From where three digits round up to it; thousands only where they save two digits.
    for least, size, unit in ((999.5e6, 1e9, " G"), (999.5e3, 1e6, " M"), (1e4, 1e3, " k")):
        if number >= least:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"
