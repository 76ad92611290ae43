"""Which pictures a report has."""

import re
from collections.abc import Mapping, Sequence

from PIL import Image

from frostline.draw.png import montage, png_of, small_png
from frostline.draw.style import chart
from frostline.report.arms import Arm, Panel
from frostline.report.charts import against, comparison
from frostline.report.learning import learning_curves
from frostline.report.looks import look_of
from frostline.report.timed import quality_against_seconds

DPI = 150
MONTAGE = 1000  # px, the width of the montage of predictions
MAX_MONTAGE_BYTES = 500_000
MAX_SHEET_BYTES = 300_000
SHEETS = ("confusion", "precision_recall", "errors")  # pictures that a run leaves, those of a task's best shown
APART = "apart"  # the kind of a sheet of pictures on which two arms differ


@chart
def draw(panels: Sequence[Panel], axes: Mapping[str, Sequence[str]]) -> dict[str, bytes | None]:
    """PNG files by name, in the order of a report; None for one that the results do not allow.

    axes: of the study. Names of sheets are `KIND-TASK-DATASET.png`, as `sheet_name` gives them.
    """
    look = look_of(panels, axes)
    speeds_differ = any({"backbone", "head", "image_size"} & set(panel.columns) for panel in panels)
    curves = learning_curves(panels, look)
    paid = quality_against_seconds(panels, look)
    return {
        "seconds.png": png_of(paid, DPI) if paid else None,
        "comparison.png": png_of(comparison(panels, look), DPI),
        "curves.png": png_of(curves, DPI) if curves else None,
        "cost.png": png_of(against(panels, look, "train_seconds"), DPI),
        "speed.png": png_of(against(panels, look, "predict_ms"), DPI) if speeds_differ else None,
        "predictions.png": predictions(panels),
        **sheets(panels),
    }


def predictions(panels: Sequence[Panel]) -> bytes | None:
    """One run's predictions.png of the arm with the highest mean, per task, one below the other; None without any."""
    shown = []
    for panel in panels:
        if panel.best and (picture := _of_a_run("predictions", panel.best)):
            shown.append((f"{panel.where}: {panel.best.name}", picture))
    return small_png(montage(shown, MONTAGE), MAX_MONTAGE_BYTES) if shown else None


def sheets(panels: Sequence[Panel]) -> dict[str, bytes | None]:
    """The SHEETS of one run of the arm with the highest mean, per task, as far as it has left them, small in bytes."""
    found: dict[str, bytes | None] = {}
    for panel in panels:
        for kind in SHEETS:
            if panel.best and (picture := _of_a_run(kind, panel.best)):
                found[sheet_name(kind, panel)] = small_png(picture, MAX_SHEET_BYTES)
    return found


def sheet_name(kind: str, panel: Panel) -> str:
    """The file of one of SHEETS, such as `errors-detection-pets.png`."""
    return "-".join([kind, panel.task, re.sub(r"[^\w.]+", "_", panel.dataset)]) + ".png"


def _of_a_run(name: str, arm: Arm) -> Image.Image | None:
    """This picture of the first run of an arm that has it."""
    for run in arm.runs:
        if (file := run.folder / f"{name}.png").is_file():
            with Image.open(file) as picture:
                return picture.convert("RGB")
    return None
