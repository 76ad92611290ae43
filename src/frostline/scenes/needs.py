"""What a task needs annotated, and which scenes have it."""

from collections.abc import Collection

from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS, Classes, Scene

NEEDS = ("label", "boxes", "mask")
_IN_WORDS = {"label": "labels", "boxes": "boxes", "mask": "masks"}


def one_box(needs: Collection[str]) -> bool:
    """Whether the task wants one class and one box per picture (localization): it needs both label and boxes."""
    return {"label", "boxes"} <= set(needs)


def class_names(classes: Classes, needs: Collection[str]) -> tuple[str, ...]:
    """Names of the classes a task with these needs tells apart, by number; FrostlineError where there are none."""
    names = classes.masks if "mask" in needs else classes.boxes if "boxes" in needs else classes.labels
    if names is None:
        raise FrostlineError(f"the dataset has no classes for {', '.join(_IN_WORDS[need] for need in needs)}.")
    return names


def has_box(scene: Scene) -> bool:
    return scene.boxes is not None and len(scene.boxes) > 0


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


def check_serves(dataset: Dataset, task: str, needs: Collection[str]) -> None:
    """Raise FrostlineError unless every split of the dataset has a scene with all annotations that the task needs."""
    if unknown := set(needs) - set(NEEDS):
        raise ValueError(f"unknown needs {sorted(unknown)}; known are {NEEDS}")
    classes = dataset.classes
    lacking = {split: [lacks(scene, needs, classes) for scene in dataset.scenes(split)] for split in SPLITS}
    if "boxes" in needs:  # scenes without one serve where others have some, and would measure nothing alone
        for split in SPLITS:
            if not any(map(has_box, dataset.scenes(split))):
                lacking[split] = ["boxes"]
    empty = [split for split in SPLITS if None not in lacking[split]]
    if not empty:
        return
    need = _IN_WORDS[next((need for need in lacking[empty[0]] if need is not None), "label")]
    where = "" if len(empty) == len(SPLITS) else f" in its split '{empty[0]}'"
    raise FrostlineError(
        f"dataset '{dataset.name}' has no {need}{where}, so it cannot serve {task}; "
        f"choose a dataset that has them{' there, or another split' if where else ''}, or another task."
    )
