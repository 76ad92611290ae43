"""A contact sheet of what training sees: scenes as they are, and their first augmented views beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from frostline.draw.colours import INK, QUIET
from frostline.draw.legends import height_of, legend
from frostline.draw.marks import class_colours, outline, tag, veil
from frostline.draw.style import LEFT, headline, names_as_they_are, place
from frostline.loading.items import SceneItems
from frostline.loading.module import SceneDataModule
from frostline.scenes.scene import BACKGROUND, COUNTED
from frostline.words import short

SIDE, GAP, CAPTION = 1.62, 0.07, 0.19  # inches: a picture, what is between two, and the line with a label below it
NAMES, TOP, BOTTOM = 0.15, 0.58, 0.1  # inches around them, for the scenes' names and the headings
APART = 0.08  # inches that the plain pictures stand apart
NAMED = 12  # classes at the bottom at most
LETTERS = 24  # of a name
SMALL = 6.5  # points


@names_as_they_are
def contact_sheet(data: SceneDataModule, scenes: int, views: int, title: str) -> Figure:
    """A row for each of so many training scenes: the plain picture and then its views, those of the first epochs.

    The scenes are spread over the split. With boxes, masks (VOID is hatched) and labels, as far as the task has them.
    """
    items = data.items("train")
    views = min(views, data.views or views)  # there are no others
    positions = np.unique(np.linspace(0, len(items) - 1, min(scenes, len(items))).round().astype(int)).tolist()
    key = [] if data.needs == {"label"} else _key(data.classes, "mask" in data.needs)
    across, down = SIDE + GAP, SIDE + GAP + (CAPTION if "label" in data.needs else 0.0)
    width = LEFT + NAMES + (1 + views) * across + GAP + APART
    height = TOP + len(positions) * down + BOTTOM + height_of([key], width, SMALL)
    figure = Figure(figsize=(width, height), dpi=130)
    for row, position in enumerate(positions):
        for number in range(1 + views):
            left = LEFT + NAMES + number * across + (APART if number else 0)
            axes = place(figure, left, TOP + row * down, SIDE)
            item = items.plain(position) if number == 0 else items[position, number - 1]
            _draw(axes, item, items, data.classes)
            if number == 0:
                axes.set_ylabel(short(items.scenes[position].id, LETTERS), fontsize=6, color=QUIET, labelpad=3)
            if row == 0:
                axes.set_title(f"view {number}" if number else "as it is", fontsize=8, color=INK, pad=4)
    headline(figure, title)
    legend(figure, [key], SMALL)
    return figure


def _draw(axes: Axes, item: dict[str, Any], items: SceneItems, classes: tuple[str, ...]) -> None:
    size, colours = items.size, class_colours(len(classes))
    axes.imshow(item["image"].as_subclass(Tensor).permute(1, 2, 0).numpy(), extent=(0, size, size, 0))
    if "mask" in item:
        painted = veil(item["mask"].as_subclass(Tensor).numpy(), classes, hatched=True)
        axes.imshow(painted, extent=(0, size, size, 0))
    if "boxes" in item:
        found = list(zip(*(item[key].tolist() for key in ("boxes", "box_labels", "box_marks")), strict=True))
        for box, label, mark in found:
            outline(axes, box, tuple(colours[label]), "-" if mark == COUNTED else ":")
        for box, label, _ in found:  # over all boxes, and within the picture
            x, right = (box[2], True) if box[0] > 0.75 * size else (box[0], False)
            style = {"ha": "right" if right else "left", "va": "top" if box[1] < 0.08 * size else "bottom"}
            tag(axes, x, box[1], short(classes[label], 18), tuple(colours[label]), clip_on=True, **style)
    if "label" in item:
        axes.set_xlabel(label_text(item["label"], classes), fontsize=SMALL, color=INK, labelpad=2)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)


def label_text(label: int | Tensor, classes: Sequence[str]) -> str:
    """A class, or the classes that are mixed, (C,), with their shares."""
    if not isinstance(label, Tensor):
        return short(classes[label], LETTERS)
    shares = sorted(zip(label.tolist(), classes, strict=True), reverse=True)
    if shares[0][0] >= 0.995:
        return short(shares[0][1], LETTERS)
    return ", ".join(f"{short(name, 11)} {share:.0%}" for share, name in shares if share >= 0.005)


def _key(classes: tuple[str, ...], masks: bool) -> list[Artist]:
    colours = class_colours(len(classes))
    named = [
        Patch(color=tuple(colour), label=short(name, LETTERS))
        for name, colour in zip(classes, colours, strict=True)
        if not masks or name != BACKGROUND
    ]
    key: list[Artist] = [*named[:NAMED]]
    if len(named) > NAMED:
        key.append(Patch(facecolor="none", label=f"and {len(named) - NAMED} more"))
    if masks:
        key.append(Patch(facecolor="white", edgecolor="#404040", hatch="/////", linewidth=0, label="unknown"))
    return key
