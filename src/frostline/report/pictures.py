"""Which pictures a report has."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from frostline.draw.png import montage, png_of, small_png
from frostline.draw.style import chart
from frostline.report.arms import Arm, Panel
from frostline.report.charts import comparison, cost, speed
from frostline.report.learning import learning_curves
from frostline.report.looks import look_of

DPI = 150
MONTAGE = 1000  # px, the width of the montage of predictions
MAX_MONTAGE_BYTES = 500_000
MAX_SHEET_BYTES = 300_000
SHEETS = ("confusion", "precision_recall", "errors")  # pictures that a run leaves, those of a task's best shown


@chart
def draw(panels: Sequence[Panel], axes: Mapping[str, Sequence[str]]) -> dict[str, bytes | None]:
    """PNG files by name, in the order of a report; None for one that the results do not allow.

    axes: of the study. Names of sheets are `KIND-TASK-DATASET.png`, as `sheet_name` gives them.
    """
    look = look_of(panels, axes)
    curves = learning_curves(panels, look)
    return {
        "comparison.png": png_of(comparison(panels, look), DPI),
        "curves.png": png_of(curves, DPI) if curves else None,
        "cost.png": png_of(cost(panels, look), DPI),
        "speed.png": png_of(speed(panels, look), DPI) if any(map(_models_differ, panels)) else None,
        "predictions.png": predictions(panels),
        **sheets(panels),
    }


def predictions(panels: Sequence[Panel]) -> bytes | None:
    """One run's predictions.png of the arm with the highest mean, per task, one below the other; None without any."""
    shown = []
    for panel in panels:
        if panel.best and (file := _of_a_run("predictions.png", panel.best)):
            with Image.open(file) as picture:
                shown.append((f"{panel.where}: {panel.best.name}", picture.convert("RGB")))
    return small_png(montage(shown, MONTAGE), MAX_MONTAGE_BYTES) if shown else None


def sheets(panels: Sequence[Panel]) -> dict[str, bytes | None]:
    """The SHEETS of one run of the arm with the highest mean, per task, as far as it has left them, small in bytes."""
    found: dict[str, bytes | None] = {}
    for panel in panels:
        for kind in SHEETS:
            if panel.best and (file := _of_a_run(f"{kind}.png", panel.best)):
                with Image.open(file) as picture:
                    found[sheet_name(kind, panel)] = small_png(picture.convert("RGB"), MAX_SHEET_BYTES)
    return found


def sheet_name(kind: str, panel: Panel) -> str:
    """The file of one of SHEETS, such as `errors-detection-pets.png`."""
    return "-".join([kind, panel.task, re.sub(r"[^\w.]+", "_", panel.dataset)]) + ".png"


def _models_differ(panel: Panel) -> bool:
    """Whether some arms may be quicker than others to predict a picture."""
    return bool({"backbone", "head", "image_size"} & set(panel.columns))


def _of_a_run(name: str, arm: Arm) -> Path | None:
    """This file of the first run of an arm that has it."""
    return next((file for run in arm.runs if (file := run.folder / name).is_file()), None)
