"""The folder that an evaluation is written to; known without torch, so that a wrong one is told at once."""

import re
from hashlib import sha256
from pathlib import Path

from frostline.files import check_replaceable
from frostline.runs.tested import PICTURES
from frostline.runs.workplace import RUNS
from frostline.scenes.dataset import Dataset

EVALUATION = "evaluation.json"
DRAWN = ("predictions.png", "errors.png", "confusion.png", "precision_recall.png")
OWN = (EVALUATION, PICTURES, *DRAWN)


def default_folder(model: str | Path, evaluated_on: Dataset, split: str, name: str) -> Path:
    """Where an evaluation is written by default; models of one name that lie in two places do not share it."""
    digest = sha256(f"{Path(model).absolute()}\n{evaluated_on.data_hash}".encode()).hexdigest()[:6]
    parts = [re.sub(r"[^\w.]+", "_", part) for part in (name, evaluated_on.name, split, digest)]
    return RUNS / "evaluated" / "-".join(parts)


def check_free(folder: Path) -> None:
    """Raise FrostlineError where something lies that is no evaluation."""
    check_replaceable(folder, OWN, EVALUATION, "evaluation")
