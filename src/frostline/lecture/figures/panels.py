"""What the pictures of the lecture share: plain, few things in each, and what it shows written on it."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from frostline.draw.colours import BLUE, FAINT, INK, ORANGE, QUIET

WIDTH = 5.0  # inches of a picture, whatever is in it, so that its words can be read on a phone
TITLE = 10  # points
LETTER = 0.56  # width of a letter, as a share of its height
BLUES = LinearSegmentedColormap.from_list("blues", ["white", BLUE])


def shape(maps: Tensor) -> tuple[int, int]:
    """Height and width of maps (B, C, H, W)."""
    return int(maps.shape[2]), int(maps.shape[3])


def panels(rows: int, columns: int, side: float | None = None, lines: int = 1) -> tuple[Figure, np.ndarray]:
    """Bare squares, (rows, columns). side: inches, by default as many as fit. lines: of the longest title."""
    side = WIDTH / columns if side is None else side
    above = (1.4 * lines * TITLE + 4) / 72
    figure = Figure(figsize=(columns * side, rows * (side + above)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set_xticks([])
        each.set_yticks([])
        for spine in each.spines.values():
            spine.set_color(FAINT)
    return figure, axes


def show(axes: Axes, values: Tensor, title: str = "", highest: float | None = None) -> None:
    """A picture (3, H, W), or a map (H, W) in greys."""
    if values.dim() == 3:
        axes.imshow(values.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    else:
        axes.imshow(values.numpy(), cmap="gray", interpolation="nearest", vmin=0 if highest else None, vmax=highest)
    entitle(axes, title)


def numbers(axes: Axes, values: Tensor, title: str = "", size: float = 9) -> None:
    """A small map (H, W) of values from 0 to 1 as cells, the more the bluer, with its numbers in them."""
    height, width = values.shape
    axes.imshow(values.numpy(), cmap=BLUES, interpolation="nearest", vmin=0, vmax=1)
    axes.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, FAINT, linewidth=0.8)
    axes.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, FAINT, linewidth=0.8)
    for row, each in enumerate(values.tolist()):
        for column, value in enumerate(each):
            ink = "white" if value > 0.5 else QUIET
            axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=size, color=ink)
    entitle(axes, title)


def entitle(axes: Axes, title: str) -> None:
    """A title that is no wider than its panel."""
    place = axes.get_subplotspec()
    width = axes.figure.bbox.width / axes.figure.dpi / (place.get_gridspec().ncols if place else 1)
    letters = max(8, int(width * 72 / (LETTER * TITLE)))
    axes.set_title(textwrap.fill(title, letters), fontsize=TITLE, color=INK)


def frame(axes: Axes, row: float, column: float, height: float, width: float) -> None:
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, color=ORANGE, linewidth=2))
