"""The pictures of the part on pretrained networks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from frostline.draw.colours import BLUE, FAINT, INK, ORANGE, QUIET
from frostline.draw.style import bare, chart
from frostline.words import short

ROW = 1.75  # inches, height of a picture
MOST = 34  # letters of a name of a class


@chart
def predictions_figure(shown: Sequence[tuple[str, NDArray[np.uint8], Sequence[tuple[str, float]]]]) -> Figure:
    """Pictures (h, w, 3), each under its title, and beside it its likeliest classes with their probabilities."""
    figure = Figure(figsize=(5.6, len(shown) * (ROW + 0.25)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(2, 3))
    for (left, right), (title, picture, likeliest) in zip(axes, shown, strict=True):
        left.imshow(picture, interpolation="nearest")
        left.set_title(title, fontsize=10, color=QUIET)
        left.set_xticks([])
        left.set_yticks([])
        bare(left)
        _bars(right, [(short(name, MOST), share) for name, share in likeliest], BLUE)
    return figure


@chart
def ways_figure(shares: Mapping[str, float], title: str) -> Figure:
    """A probability for each way to prepare a picture, the first of which is the right one."""
    figure = Figure(figsize=(5.6, 0.52 * len(shares) + 0.5), layout="constrained")
    axes = figure.subplots()
    _bars(axes, list(shares.items()), ORANGE)
    axes.patches[0].set_color(BLUE)
    axes.set_title(title, loc="left", fontsize=10, color=QUIET)
    return figure


def _bars(axes: Axes, shares: Sequence[tuple[str, float]], colour: str) -> None:
    """One below the other, each under its name, with its percentage at the right."""
    axes.barh(range(len(shares)), [share for _, share in shares], 0.32, color=colour, zorder=3)
    axes.barh(range(len(shares)), [1] * len(shares), 0.32, color=FAINT, alpha=0.4)
    for row, (name, share) in enumerate(shares):
        axes.text(0, row - 0.24, name, fontsize=10, color=INK, va="bottom")
        axes.text(1, row - 0.24, f"{share:.1%}", fontsize=10, color=INK, va="bottom", ha="right")
    axes.set(xlim=(0, 1), ylim=(len(shares) - 0.6, -0.85), xticks=[], yticks=[])
    axes.grid(False)
    bare(axes)
