"""What the first three parts draw: receptive fields, filters and pooling."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from torch import Tensor

from frostline.draw.colours import INK, ORANGE
from frostline.lecture.figures.panels import WIDTH, frame, numbers, panels, show


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


def learned_figure(filters: Tensor, seen: Sequence[Tensor]) -> Figure:
    """Filters (n, 3, h, w) of a first layer, in colour, and right of each what it leaves of a picture (H, W)."""
    pairs = 3  # beside each other
    figure, axes = panels(-(-len(filters) // pairs), 2 * pairs, lines=0)
    for each in axes.flat[2 * len(filters) :]:
        each.set_axis_off()
    for number, (weights, left) in enumerate(zip(filters, seen, strict=True)):
        low, high = weights.min(), weights.max()
        drawn = ((weights - low) / (high - low)).permute(1, 2, 0).numpy()
        axes.flat[2 * number].imshow(drawn, interpolation="nearest")
        show(axes.flat[2 * number + 1], left)
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
