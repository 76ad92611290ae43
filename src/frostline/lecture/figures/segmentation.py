"""The pictures of the part on segmentation: how often cells are painted, and masks over a picture, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from frostline.draw.colours import INK
from frostline.draw.legends import height_of, legend
from frostline.draw.marks import class_colours, veil
from frostline.draw.style import names_as_they_are
from frostline.lecture.figures.panels import entitle, panels, show
from frostline.scenes.scene import BACKGROUND, VOID
from frostline.words import short

NAMED = 8  # classes in a legend at most


def painted_figure(maps: Mapping[str, Tensor]) -> Figure:
    """Small maps (H, W) in greys with their numbers, each with its title, beside each other, in one scale."""
    figure, axes = panels(1, len(maps), 2)
    inks = {True: "white", False: INK}  # upon what is dark, upon what is light
    highest = 1.25 * max(float(values.max()) for values in maps.values())  # no white, which would be the page
    for each, (title, values) in zip(axes[0], maps.items(), strict=True):
        show(each, values, title, highest)
        for row, line in enumerate(values.tolist()):
            for column, value in enumerate(line):
                each.text(
                    column, row, f"{value:g}", ha="center", va="center", fontsize=8, color=inks[value < highest / 2]
                )
    return figure


@names_as_they_are
def masks_figure(picture: Tensor, masks: Mapping[str, Tensor], classes: Sequence[str]) -> Figure:
    """A picture (3, H, W) bytes, and masks (H, W) over it, each with its title; three in a row."""
    seen = {int(number) for mask in masks.values() for number in mask.unique()} - {VOID}
    colours = class_colours(len(classes))
    key = [
        Patch(color=tuple(colours[number]), label=short(classes[number], 16))
        for number in sorted(seen)
        if classes[number] != BACKGROUND
    ][:NAMED]
    figure, axes = panels(-(-(1 + len(masks)) // 3), 3, 1.9)
    figure.set_figheight(figure.get_figheight() + height_of([key], 5.7, 9))
    for each in axes.flat[: 1 + len(masks)]:
        show(each, picture / 255, "the picture")
    for each, (title, mask) in zip(axes.flat[1:], masks.items(), strict=False):
        each.imshow(veil(np.asarray(mask, np.uint8), classes), interpolation="nearest")
        entitle(each, title)
    legend(figure, [key], 9)
    return figure
