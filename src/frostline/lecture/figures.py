"""The pictures of the lecture: plain, few, and each with what it shows written on it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from frostline.draw.colours import ORANGE, QUIET

CELL = 2.4  # inches, side of a picture; three beside each other can be read on a phone


def shape(maps: Tensor) -> tuple[int, int]:
    """Height and width of maps (B, C, H, W)."""
    return int(maps.shape[2]), int(maps.shape[3])


def panels(rows: int, columns: int, side: float = CELL) -> tuple[Figure, np.ndarray]:
    """Bare squares, (rows, columns)."""
    figure = Figure(figsize=(columns * side, rows * (side + 0.3)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set_xticks([])
        each.set_yticks([])
        for spine in each.spines.values():
            spine.set_visible(False)
    return figure, axes


def show(axes: Axes, values: Tensor, title: str = "", highest: float | None = None) -> None:
    """A picture (3, H, W), or a map (H, W) in greys."""
    if values.dim() == 3:
        axes.imshow(values.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    else:
        axes.imshow(values.numpy(), cmap="gray", interpolation="nearest", vmin=0 if highest else None, vmax=highest)
    axes.set_title(title, fontsize=9, color=QUIET)


def frame(axes: Axes, row: float, column: float, height: float, width: float) -> None:
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, color=ORANGE, linewidth=2))


def field_figure(picture: Tensor, found: Tensor, neuron: tuple[int, int], size: tuple[int, int]) -> Figure:
    """A picture (3, H, W) with the field that one neuron of a map (h, w) sees."""
    figure, axes = panels(1, 2, 3)
    show(axes[0, 0], picture, f"what the neuron {neuron} sees: {size[0]} rows, {size[1]} columns")
    frame(axes[0, 0], *neuron, *size)
    show(axes[0, 1], found, f"its map, {found.shape[0]} x {found.shape[1]}")
    frame(axes[0, 1], *neuron, 1, 1)
    return figure


def filters_figure(picture: Tensor, filters: Sequence[Tensor], seen: Sequence[Tensor]) -> Figure:
    """A grey picture (H, W), and for each filter the filter and what it leaves."""
    figure, axes = panels(len(filters), 3)
    for row, (weights, left) in enumerate(zip(filters, seen, strict=True)):
        show(axes[row, 0], picture, "the picture")
        show(axes[row, 1], weights, "the filter", 1)
        show(axes[row, 2], left, "what it leaves")
    return figure


def learned_figure(filters: Tensor) -> Figure:
    """Filters (n, 3, h, w) of a first layer, in colour."""
    columns = 8
    figure, axes = panels(-(-len(filters) // columns), columns, 0.8)
    for each in axes.flat:
        each.set_axis_off()
    for each, weights in zip(axes.flat, filters, strict=False):
        low, high = weights.min(), weights.max()
        show(each, (weights - low) / (high - low))
    return figure


def shifts_figure(pictures: Tensor, pooled: Tensor) -> Figure:
    """Pictures (3, H, W) that are shifted more and more, and their maxima below."""
    figure, axes = panels(2, 3, 2)
    for column, name in enumerate("ABC"):
        show(axes[0, column], pictures[column], f"{name}", 1)
        show(axes[1, column], pooled[column], f"maxima of {name}", 1)
    return figure
