"""What a test said, in pictures: predictions, the worst errors, confusion, precision against recall."""

from collections.abc import Sequence
from pathlib import Path

from frostline.draw.curves import confused_picture, confusion_picture, precision_recall_picture
from frostline.draw.predictions import error_sheet, prediction_sheet
from frostline.errors import FrostlineError
from frostline.loading.batch import collate
from frostline.loading.items import SceneItems
from frostline.predict.kinds import Floats, Placement
from frostline.runs.explain import evidence, in_picture
from frostline.tasks.base import Task
from frostline.tasks.examples import Example, examples, spread

SHOWN, WORST = 12, 6  # scenes whose predictions are drawn
CELLS = 4  # a side of the last feature map; of fewer, a heat map shows no place


def draw_tested(
    task: Task, items: SceneItems, folder: Path, where: str = "the test split", explain: bool = True
) -> None:
    """Write into `folder` what can be drawn of a task's last test. items: those that were tested; where: in words.

    explain: show what speaks for a wrong class; needs a network that torch computes.
    """
    tested = task.tested
    prediction_sheet(examples(task, items, spread(SHOWN, len(items))), folder / "predictions.png")
    positions = [int(items.indices.searchsorted(index)) for index in tested.worst[:WORST]]
    worst = examples(task, items, positions)
    heats = _heats(task, items, positions, worst) if explain and worst and task.kind == "classification" else None
    error_sheet(worst, len(tested.worst), len(items), folder / "errors.png", where, heats)
    if tested.confusion is not None:
        confusion_picture(tested.confusion, task.classes, folder / "confusion.png")
    if tested.pairs is not None:
        confused_picture(tested.pairs, task.classes, folder / "confusion.png")
    if tested.curve is not None:
        average, of = task.curves
        areas = [tested.by_class[average][name] for name in task.classes]
        precision_recall_picture(tested.curve, areas, task.classes, of, folder / "precision_recall.png")


def _heats(task: Task, items: SceneItems, positions: Sequence[int], shown: Sequence[Example]) -> list[Floats] | None:
    """Heat maps of the scenes at these positions, as large as their pictures are shown; None where there are none."""
    if items.size < CELLS * max(task.model.backbone.strides, default=items.size):
        return None
    batch = collate([items.plain(position) for position in positions])
    try:
        _, heats = evidence(task, batch["image"])
    except FrostlineError:
        return None
    squares = zip(heats.numpy(), batch["place"], shown, strict=True)
    return [in_picture(heat, Placement(batch["size"], at, one.picture.shape[1::-1])) for heat, at, one in squares]
