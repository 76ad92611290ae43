"""Predictions drawn over pictures, the truth in white and what was predicted in colour; and the worst, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from frostline.draw.colours import GREEN, ORANGE, PALE, QUIET, RED
from frostline.draw.marks import class_colours, names_as_they_are, outline, short, tag
from frostline.loading.batch import collate
from frostline.loading.items import SceneItems
from frostline.pictures.regions import edges
from frostline.scenes.scene import BACKGROUND, VOID

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from frostline.tasks.base import Task

KEY_COLUMNS = 9
QUICKLY = {"compress_level": 3}  # photographs take a quarter of a second less, and few more bytes
RIGHT, WRONG, FOUND = GREEN, RED, ORANGE


@names_as_they_are
def prediction_sheet(task: "Task", items: SceneItems, path: Path, columns: int = 6, rows: int = 2) -> None:
    """Write a PNG of a task's predictions for scenes spread evenly over these, the first and the last among them."""
    from matplotlib.figure import Figure

    # Scenes lie in the order of their ids, in which those of one class often follow one another.
    count = min(columns * rows, len(items))
    batch, _, predictions = _predicted(task, items, [k * (len(items) - 1) // max(count - 1, 1) for k in range(count)])
    key = task.key(predictions, batch)
    figure = Figure(figsize=(columns * 1.7, rows * 1.9 + _foot(key)), layout="constrained", dpi=110)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for index, axes in zip(range(count), grid, strict=False):
        axes.imshow(batch["image"][index].permute(1, 2, 0).numpy())
        task.draw(axes, predictions, batch, index)
    for axes in grid:
        axes.set_axis_off()
    if key:
        _colour_key(figure, key, loc="outside lower left")
    figure.savefig(path, pil_kwargs=QUICKLY)


@names_as_they_are
def error_sheet(task: "Task", items: SceneItems, path: Path, columns: int = 3, rows: int = 2) -> None:
    """Write a PNG of the scenes that a task found worst when it was tested, each as annotated beside as predicted.

    items: of the split that it was tested on. A task without a mistake says so.
    """
    from matplotlib.figure import Figure

    count, shown = len(task.worst), task.worst[: columns * rows]
    rows = -(-len(shown) // columns)
    key: dict[str, Any] = {}
    if shown:
        batch, outputs, predictions = _predicted(task, items, [items.indices.index(place) for place in shown])
        mistakes = task.mistakes(on_cpu(task.measured(outputs, batch)), batch)
        key = task.key(predictions, batch)
    # Placed by hand, in inches: all panels are squares, and matplotlib's own engines take a second for as many.
    side, gap, margin, head, above, below = 1.72, 0.05, 0.28, 0.78, 0.26, 0.34
    width = columns * (2 * side + gap) + (columns + 1) * margin
    height = head + rows * (above + side + below) + _foot(key)
    figure = Figure(figsize=(width, height), dpi=110)
    of = f"{count} of {len(items)} scenes of the test split"
    title = f"The worst errors; {of} have one" if count > len(shown) else f"All errors; {of} have one"
    title, how = (title, task.told) if shown else (f"No errors: {of} have one", "")
    figure.text(margin / width, 1 - 0.1 / height, title, fontsize=11, fontweight="bold", va="top")
    figure.text(margin / width, 1 - 0.32 / height, how, fontsize=8, color=QUIET, va="top", linespacing=1.25)
    for index in range(len(shown)):
        left = margin + index % columns * (2 * side + gap + margin)
        bottom = height - head - (index // columns + 1) * (above + side + below) + below
        pair = []
        for x in (left, left + side + gap):
            axes = figure.add_axes((x / width, bottom / height, side / width, side / height))
            axes.imshow(batch["image"][index].permute(1, 2, 0).numpy())
            axes.set_autoscale_on(False)
            axes.set_axis_off()
            pair.append(axes)
        task.draw_pair(pair[0], pair[1], predictions, batch, index)
        words, name = (short(text, 60) for text in (mistakes[index].words, batch["id"][index]))
        figure.text(left / width, (bottom + side + 0.06) / height, words, fontsize=8, color=WRONG)
        figure.text(left / width, (bottom - 0.06) / height, name, fontsize=7, color=QUIET, va="top")
    if key:
        _colour_key(figure, key, loc="lower left", bbox_to_anchor=(0.015, 0))
    figure.savefig(path, pil_kwargs=QUICKLY)


@torch.no_grad()
def _predicted(task: "Task", items: SceneItems, positions: Sequence[int]) -> tuple[dict[str, Any], Any, Any]:
    """The batch of these scenes, the outputs for it on the device of the task, and the predictions on the CPU."""
    batch = cast(dict[str, Any], collate([items.plain(position) for position in positions]))
    task.eval()
    outputs = task(batch["image"].to(task.device))
    return batch, outputs, on_cpu(task.postprocess(outputs))


def caption(axes: "Axes", text: str, right: bool, truth: str) -> None:
    """Name what was predicted above a picture, and the truth where it was something else."""
    axes.set_title(text if right else f"{text}\nis {truth}", fontsize=7, color=RIGHT if right else WRONG)


def rectangle(axes: "Axes", box: Tensor, text: str = "", truth: bool = False) -> None:
    """A box, x0 y0 x1 y1 in pixels."""
    outline(axes, box.tolist(), "white" if truth else FOUND, "--" if truth else "-")
    if text:
        tag(axes, float(box[0]), float(box[1]), text, FOUND)


def judged(axes: "Axes", box: Tensor, text: str, right: bool, outlined: bool = True) -> None:
    """A box, x0 y0 x1 y1 in pixels, and its name within its upper edge, in the colour of what is right or wrong."""
    colour = RIGHT if right else WRONG
    if outlined:
        outline(axes, box.tolist(), colour)
    if text:
        left, right_end, top, bottom = *axes.get_xlim(), *sorted(axes.get_ylim())
        x, y = float(box[0].clamp(left, right_end)), float(box[1].clamp(top, bottom))
        tag(axes, x, y, short(text, 24), colour, va="top", clip_on=True, fontsize=5.5)


def shares(axes: "Axes", probabilities: Tensor, classes: Sequence[str], truth: int, most: int = 4) -> None:
    """The likeliest classes as bars in place of the picture, the true one among them and in the colour of right.

    probabilities: (C,).
    """
    chosen = probabilities.argsort(descending=True)[:most].tolist()
    if truth not in chosen:
        chosen[-1] = truth
    axes.clear()
    axes.set_aspect("auto")
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(most - 0.4, -0.6))
    for row, label in enumerate(chosen):
        share, colour = float(probabilities[label]), RIGHT if label == truth else WRONG if row == 0 else QUIET
        axes.barh(row + 0.12, 1, 0.24, color=PALE)
        axes.barh(row + 0.12, share, 0.24, color=colour)
        axes.text(0, row - 0.08, short(classes[label], 22), fontsize=7, color=colour, va="bottom")
        axes.text(1, row - 0.08, f"{share:.1%}", fontsize=7, color=colour, va="bottom", ha="right")


def veil(axes: "Axes", mask: Tensor, classes: Sequence[str]) -> None:
    """Class numbers (H, W) in their colours over the picture, which stays as it is under BACKGROUND and VOID."""
    bare = [number for number, name in enumerate(classes) if name == BACKGROUND]
    known = ~np.isin(mask.numpy(), [VOID, *bare])
    painted = np.zeros((*known.shape, 4))
    painted[..., :3] = class_colours(len(classes))[np.where(known, mask.numpy(), 0)]
    painted[..., 3] = 0.65 * known
    axes.imshow(painted)


def borders(axes: "Axes", mask: Tensor) -> None:
    """The outlines of the areas of class numbers (H, W), in white."""
    lines = np.zeros((*mask.shape, 4))
    lines[edges(mask.numpy())] = (1, 1, 1, 0.9)
    axes.imshow(lines)


def _foot(key: dict[str, Any]) -> float:
    """The height that `_colour_key` needs, in inches."""
    return 0.12 + 0.17 * -(-len(key) // KEY_COLUMNS) if key else 0.0


def _colour_key(figure: "Figure", colours: dict[str, Any], **place: Any) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=short(name, 16)) for name, colour in colours.items()]
    figure.legend(handles=handles, ncols=KEY_COLUMNS, fontsize=7, frameon=False, **place)


def on_cpu(values: Any) -> Any:
    """Tensors within dicts, lists and tuples, on the CPU; all else as it is."""
    return move_data_to_device(values, torch.device("cpu"))
