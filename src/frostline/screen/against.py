"""A screen held against whole training: what a finished study says of the order that a screen finds."""

from pathlib import Path

from frostline.errors import FrostlineError
from frostline.screen.agreement import Agreement, Study, agreement, whole_of, write
from frostline.screen.screening import Asked, Screen
from frostline.studies.axes import text
from frostline.studies.study import read_study
from frostline.words import listed

# Of the study's overrides those that say which pictures are looked at; how long and how a head is trained is the
# screen's own.
SHARED = ("dataset", "image_size", "fit", "augment", "trainer.batch_size", "trainer.threads", "backbone.pretrained")


def asked_of(folder: Path, seeds: int, command: str) -> tuple[Asked, str]:
    """The screen of a study's pictures, tasks and backbones, and the schedule by which it trained these whole.

    Raises FrostlineError where the study has no such axes, several schedules to choose from, or no results.
    """
    study = read_study(folder)
    axis = "backbone" if "backbone" in study.grid else "backbone.name"
    if axis not in study.grid or "task" not in study.grid:
        raise FrostlineError(f"{folder}/study.yaml: the grid has no axis task or none backbone, so there is no order.")
    schedules = [text(value) for value in study.grid.get("schedule", [])]
    if len(schedules) != 1:
        raise FrostlineError(
            f"{folder}/study.yaml has {listed(schedules) or 'no schedule'} as its schedules; one is needed, such as "
            "schedule: [thaw]."
        )
    whole_of(folder / "results.csv", schedules[0])  # before anything is screened
    shared = [one for one in study.overrides if one.startswith(SHARED) and one != "backbone=timm"]
    names = [text(value) for value in study.grid[axis]]
    return Asked([text(value) for value in study.grid["task"]], names, shared, seeds, command), schedules[0]


def compared(folder: Path, found: Screen, schedule: str) -> tuple[Path, Study]:
    """How far the screen's orders, by its heads and by each estimate, are the study's; written beside the study.

    Raises FrostlineError where the study has no results.
    """
    whole = whole_of(folder / "results.csv", schedule)
    by: dict[str, Agreement] = {}
    probes = {task: {row.name: [*row.values.values()] for row in rows} for task, rows in found.looked.items()}
    by["probe"] = agreement(probes, whole)
    for name in sorted({name for rows in found.looked.values() for row in rows for name in row.estimates}):
        values = {
            task: {row.name: [row.estimates[name]] for row in rows if name in row.estimates}
            for task, rows in found.looked.items()
            if any(name in row.estimates for row in rows)
        }
        by[name] = agreement(values, whole)
    config = next(iter(found.configs.values()))
    rows = next(iter(found.looked.values()))
    study = Study(by, schedule, str(config["dataset"]["name"]), tuple(row.name for row in rows))
    return write(study, folder), study
