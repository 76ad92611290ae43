"""What a test said, in pictures: predictions, the worst errors, confusion, precision against recall."""

from pathlib import Path

from frostline.draw.curves import confused_picture, confusion_picture, precision_recall_picture
from frostline.draw.predictions import error_sheet, prediction_sheet
from frostline.loading.items import SceneItems
from frostline.tasks.base import Task
from frostline.tasks.examples import examples, spread

SHOWN, WORST = 12, 6  # scenes whose predictions are drawn


def draw_tested(task: Task, items: SceneItems, folder: Path, where: str = "the test split") -> None:
    """Write into `folder` what can be drawn of a task's last test. items: those that were tested; where: in words."""
    tested = task.tested
    prediction_sheet(examples(task, items, spread(SHOWN, len(items))), folder / "predictions.png")
    worst = [int(items.indices.searchsorted(index)) for index in tested.worst[:WORST]]
    error_sheet(examples(task, items, worst), len(tested.worst), len(items), folder / "errors.png", where)
    if tested.confusion is not None:
        confusion_picture(tested.confusion, task.classes, folder / "confusion.png")
    if tested.pairs is not None:
        confused_picture(tested.pairs, task.classes, folder / "confusion.png")
    if tested.curve is not None:
        average, of = task.curves
        areas = [tested.by_class[average][name] for name in task.classes]
        precision_recall_picture(tested.curve, areas, task.classes, of, folder / "precision_recall.png")
