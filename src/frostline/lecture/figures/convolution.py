"""What the first three parts draw: receptive fields, filters and pooling."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from torch import Tensor

from frostline.draw.colours import INK, ORANGE
from frostline.lecture.figures.panels import WIDTH, entitle, frame, numbers, panels, show


def field_figure(picture: Tensor, found: Tensor, neuron: tuple[int, int], size: tuple[int, int]) -> Figure:
    """A picture (3, H, W) with the field that one neuron of a map (h, w) sees."""
    figure, axes = panels(1, 2, lines=2)
    (row, column), (height, width) = neuron, size
    show(axes[0, 0], picture, f"a picture, and a field of {height} rows, {width} columns")
    show(axes[0, 1], found, f"its map, and the neuron in row {row}, column {column}, that sees them")
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
    pairs = 2  # beside each other
    figure, axes = panels(-(-len(filters) // pairs), 2 * pairs)
    for each in axes.flat[2 * len(filters) :]:
        each.set_axis_off()
    for number, (weights, left) in enumerate(zip(filters, seen, strict=True)):
        low, high = weights.min(), weights.max()
        drawn = ((weights - low) / (high - low)).permute(1, 2, 0).numpy()
        axes.flat[2 * number].imshow(drawn, interpolation="nearest")
        entitle(axes.flat[2 * number], "a filter")
        show(axes.flat[2 * number + 1], left, "what it leaves")
    return figure


def shifts_figure(pictures: Tensor, pooled: Tensor, k: int) -> Figure:
    """Pictures (3, H, W) that are shifted more and more, and beside each its maxima over k x k cells."""
    figure, axes = panels(3, 2)
    figure.set_figheight(3 * (WIDTH / 2 * pictures.shape[1] / pictures.shape[2] + 0.3))
    for row, (name, moved) in enumerate([("A", ""), ("B", ", moved by 1"), ("C", ", moved by 2")]):
        numbers(axes[row, 0], pictures[row], name + moved)
        numbers(axes[row, 1], pooled[row], f"maxima of {name} in {k} x {k}")
        for column in range(k, pictures.shape[2], k):
            axes[row, 0].axvline(column - 0.5, color=INK, linewidth=1.2)
        for line in range(k, pictures.shape[1], k):
            axes[row, 0].axhline(line - 0.5, color=INK, linewidth=1.2)
    return figure


def pooled_figure(picture: Tensor, highest: Tensor, mean: Tensor) -> Figure:
    """A picture (3, H, W), and what several layers of pooling leave of it."""
    figure, axes = panels(1, 3)
    show(axes[0, 0], picture, f"the picture, {picture.shape[1]} px")
    for each, values, what in ((axes[0, 1], highest, "maxima"), (axes[0, 2], mean, "means")):
        side = picture.shape[1] // values.shape[1]
        show(each, values, f"{what} of {side} x {side}")
    return figure
