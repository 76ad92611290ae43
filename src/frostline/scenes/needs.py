"""What a task needs annotated, and which scenes have it."""

from collections.abc import Collection

import numpy as np

from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.scenes.listing import Scenes
from frostline.scenes.scene import SPLITS, Classes, Scene

NEEDS = ("label", "boxes", "mask")
IN_WORDS = {"label": "labels", "boxes": "boxes", "mask": "masks"}


def one_box(needs: Collection[str]) -> bool:
    """Whether the task wants one class and one box per picture (localization): it needs both label and boxes."""
    return {"label", "boxes"} <= set(needs)


def class_names(classes: Classes, needs: Collection[str]) -> tuple[str, ...]:
    """Names of the classes a task with these needs tells apart, by number; FrostlineError where there are none."""
    names = classes.masks if "mask" in needs else classes.boxes if "boxes" in needs else classes.labels
    if names is None:
        raise FrostlineError(f"the dataset has no classes for {', '.join(IN_WORDS[need] for need in needs)}.")
    return names


def has_box(scene: Scene) -> bool:
    """Whether it has one that counts."""
    return bool(scene.counted.any())


def lacks(scene: Scene, needs: Collection[str], classes: Classes) -> str | None:
    """The first need that the scene does not meet, or None.

    Where one box is wanted, its class is the label. A scene without a box still tells a class, if its label is one of
    the same classes: those of `classes.labels` and `classes.boxes` are the same then.
    """
    if one_box(needs):
        tells_class = scene.label is not None and classes.labels == classes.boxes
        return None if has_box(scene) or tells_class else "boxes"
    present = {"label": scene.label, "boxes": scene.boxes, "mask": scene.mask}
    return next((need for need in NEEDS if need in needs and present[need] is None), None)


def serving(scenes: Scenes, needs: Collection[str]) -> np.ndarray:
    """Where `lacks` says None, (n,) bool, of all scenes of a split at once."""
    if one_box(needs):
        tells_class = scenes.classes.labels == scenes.classes.boxes
        return (scenes.counted_boxes > 0) | (tells_class & (scenes.labels >= 0))
    present = {"label": scenes.labels >= 0, "boxes": scenes.boxes_annotated, "mask": scenes.masks_annotated}
    met: np.ndarray = np.all([present[need] for need in needs], axis=0)
    return met


def check_serves(dataset: Dataset, task: str, needs: Collection[str]) -> None:
    """Raise FrostlineError unless every split of the dataset has a scene with all annotations that the task needs."""
    if unknown := set(needs) - set(NEEDS):
        raise ValueError(f"unknown needs {sorted(unknown)}; known are {NEEDS}")
    lacking: dict[str, str] = {}
    for split in SPLITS:
        scenes = dataset.scenes(split)
        if "boxes" in needs and not (scenes.counted_boxes > 0).any():
            lacking[split] = "boxes"  # scenes without one serve where others have some, and would measure nothing alone
        elif not serving(scenes, needs).any():
            lacking[split] = (lacks(scenes[0], needs, dataset.classes) if len(scenes) else None) or "label"
    if not lacking:
        return
    first, need = next(iter(lacking.items()))
    need = IN_WORDS[need]
    where = "" if len(lacking) == len(SPLITS) else f" in its split '{first}'"
    raise FrostlineError(
        f"dataset '{dataset.name}' has no {need}{where}, so it cannot serve {task}; "
        f"choose a dataset that has them{' there, or another split' if where else ''}, or another task."
    )
