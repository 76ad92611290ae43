"""What is drawn on a picture before people see it, and which picture they see first."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from frostline.annotate.boxes import Box, Proposal, box_names
from frostline.errors import FrostlineError
from frostline.pictures.masks import read_mask
from frostline.pictures.reading import displayed_size
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import BACKGROUND, COUNTED, SPLITS, Classes, Scene

MASK = "mask"  # who proposes boxes around what a mask shows
SPECK = 0.01  # share of the largest region of its class below which a region of a mask is a speck, and gets no box

# From scenes to the boxes that a run proposes for each, and its uncertainty about it, 0..1.
Predict = Callable[[Sequence[Scene]], Sequence[tuple[tuple[Box, ...], float]]]


def propose(
    dataset: Dataset,
    splits: Sequence[str] = SPLITS,
    only_missing: bool = False,
    predict: Predict | None = None,
    run: str | None = None,
) -> list[Proposal]:
    """A proposal for each scene of these splits, the most uncertain first, then in the dataset's order.

    only_missing: leave out the scenes whose boxes are annotated. predict: of the trained run named `run`.
    The boxes are those annotated; where nobody did, those around what the mask shows (`mask_boxes`); where there is no
    mask either, or it shows no class of the boxes, those that the run predicts.
    Raises FrostlineError where the dataset holds its pictures elsewhere or smaller.
    """
    scenes = [scene for split in splits for scene in dataset.scenes(split)]
    scenes = [scene for scene in scenes if not (only_missing and scene.boxes is not None)]
    if any(scene.digest is not None or displayed_size(cast(Path, scene.image)) != scene.size for scene in scenes):
        raise FrostlineError(
            f"{dataset.path} does not hold its pictures as they are, and people need them: prepare it with "
            "dataset.store=copy."
        )
    found = {scene.id: _known(scene, dataset.classes) for scene in scenes}
    if predict is not None:
        open_ = [scene for scene in scenes if not found[scene.id].annotated and not found[scene.id].boxes]
        for scene, (boxes, uncertainty) in zip(open_, predict(open_), strict=True):
            found[scene.id] = replace(found[scene.id], boxes=boxes, by=run, uncertainty=uncertainty)
    return sorted(found.values(), key=lambda found: 1.0 if found.uncertainty is None else -found.uncertainty)


def _known(scene: Scene, classes: Classes) -> Proposal:
    """What is known of a scene without a run."""
    assert isinstance(scene.image, Path) and scene.size is not None  # as in every prepared dataset
    blank = Proposal(scene.id, scene.image.name, scene.size)
    if scene.boxes is not None and scene.box_labels is not None:
        names = classes.boxes or ()
        marks = [COUNTED] * len(scene.boxes) if scene.box_marks is None else scene.box_marks.tolist()
        rows = zip(scene.boxes.tolist(), scene.box_labels.tolist(), marks, strict=True)
        boxes = tuple(Box(names[label], tuple(box), mark=mark) for box, label, mark in rows)
        return replace(blank, boxes=boxes, annotated=True)
    if isinstance(scene.mask, Path) and (boxes := mask_boxes(read_mask(scene.mask), class_called(scene, classes))):
        return replace(blank, boxes=boxes, by=MASK)
    return blank


def class_called(scene: Scene, classes: Classes) -> dict[int, str]:
    """The class of the boxes around what a mask shows, by the number there; what boxes do not tell is not there.

    It is the mask's class of the same name. Where masks tell but one thing from the background, and boxes do not know
    it ("flower", and boxes of each kind of flower), it is called as the picture is labelled.
    """
    names = box_names(classes)
    shown = {number: name for number, name in enumerate(classes.masks or ()) if name != BACKGROUND}
    called = {number: name for number, name in shown.items() if name in names}
    if len(shown) == 1 and not called and classes.labels and scene.label is not None:
        label = classes.labels[scene.label]
        called = dict.fromkeys(shown, label) if label in names else {}
    return called


def mask_boxes(mask: np.ndarray, called: dict[int, str]) -> tuple[Box, ...]:
    """A box around each connected region of each class, specks aside, in the order of the classes.

    mask: (height, width) class numbers. called: names of the boxes' classes, by number. Pixels that touch at a corner
    are connected.
    """
    found = []
    for number, name in called.items():
        regions, _ = ndimage.label(mask == number, structure=np.ones((3, 3)))
        pixels = np.bincount(regions.ravel())[1:]
        for size, (rows, columns) in zip(pixels, ndimage.find_objects(regions), strict=True):
            if size >= SPECK * pixels.max():
                ends = float(columns.stop), float(rows.stop)
                found.append(Box(name, (float(columns.start), float(rows.start), *ends)))
    return tuple(found)
