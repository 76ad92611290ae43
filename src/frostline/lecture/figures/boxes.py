"""The pictures of the lecture's parts on boxes: what is true is green, what is found orange."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from frostline.draw.colours import BLUE, GREEN, INK, ORANGE, PALE, PINK, QUIET, RED
from frostline.draw.legends import legend, mark
from frostline.draw.marks import veil
from frostline.draw.style import names_as_they_are
from frostline.lecture.boxed import Named
from frostline.lecture.figures.panels import panels
from frostline.pictures.masks import read_mask
from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.stored import stored_picture
from frostline.predict.kinds import Detected, Located
from frostline.scenes.scene import Classes, Scene
from frostline.tasks.examples import Example

TRUE, FOUND = GREEN, ORANGE
WIDTH, SMALL = 5.0, 9  # inches and points: such letters can be read on a phone
LINE = 0.2  # inches, of words in that size
Box = Sequence[float]


def squares(count: int, columns: int, lines: int = 1) -> tuple[Figure, list[Axes]]:
    """So many bare squares in rows, with room for titles of so many lines, and for a key below."""
    columns = min(columns, count)
    rows, side = -(-count // columns), WIDTH / columns
    figure, axes = panels(rows, columns, side)
    figure.set_figheight(rows * (side + lines * LINE) + 2 * LINE)
    for each in axes.flat[count:]:
        each.set_axis_off()
    return figure, list(axes.flat[:count])


def whole(axes: Axes, picture: Tensor | np.ndarray, title: str = "", faded: float = 0.0) -> None:
    """A picture (3, H, W) in 0..1 or (H, W, 3) in bytes, in coordinates of its pixels' edges. faded: towards white."""
    pixels = picture.permute(1, 2, 0).numpy() if isinstance(picture, Tensor) else picture / 255
    height, width = pixels.shape[:2]
    shown = pixels * (1 - faded) + faded
    axes.imshow(shown.clip(0, 1), extent=(0, width, height, 0), interpolation="nearest")
    axes.set_autoscale_on(False)
    axes.set_title(title, fontsize=SMALL, color=QUIET)


def frame(axes: Axes, box: Box, colour: str, line: str = "-", width: float = 2.0, filled: float = 0.0) -> None:
    """A box, x0 y0 x1 y1. filled: how much of it is painted."""
    corner, sides = (box[0], box[1]), (box[2] - box[0], box[3] - box[1])
    if filled:
        axes.add_patch(Rectangle(corner, *sides, color=colour, alpha=filled, linewidth=0))
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linestyle=line, linewidth=width))


def said(axes: Axes, box: Box, text: str, colour: str, corner: int | None = None) -> None:
    """Words outside of the box, at one of its corners: 0 to 3 from the upper left on as one reads, by default above it,
    where there is room. Within it, where there is none."""
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    if corner is None:
        corner = (box[0] > width / 2) + 2 * (box[1] < height / 7)
    right, low = corner % 2, corner // 2
    beyond = box[3] > 0.93 * height if low else box[1] < 0.07 * height
    axes.text(
        box[2] if right else box[0],
        box[3] if low else box[1],
        text,
        fontsize=SMALL,
        color=INK if colour in (ORANGE, PINK) else "white",
        ha="right" if right else "left",
        va="top" if low != beyond else "bottom",
        bbox={"boxstyle": "square,pad=0.1", "color": colour, "linewidth": 0},
        clip_on=True,
    )


def key(figure: Figure, **names: str) -> None:
    """Below, what colours say."""
    legend(figure, [[mark(name.replace("_", " "), colour, line="-") for name, colour in names.items()]], SMALL)


def iou_figure(picture: Tensor, true: Box, found: Box, shared: float, covered: float) -> Figure:
    """A picture (3, H, W) with two boxes; what they share, and what they cover together."""
    figure, axes = squares(3, 3, 3)
    titles = ("two boxes", f"they share {shared:,.0f} px", f"together {covered:,.0f} px")
    for each, title in zip(axes, titles, strict=True):
        whole(each, picture, title, 0.0 if each is axes[0] else 0.6)
    both = [max(true[0], found[0]), max(true[1], found[1]), min(true[2], found[2]), min(true[3], found[3])]
    frame(axes[1], both, BLUE, width=0, filled=0.75)
    for box in (true, found):
        axes[2].add_patch(Rectangle((box[0], box[1]), box[2] - box[0], box[3] - box[1], color=BLUE, linewidth=0))
    for each in axes:
        frame(each, true, TRUE)
        frame(each, found, FOUND)
    _near(axes, [*true[:2], *found[:2]], [*true[2:], *found[2:]], picture.shape[1:])
    key(figure, true=TRUE, found=FOUND)
    figure.suptitle(f"IoU = {shared:,.0f} / {covered:,.0f} = {shared / covered:.2f}", fontsize=11, color=INK)
    return figure


def _near(axes: Iterable[Axes], lower: Sequence[float], upper: Sequence[float], size: Sequence[int]) -> None:
    """Show of a picture no more than a square around these corners, x y x y."""
    low, high = np.reshape(lower, (-1, 2)).min(0), np.reshape(upper, (-1, 2)).max(0)
    half = min(0.7 * (high - low).max(), min(size) / 2)
    x, y = ((low + high) / 2).clip(half, np.array(size[::-1]) - half)
    for each in axes:
        each.set(xlim=(x - half, x + half), ylim=(y + half, y - half))


def alike_figure(cases: Sequence[tuple[Box, Box, str]]) -> Figure:
    """For each case a true and a found box in shares of a picture, and what is said of them."""
    figure, axes = squares(len(cases), len(cases), 2)
    for each, (true, found, title) in zip(axes, cases, strict=True):
        each.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", facecolor=PALE)
        frame(each, true, TRUE, filled=0.2)
        frame(each, found, FOUND, filled=0.2)
        each.set_title(title, fontsize=SMALL, color=QUIET)
    key(figure, true=TRUE, found=FOUND)
    return figure


@names_as_they_are
def located_figure(examples: Sequence[Example], shares: Sequence[float]) -> Figure:
    """Pictures with the true box and the predicted one; shares: their IoU."""
    figure, axes = squares(len(examples), 3, 2)
    for each, example, share in zip(axes, examples, shares, strict=True):
        found = example.prediction
        assert isinstance(found, Located)
        pixels = example.picture
        scale = pixels.shape[1] / example.size[0]
        true = example.truth.label
        wrong = "" if true is None or true == found.label else f", is {found.classes[true]}"
        whole(each, pixels, f"{found.name}{wrong}\nIoU {share:.2f}")
        for real in () if example.truth.boxes is None else example.truth.boxes[:1]:
            frame(each, (real * scale).tolist(), TRUE)
        frame(each, (found.box * scale).tolist(), FOUND)
    key(figure, true=TRUE, found=FOUND)
    return figure


@names_as_they_are
def masks_figure(scene: Scene, classes: Classes, proposed: Collection[Named], corrected: Collection[Named]) -> Figure:
    """A scene with its mask, then with the boxes around the mask's regions, then with those that are right."""
    assert isinstance(scene.mask, Path) and scene.size is not None  # it is a dataset's
    picture, mask = Preprocessing(max(scene.size)).square(stored_picture(scene), scene.size), read_mask(scene.mask)
    figure, axes = squares(3, 3)
    whole(axes[0], picture, "the mask of this scene", 0.3)
    width, height = scene.size
    axes[0].imshow(veil(mask, classes.masks or ()), extent=(0, width, height, 0), interpolation="nearest")
    for each, boxes, title in ((axes[1], proposed, "boxes around that"), (axes[2], corrected, "corrected")):
        whole(each, picture, title)
        for box in boxes:
            frame(each, box[1], TRUE if box in corrected else RED)
    key(figure, right=TRUE, to_be_corrected=RED)
    return figure


def windows_figure(picture: Tensor, cell: int, windows: Sequence[tuple[int, int]], side: int, count: int) -> Figure:
    """A picture (3, H, W) cut into cells, and some windows of side x side cells, by row and column of their corner."""
    figure, (each,) = squares(1, 1)
    whole(each, picture, f"{count} windows of {side} x {side} cells: the first, second and last")
    height, width = picture.shape[1:]
    figure.set_figheight(WIDTH * height / width + 1.5 * LINE)
    each.hlines(range(cell, height, cell), 0, width, color="white", linewidth=0.7)
    each.vlines(range(cell, width, cell), 0, height, color="white", linewidth=0.7)
    across = width // cell - side + 1
    lines = zip(windows, ((ORANGE, "-"), (BLUE, "--"), (RED, "-")), strict=True)
    for (row, column), (colour, line) in lines:
        corner = (column * cell, row * cell)
        box = (corner[0] + 1, corner[1] + 1, corner[0] + side * cell - 1, corner[1] + side * cell - 1)
        frame(each, box, colour, line, width=3)
        number = 1 + row * across + column
        each.text(box[0] + 1, box[1] + 1, f"{number}", fontsize=11, color="white", va="top", backgroundcolor=colour)
    return figure


Step = tuple[Sequence[int], Sequence[int], Sequence[int]]  # numbers of boxes: kept, dropped now, left


def suppression_figure(
    picture: Tensor, boxes: Sequence[Box], scores: Sequence[float], steps: Sequence[Step], titles: Sequence[str]
) -> Figure:
    """A picture with boxes, once for each step of their selection, two steps beside each other."""
    figure, axes = squares(len(steps), 2)
    for each, (kept, dropped, left), title in zip(axes, steps, titles, strict=True):
        whole(each, picture, title, 0.35)
        for numbers, colour, line in ((left, BLUE, "-"), (dropped, PINK, "--"), (kept, ORANGE, "-")):
            for n in numbers:
                frame(each, boxes[n], colour, line, 2.5 if numbers is kept else 1.5)
                said(each, boxes[n], f"{scores[n]:.2f}", colour, n % 4)  # each at another corner
    key(figure, kept=ORANGE, dropped_now=PINK, still_to_be_looked_at=BLUE)
    return figure


@names_as_they_are
def detected_figure(examples: Sequence[Example], from_score: float) -> Figure:
    """Pictures with their true boxes and those that are found with at least this score."""
    figure, axes = squares(len(examples), 2)
    for each, example in zip(axes, examples, strict=True):
        assert isinstance(example.prediction, Detected)
        found = example.prediction.sure(from_score)
        scale = example.picture.shape[1] / example.size[0]
        whole(each, example.picture)
        for real in () if example.truth.boxes is None else example.truth.boxes:
            frame(each, (real * scale).tolist(), TRUE, width=1.5)
        for box, label, score in reversed(list(zip(found.boxes, found.labels, found.scores, strict=True))):
            frame(each, (box * scale).tolist(), FOUND, width=1.5)
            said(each, (box * scale).tolist(), f"{found.classes[label]} {score:.0%}", FOUND)
    key(figure, true=TRUE, found=FOUND)
    return figure


@names_as_they_are
def precision_recall_figure(
    recall: Tensor, precision: Tensor, best: Sequence[float], average: float, name: str
) -> Figure:
    """Recall and precision (n,), the surest first, and the highest precision at recalls of 0, 0.1 ... 1 and beyond."""
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(best)) / (len(best) - 1)
    axes.plot(recall, precision, color=QUIET, linewidth=1.5, label="as measured")
    axes.vlines(at, 0, best, color=PALE, linewidth=5, zorder=1)
    axes.plot(
        at, best, "o", color=ORANGE, markersize=7, clip_on=False, zorder=4, label="the highest at this recall or beyond"
    )
    axes.axhline(average, color=BLUE, linewidth=1.2, linestyle="--", label=f"their mean: AP = {average:.2f}")
    axes.set(xlim=(-0.03, 1.03), ylim=(0, 1.05), xticks=at, xticklabels=[f"{100 * share:.0f}" for share in at])
    axes.yaxis.set_major_formatter(lambda share, place: f"{100 * share:.0f}")
    axes.tick_params(labelsize=SMALL, length=0)
    axes.set_xlabel("recall in %: of the true boxes, how many are found", fontsize=SMALL, color=QUIET)
    axes.set_ylabel("precision in %: of the found, how many are right", fontsize=SMALL, color=QUIET)
    axes.set_title(name, fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left" if average > 0.5 else "upper right")
    return figure
