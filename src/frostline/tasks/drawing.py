"""Predictions drawn over pictures: the truth in white, what was predicted in colour."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from frostline.data.drawing import class_colours, outline, tag
from frostline.data.regions import edges
from frostline.data.scenes import VOID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from frostline.tasks.base import Batch, Task

RIGHT, WRONG, FOUND = "#009e73", "#d55e00", "#e69f00"  # Okabe and Ito's colours, told apart by colour-blind eyes too


def prediction_sheet(task: "Task", batches: "list[Batch]", path: Path, columns: int = 6, rows: int = 2) -> None:
    """Write a PNG of a task's predictions for the first pictures of these batches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * 1.7, rows * 1.9), layout="constrained", dpi=110)
    grid = figure.subplots(rows, columns, squeeze=False)
    cells = iter(grid.flat)
    task.eval()
    with torch.no_grad():
        for batch in batches:
            predictions = task.postprocess(task(batch["image"].to(task.device)))
            for index, (picture, axes) in enumerate(zip(batch["image"], cells, strict=False)):
                axes.imshow(picture.permute(1, 2, 0).numpy())
                task.draw(axes, _on_cpu(predictions), batch, index)
    for axes in grid.flat:
        axes.set_axis_off()
    figure.savefig(path)


def caption(axes: "Axes", text: str, right: bool, truth: str) -> None:
    """Name what was predicted above a picture, and the truth where it was something else."""
    axes.set_title(text if right else f"{text}\nis {truth}", fontsize=7, color=RIGHT if right else WRONG)


def rectangle(axes: "Axes", box: Tensor, text: str = "", truth: bool = False) -> None:
    """A box, x0 y0 x1 y1 in pixels."""
    outline(axes, box.tolist(), "white" if truth else FOUND, "--" if truth else "-")
    if text:
        tag(axes, float(box[0]), float(box[1]), text, FOUND)


def overlay(axes: "Axes", found: Tensor, classes: int, truth: Tensor) -> None:
    """Class numbers (H, W) as a veil over the picture, and the outlines of the true areas in white."""
    axes.imshow(class_colours(classes)[found.numpy()], alpha=0.45)
    known = np.where(truth.numpy() == VOID, 0, truth.numpy())
    veil = np.zeros((*known.shape, 4))
    veil[edges(known)] = (1, 1, 1, 0.9)
    axes.imshow(veil)


def _on_cpu(predictions: Any) -> Any:
    if isinstance(predictions, Tensor):
        return predictions.cpu()
    if isinstance(predictions, dict):
        return {key: _on_cpu(value) for key, value in predictions.items()}
    return [_on_cpu(value) for value in predictions]
