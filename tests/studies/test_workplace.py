"""What decides about a run is the same for the workplace and for DVC, and leaves no code out."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from frostline.studies.workplace import DECISIVE

ROOT = Path(__file__).resolve().parents[2]
# What a run loads and what changes no figure of it. `annotate` and the rest of `studies` would be a mistake here.
INDIFFERENT = ("", "code_hash", "colours", "errors", "studies", "studies.provenance", "studies.workplace")


def test_all_code_that_a_run_loads_makes_it_stale() -> None:
    """Catches a package that trains or measures, and whose change would leave old results standing."""
    shown = "import sys, frostline.studies.run; print(*(m for m in sys.modules if m.partition('.')[0] == 'frostline'))"
    loaded = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True).stdout.split()
    decisive = tuple(part.removesuffix(".py").replace("/", ".") for part in DECISIVE)
    known = {name.partition(".")[2] for name in loaded} - set(INDIFFERENT)
    assert {name for name in known if not any(f"{name}.".startswith(f"{part}.") for part in decisive)} == set()


@pytest.mark.parametrize(
    "file", [ROOT / "dvc.yaml", *sorted(ROOT.glob("experiments/*/dvc.yaml"))], ids=lambda file: file.parent.name
)
def test_dvc_trains_again_for_the_same_code(file: Path) -> None:
    train = yaml.safe_load(file.read_text())["stages"]["train"]
    code = [dep.removeprefix("src/frostline/") for dep in train["deps"] if dep.startswith("src/")]
    assert code == list(DECISIVE)
