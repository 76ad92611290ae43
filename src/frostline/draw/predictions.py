"""Predictions drawn over pictures, the truth in white and what was predicted in colour; and the worst, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from frostline.draw.colours import GREEN, ORANGE, PALE, QUIET, RED
from frostline.draw.legends import height_of, legend
from frostline.draw.marks import class_colours, outline, tag, veil
from frostline.draw.png import save
from frostline.draw.style import LEFT, headline, names_as_they_are, place
from frostline.metrics.detection import MATCH, matched
from frostline.metrics.localization import overlaps
from frostline.pictures.regions import edges
from frostline.predict.kinds import Classified, Detected, Floats, Located, Mask, Prediction, Segmented
from frostline.scenes.scene import BACKGROUND, COUNTED
from frostline.tasks.examples import LONGEST, Example
from frostline.tasks.truth import Truth
from frostline.words import short

NAMED = 6  # boxes of a picture that are named, wrong or surest ones first, so that names leave something to be seen
LIKELIEST = 4  # classes whose probability is shown
SMALL, DPI = 7, 110
RIGHT, WRONG, FOUND = GREEN, RED, ORANGE
HEATED = (  # where heat maps are shown as well
    "Scenes of another class than predicted; first those of whose class the model was least sure. Left the picture,\n"
    "then what in it speaks for the predicted class (Grad-CAM), right the likeliest classes, the true one in green."
)
COVER = 0.75  # of a heat map over a picture, where it is highest
HOW: dict[type[Prediction], str] = {  # which scenes have a mistake, which come first, and how their pictures are read
    Classified: "Scenes of another class than predicted; first those of whose class the model was least sure.\n"
    "Left the picture, right the likeliest classes with their probabilities, the true one in green.",
    Located: "Scenes of another class than predicted, which come first, or with an IoU below 0.5, the least first.\n"
    "Left the true box and class, right the predicted ones: green where they are right, orange where not.",
    Detected: "Those first with most boxes missed, plus the scores of wrong ones: at an IoU of 0.5, of scores from 0.3 "
    "up.\nLeft the true boxes, orange where missed; right the predicted ones, orange where wrong.",
    Segmented: "Those first with the least mean IoU over the classes that occur in truth or prediction; beside it the\n"
    "commonest mistake, as a share of the true class. Left the true classes, right the predicted ones.",
}


@names_as_they_are
def prediction_sheet(examples: Sequence[Example], path: Path, columns: int = 6) -> None:
    """Write a PNG of predictions, each over its picture with the truth."""
    rows, key = -(-len(examples) // columns), _key(examples)
    side, gap, above = 1.62, 0.08, 0.3  # inches; above: a caption
    width = columns * (side + gap) + gap
    height = rows * (above + side) + gap + height_of([key], width, SMALL)
    figure = Figure(figsize=(width, height), dpi=DPI)
    for index, example in enumerate(examples):
        row, column = divmod(index, columns)
        axes = place(figure, gap + column * (side + gap), above + row * (above + side), side)
        _show(axes, example)
        _draw(axes, example.prediction, example.truth)
    legend(figure, [key], SMALL)
    save(figure, path)


@names_as_they_are
def error_sheet(
    worst: Sequence[Example],
    mistaken: int,
    scenes: int,
    path: Path,
    where: str = "the test split",
    heats: Sequence[Floats] | None = None,
) -> None:
    """Write a PNG of the scenes that a task found worst when it was tested, each as annotated beside as predicted.

    mistaken: how many of the `scenes` that were tested have a mistake; where: these, in words. Where none has, it says
    so. heats: for each scene (h, w) in 0..1, what in the picture speaks for what was predicted.
    """
    columns, panels = (3, 2) if heats is None else (2, 3)
    rows, key = -(-len(worst) // columns), _key(worst)
    side, gap, margin, head, above, below = 1.72, 0.05, 0.28, 0.78, 0.26, 0.34  # inches
    wide = panels * side + (panels - 1) * gap + margin
    width = columns * wide - margin + 2 * LEFT
    height = head + rows * (above + side + below) + height_of([key], width, SMALL)
    figure = Figure(figsize=(width, height), dpi=DPI)
    of = f"{mistaken} of {scenes} scenes of {where}"
    title = f"The worst errors; {of} have one" if mistaken > len(worst) else f"All errors; {of} have one"
    how = "" if not worst else HOW[type(worst[0].prediction)] if heats is None else HEATED
    headline(figure, title if worst else f"No errors: {of} have one", how)
    for index, example in enumerate(worst):
        row, column = divmod(index, columns)
        left, top = LEFT + column * wide, head + row * (above + side + below) + above
        shown = [place(figure, left + panel * (side + gap), top, side) for panel in range(panels)]
        for axes in shown:
            _show(axes, example)
            axes.set_autoscale_on(False)
        if heats is not None:
            extent = (0, example.size[0], example.size[1], 0)
            shown[1].imshow(heats[index], cmap="inferno", vmin=0, vmax=1, alpha=COVER * heats[index], extent=extent)
        _draw_pair(shown[0], shown[-1], example.prediction, example.truth)
        x, words, name = left / width, short(example.words, 60), short(example.id, 60)
        figure.text(x, 1 - (top - 0.06) / height, words, fontsize=8, color=WRONG)
        figure.text(x, 1 - (top + side + 0.06) / height, name, fontsize=7, color=QUIET, va="top")
    legend(figure, [key], SMALL)
    save(figure, path)


def _draw(axes: Axes, found: Prediction, truth: Truth) -> None:
    """What was predicted for one picture, and the truth, over the picture that `axes` shows."""
    match found:
        case Located():
            for real in () if truth.boxes is None else truth.boxes[:1].tolist():
                outline(axes, real, "white", "--")
            outline(axes, found.box.tolist(), FOUND)
            _caption(axes, found.name, found, truth)
        case Classified():
            _caption(axes, f"{found.name} {float(found.probabilities[found.label]):.0%}", found, truth)
        case Detected():
            counted = [] if truth.marks is None else (truth.marks == COUNTED).tolist()
            for real, counts in zip([] if truth.boxes is None else truth.boxes.tolist(), counted, strict=True):
                outline(axes, real, "white", "--" if counts else ":")
            sure = found.sure()
            rows = zip(sure.boxes.tolist(), sure.scores.tolist(), sure.labels.tolist(), strict=True)
            for rank, (box, score, label) in enumerate(rows):
                outline(axes, box, FOUND)
                if rank < NAMED:
                    tag(axes, box[0], box[1], f"{found.classes[label]} {score:.0%}", FOUND)
        case Segmented():
            _veil(axes, found.mask, found.classes)
            if truth.mask is not None:
                _borders(axes, truth.mask)


def _draw_pair(left: Axes, right: Axes, found: Prediction, truth: Truth) -> None:
    """One scene side by side, as it is annotated and as it was predicted; both show its picture."""
    match found:
        case Located():
            for real in () if truth.boxes is None else truth.boxes[:1]:
                _judged(left, real, _named(found, truth), True)
                _judged(
                    right,
                    found.box,
                    "",
                    bool(overlaps(torch.from_numpy(found.box[None]), torch.from_numpy(real[None])) >= MATCH),
                )
            _judged(right, found.box, found.name, found.label == truth.label, outlined=False)
        case Classified():
            assert truth.label is not None
            _shares(right, found.probabilities, found.classes, truth.label)
        case Detected():
            _draw_judged(left, right, found.sure(), truth)
        case Segmented():
            if truth.mask is not None:
                _veil(left, truth.mask, found.classes)
            _veil(right, found.mask, found.classes)


def _draw_judged(left: Axes, right: Axes, found: Detected, truth: Truth) -> None:
    assert truth.boxes is not None and truth.labels is not None
    assert truth.marks is not None
    tensors = torch.from_numpy
    match = matched(
        {"boxes": tensors(found.boxes), "scores": tensors(found.scores), "labels": tensors(found.labels)},
        {"boxes": tensors(truth.boxes), "labels": tensors(truth.labels), "marks": tensors(truth.marks)},
    )
    true_names = [found.classes[label] for label in truth.labels.tolist()]
    rows = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    names = [f"{found.classes[label]} {score:.0%}" for label, score in rows]
    sides = (
        (left, truth.boxes, true_names, match.seen.numpy(), match.missed.numpy()),
        (right, found.boxes, names, match.right.numpy(), match.wrong.numpy()),
    )
    for axes, boxes, texts, good, bad in sides:
        # Right ones lie below, and of the wrong ones the surest are named; what does not count is dotted.
        for box in boxes[~good & ~bad].tolist():
            outline(axes, box, PALE, ":")
        judged = np.flatnonzero(good | bad)
        order = judged[good[judged].argsort(kind="stable")]
        for rank, row in reversed(list(enumerate(order.tolist()))):
            _judged(axes, boxes[row], texts[row] if rank < NAMED else "", bool(good[row]))


def _named(found: Classified, truth: Truth) -> str:
    return "" if truth.label is None else found.classes[truth.label]


def _show(axes: Axes, example: Example) -> None:
    """The picture, in coordinates of its own pixels."""
    width, height = example.size
    axes.imshow(example.picture, extent=(0, width, height, 0))


def _caption(axes: Axes, text: str, found: Classified, truth: Truth) -> None:
    """Name what was predicted above a picture, and the truth where it was something else."""
    right = found.label == truth.label
    text = text if right else f"{text}\nis {_named(found, truth)}"
    axes.set_title(text, fontsize=7, color=RIGHT if right else WRONG)


def _judged(axes: Axes, box: Floats, text: str, right: bool, outlined: bool = True) -> None:
    """A box, x0 y0 x1 y1 in pixels, and its name within its upper edge, in the colour of what is right or wrong."""
    colour = RIGHT if right else WRONG
    if outlined:
        outline(axes, box.tolist(), colour)
    if text:
        left, right_end, top, bottom = *axes.get_xlim(), *sorted(axes.get_ylim())
        x, y = float(box[0].clip(left, right_end)), float(box[1].clip(top, bottom))
        tag(axes, x, y, short(text, 24), colour, va="top", clip_on=True, fontsize=5.5)


def _shares(axes: Axes, probabilities: Floats, classes: Sequence[str], truth: int) -> None:
    """The likeliest classes as bars in place of the picture, the true one among them and in the colour of right.

    probabilities: (C,).
    """
    chosen = (-probabilities).argsort(kind="stable")[:LIKELIEST].tolist()
    if truth not in chosen:
        chosen[-1] = truth
    axes.clear()
    axes.set_aspect("auto")
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(LIKELIEST - 0.4, -0.6))
    for row, label in enumerate(chosen):
        share, colour = float(probabilities[label]), RIGHT if label == truth else WRONG if row == 0 else QUIET
        axes.barh(row + 0.12, 1, 0.24, color=PALE)
        axes.barh(row + 0.12, share, 0.24, color=colour)
        axes.text(0, row - 0.08, short(classes[label], 22), fontsize=7, color=colour, va="bottom")
        axes.text(1, row - 0.08, f"{share:.1%}", fontsize=7, color=colour, va="bottom", ha="right")


def _veil(axes: Axes, mask: Mask, classes: Sequence[str]) -> None:
    """Class numbers (H, W) in their colours over the picture."""
    numbers, extent = _thinned(mask)
    axes.imshow(veil(numbers, classes), extent=extent)


def _borders(axes: Axes, mask: Mask) -> None:
    """The outlines of the areas of class numbers (H, W), in white."""
    numbers, extent = _thinned(mask)
    lines = np.zeros((*numbers.shape, 4))
    lines[edges(numbers)] = (1, 1, 1, 0.9)
    axes.imshow(lines, extent=extent)


def _thinned(mask: Mask) -> tuple[Any, tuple[float, float, float, float]]:
    """Every n-th pixel, as many as can be seen, and where they lie in pixels of the picture."""
    height, width = mask.shape
    step = -(-max(height, width) // LONGEST)
    return mask[::step, ::step], (0, width, height, 0)


def _key(examples: Sequence[Example]) -> list[Patch]:
    """The classes in masks; the names of all else stand in the pictures."""
    seen: set[int] = set()
    classes: Sequence[str] = ()
    for example in examples:
        if isinstance(example.prediction, Segmented):
            classes = example.prediction.classes
            seen |= set(np.unique(example.prediction.mask).tolist()) | example.truth.classes_seen()
    colours = class_colours(len(classes))
    named = [label for label in sorted(seen) if classes[label] != BACKGROUND]
    return [Patch(color=tuple(colours[label]), label=short(classes[label], 16)) for label in named]
