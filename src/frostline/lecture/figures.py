"""The pictures of the lecture: plain, few, and each with what it shows written on it."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
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


def field_figure(picture: Tensor, found: Tensor, neuron: tuple[int, int], size: tuple[int, int]) -> Figure:
    """A picture (3, H, W) with the field that one neuron of a map (h, w) sees."""
    figure, axes = panels(1, 2, lines=2)
    (row, column), (height, width) = neuron, size
    show(axes[0, 0], picture, f"a picture, and a field of {height} rows, {width} columns")
    show(axes[0, 1], found, f"its map, and the neuron {row}, {column} that sees them")
    axes[0, 1].set(xlim=axes[0, 0].get_xlim(), ylim=axes[0, 0].get_ylim())  # of the same scale
    frame(axes[0, 0], row, column, height, width)
    frame(axes[0, 1], row, column, 1, 1)
    for corner in (0, height):
        ends = (column + width - 0.5, row + corner - 0.5), (column - 0.5, row + bool(corner) - 0.5)
        line = ConnectionPatch(*ends, "data", axesA=axes[0, 0], axesB=axes[0, 1], color=ORANGE, linewidth=1)
        line.set_in_layout(False)
        figure.add_artist(line)
    return figure


def filters_figure(picture: Tensor, filters: Sequence[Tensor], seen: Sequence[Tensor]) -> Figure:
    """A grey picture (H, W), and for each filter the filter and what it leaves."""
    figure, axes = panels(len(filters), 3)
    for row, (weights, left) in enumerate(zip(filters, seen, strict=True)):
        show(axes[row, 0], picture, "the picture")
        numbers(axes[row, 1], weights, "the filter")
        show(axes[row, 2], left, "what it leaves")
    return figure


def learned_figure(filters: Tensor) -> Figure:
    """Filters (n, 3, h, w) of a first layer, in colour."""
    columns = 8
    rows = -(-len(filters) // columns)
    figure, axes = panels(rows, columns, lines=0)
    for each in axes.flat[len(filters) :]:
        each.set_axis_off()
    for each, weights in zip(axes.flat, filters, strict=False):
        low, high = weights.min(), weights.max()
        each.imshow(((weights - low) / (high - low)).permute(1, 2, 0).numpy(), interpolation="nearest")
    return figure


def shifts_figure(pictures: Tensor, pooled: Tensor, k: int) -> Figure:
    """Pictures (3, H, W) that are shifted more and more, and beside each its maxima over k x k cells."""
    figure, axes = panels(3, 2)
    figure.set_figheight(3 * (WIDTH / 2 * pictures.shape[1] / pictures.shape[2] + 0.3))
    for row, name in enumerate("ABC"):
        numbers(axes[row, 0], pictures[row], name)
        numbers(axes[row, 1], pooled[row], f"maxima of {name}")
        for column in range(k, pictures.shape[2], k):
            axes[row, 0].axvline(column - 0.5, color=INK, linewidth=1.2)
        for line in range(k, pictures.shape[1], k):
            axes[row, 0].axhline(line - 0.5, color=INK, linewidth=1.2)
    return figure


def pooled_figure(picture: Tensor, highest: Tensor, mean: Tensor) -> Figure:
    """A picture (3, H, W), and what several layers of pooling leave of it."""
    figure, axes = panels(1, 3)
    show(axes[0, 0], picture, f"the picture, {picture.shape[1]} px")
    show(axes[0, 1], highest, f"maxima, {highest.shape[1]} px")
    show(axes[0, 2], mean, f"means, {mean.shape[1]} px")
    return figure
