"""Inputs of many kinds, drawn by a script beside the project, and what real tools export, where a machine has them."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parents[3] / "shared" / "cases"


def export(name: str) -> Path:
    """The folder of one tool's export, such as "globox/coco"; `truth.json` lies two folders above."""
    path = CASES / "exports" / name
    if not path.exists():
        pytest.skip("no exports of real tools beside the project (../shared/cases/exports)")
    return path


def case(name: str, folder: Path) -> Path:
    """One case, made in a folder; its README tells what must come of it."""
    script = CASES / "make_cases.py"
    if not script.exists():
        pytest.skip("no cases beside the project (../shared/cases)")
    subprocess.run([sys.executable, str(script), str(folder), name], check=True, capture_output=True)
    return folder / name
