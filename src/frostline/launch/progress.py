"""How far a planned run is, by its journal."""

import json
from collections.abc import Sequence
from typing import Any

from frostline.config.source import attribute, words
from frostline.launch.planned import Job
from frostline.loading.epochs import epochs_in
from frostline.runs.workplace import prepared
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import serving
from frostline.words import decimal


def epochs_of(job: Job) -> int:
    """How many the run has, by its budget; where that is stated in pictures, of the scenes that serve its task."""
    trainer = job.config["trainer"]
    if trainer["images"] is None:
        return int(trainer["epochs"])
    scenes = Dataset.open(job.runs / "data" / prepared(job.config)).scenes("train")
    needs = words(str(job.config["task"]["_target_"]), "needs")
    count = len(scenes) if needs is None else int(serving(scenes, needs).sum())
    return epochs_in(int(trainer["images"]), count, trainer["batch_size"])


def journal_of(job: Job) -> list[str]:
    """The lines of the epochs that are done; until the run begins, those of an unfinished one of its name."""
    try:
        text = job.journal.read_text(encoding="utf-8")
    except OSError:
        return []
    return text.split("\n")[:-1]  # what follows the last line break is a line half written


def told(job: Job, line: str, epochs: int) -> str:
    """An epoch, of so many, and its quality."""
    try:
        epoch: dict[str, Any] = json.loads(line)
        name = f"val_{attribute(job.config['task']['_target_'], 'primary')}"
        value = epoch.get(name)
        quality = "" if value is None else f", {name} {decimal(float(value))}"
        return f"epoch {int(epoch['epoch']) + 1} of {epochs}{quality}"
    except (ValueError, KeyError, TypeError):  # half written
        return "an epoch"


def seconds_left(lines: Sequence[str], since: float, epochs: int) -> float | None:
    """Seconds until the last epoch has ended, by those of the attempt that began then; None where it has none yet."""
    times = [time for time in map(_time, lines) if time is not None and time > since]
    if not times:
        return None
    each = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else times[0] - since
    return each * max(0, epochs - len(lines))


def _time(line: str) -> float | None:
    try:
        return float(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return None
