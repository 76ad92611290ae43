"""A contact sheet of what training sees: scenes as they are, and their first augmented views beside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from frostline.draw.colours import INK, QUIET
from frostline.draw.marks import class_colours, names_as_they_are, outline, tag
from frostline.loading.items import SceneItems
from frostline.loading.module import SceneDataModule
from frostline.pictures.regions import edges
from frostline.scenes.scene import BACKGROUND, VOID

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE, GAP, CAPTION = 1.62, 0.07, 0.19  # inches: a picture, what is between two, and the line with a label below it
LEFT, TOP, BOTTOM = 0.28, 0.58, 0.32  # inches around them, for the scenes' names, the headings and the classes
NAMED = 12  # classes at the bottom at most


@names_as_they_are
def contact_sheet(data: SceneDataModule, scenes: int, views: int, title: str) -> "Figure":
    """A row for each of so many training scenes: the plain picture and then its views, those of the first epochs.

    The scenes are spread over the split. With boxes, masks (VOID is hatched) and labels, as far as the task has them.
    """
    items = data.items("train")
    views = min(views, data.views or views)  # there are no others
    positions = np.unique(np.linspace(0, len(items) - 1, min(scenes, len(items))).round().astype(int)).tolist()
    figure, grid = _grid(len(positions), 1 + views, CAPTION if "label" in data.needs else 0.0)
    colours = class_colours(len(data.classes))
    for row, position in zip(grid, positions, strict=True):
        row[0].set_ylabel(_short(items.scenes[position].id), fontsize=6, color=QUIET, labelpad=3)
        for number, axes in enumerate(row):
            item = items.plain(position) if number == 0 else items[position, number - 1]
            _draw(axes, item, items, data.classes, colours)
    for number, axes in enumerate(grid[0]):
        axes.set_title("as it is" if number == 0 else f"view {number}", fontsize=8, color=INK, pad=4)
    height = figure.get_figheight()
    figure.text(LEFT / figure.get_figwidth(), 1 - 0.2 / height, title, fontsize=10, color=INK, va="center")
    if data.needs != {"label"}:
        _name_classes(figure, data.classes, colours, "mask" in data.needs)
    return figure


def write(figure: "Figure", path: Path) -> None:
    """Into a PNG."""
    aside = path.with_name(f".{path.name}")
    figure.savefig(aside, format="png", dpi=130)
    aside.rename(path)


def _grid(rows: int, columns: int, caption: float) -> "tuple[Figure, list[list[Axes]]]":
    """Square cells of one size, whatever their number. caption: inches below each."""
    from matplotlib.figure import Figure

    width = LEFT + columns * (SIDE + GAP) + GAP + 0.08  # the plain pictures stand a little apart
    height = TOP + rows * (SIDE + caption + GAP) + BOTTOM
    figure = Figure(figsize=(width, height), facecolor="white")
    grid = []
    for row in range(rows):
        bottom = height - TOP - SIDE - row * (SIDE + caption + GAP)
        lefts = [LEFT + column * (SIDE + GAP) + (0.08 if column else 0) for column in range(columns)]
        grid.append([figure.add_axes((x / width, bottom / height, SIDE / width, SIDE / height)) for x in lefts])
    for axes in (axes for row in grid for axes in row):
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set_visible(False)
    return figure, grid


def _draw(
    axes: "Axes", item: dict[str, Any], items: SceneItems, classes: tuple[str, ...], colours: npt.NDArray[np.float64]
) -> None:
    size = items.size
    axes.imshow(item["image"].as_subclass(Tensor).permute(1, 2, 0).numpy(), extent=(0, size, size, 0))
    if "mask" in item:
        plain = classes.index(BACKGROUND) if BACKGROUND in classes else None
        axes.imshow(_veil(item["mask"].as_subclass(Tensor).numpy(), colours, plain), extent=(0, size, size, 0))
    if "boxes" in item:
        found = list(zip(item["boxes"].tolist(), item["box_labels"].tolist(), strict=True))
        for box, label in found:
            outline(axes, box, tuple(colours[label]))
        for box, label in found:  # over all boxes, and within the picture
            x, right = (box[2], True) if box[0] > 0.75 * size else (box[0], False)
            style = {"ha": "right" if right else "left", "va": "top" if box[1] < 0.08 * size else "bottom"}
            tag(axes, x, box[1], _short(classes[label], 18), tuple(colours[label]), clip_on=True, **style)
    if "label" in item:
        axes.set_xlabel(_label(item["label"], classes), fontsize=6.5, color=INK, labelpad=2)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)


def _label(label: int | Tensor, classes: tuple[str, ...]) -> str:
    """A class, or the classes that are mixed, with their shares."""
    if not isinstance(label, Tensor):
        return _short(classes[label])
    shares = sorted(zip(label.tolist(), classes, strict=True), reverse=True)
    if shares[0][0] >= 0.995:
        return _short(shares[0][1])
    return ", ".join(f"{_short(name, 11)} {share:.0%}" for share, name in shares if share >= 0.005)


def _veil(
    mask: npt.NDArray[np.uint8], colours: npt.NDArray[np.float64], plain: int | None = None
) -> npt.NDArray[np.float64]:
    """(H, W) class numbers -> (H, W, 4): classes but `plain` in colour, each with a firm edge, and VOID hatched."""
    veil = np.zeros((*mask.shape, 4))
    known = mask != VOID
    veil[known, :3] = colours[mask[known] % len(colours)]
    veil[known, 3] = 0.4
    veil[edges(mask) & known, 3] = 0.9
    if plain is not None:
        veil[mask == plain, 3] = 0
    y, x = np.indices(mask.shape)
    stripe = max(2, len(mask) // 40)
    veil[~known] = (1, 1, 1, 0.35)
    veil[~known & ((x + y) // stripe % 3 == 0)] = (0.25, 0.25, 0.25, 0.8)
    return veil


def _name_classes(figure: "Figure", classes: tuple[str, ...], colours: npt.NDArray[np.float64], masks: bool) -> None:
    from matplotlib.patches import Patch

    named = [
        Patch(color=tuple(colour), label=_short(name))
        for name, colour in zip(classes, colours, strict=True)
        if not masks or name != BACKGROUND
    ]
    handles = named[:NAMED]
    if len(named) > NAMED:
        handles.append(Patch(facecolor="none", label=f"and {len(named) - NAMED} more"))
    if masks:
        handles.append(Patch(facecolor="white", edgecolor="#404040", hatch="/////", linewidth=0, label="unknown"))
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), fontsize=6.5, frameon=False, labelcolor=INK,
        handlelength=1.0, handleheight=1.0, columnspacing=1.2, handletextpad=0.4, borderaxespad=0.3,
    )  # fmt: skip


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
