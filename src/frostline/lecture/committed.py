"""What committed studies found: figures that take hours of training, where a part of the lecture takes a minute."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from frostline.errors import FrostlineError

T = TypeVar("T")

STUDIES = Path(__file__).resolve().parents[3] / "experiments"  # a package without its repository has none


@dataclass(frozen=True)
class Found:
    """The primary metric of an arm on the test split: its mean over seeds, and the ends of its 95 % interval, None
    where there was one seed."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.1%}" if self.low is None else f"{self.mean:.1%} ({self.low:.1%} to {self.high:.1%})"


def committed(study: str, panel: str = "classification", folder: Path | None = None) -> dict[str, Found] | None:
    """What experiments/STUDY found in one of its panels (a task), by arm, such as `efficientnet_lite0 / thaw`.

    folder: where studies are. None where this one is not there or has no results: the text then goes without.
    Raises FrostlineError where its metrics.json is damaged.
    """

    def read(text: str) -> dict[str, Found]:
        return {arm: _found(told) for arm, told in json.loads(text)[panel].items()}

    return _read(study, "metrics.json", folder, read)


def committed_runs(study: str, folder: Path | None = None) -> list[dict[str, str]] | None:
    """The rows of its results.csv, a run each; for a study that has no metrics.json. Otherwise as `committed`."""
    return _read(study, "results.csv", folder, lambda text: list(csv.DictReader(text.splitlines(), strict=True)))


def _found(told: Mapping[str, Any]) -> Found:
    return Found(float(told["mean"]), *(float(told[end]) for end in ("low", "high") if "low" in told))


def _read(study: str, name: str, folder: Path | None, read: Callable[[str], T]) -> T | None:
    file = (STUDIES if folder is None else folder) / study / name
    if not file.is_file():
        return None
    try:
        return read(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise FrostlineError(f"{file} {why}: take it from the repository again (git checkout {file}).") from error
