"""What decides about a result, and what does not."""

import subprocess
import sys

import pytest

from frostline.code import ACTIVATIONS, DATASET, PACKAGE, RESULTS, SQUARES, meaning

# What a run loads and what changes no figure of it.
INDIFFERENT = ("", "code", "config", "draw", "errors", "files", "parallel", "runs", "store", "tracking", "words")


def test_all_code_that_a_run_loads_makes_it_stale() -> None:
    """Catches a package that trains or measures, and whose change would leave old results standing."""
    shown = "import sys, frostline.runs.train; print(*(m for m in sys.modules if m.partition('.')[0] == 'frostline'))"
    loaded = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True).stdout.split()
    decisive = tuple(part.removesuffix(".py").replace("/", ".") for part in RESULTS)
    known = {name.partition(".")[2] for name in loaded}
    left = {name for name in known if not any(f"{name}.".startswith(f"{part}.") for part in decisive)}
    assert {name for name in left if name.partition(".")[0] not in INDIFFERENT} == set()


@pytest.mark.parametrize("parts", [DATASET, SQUARES, ACTIVATIONS, RESULTS])
def test_every_part_is_there(parts: tuple[str, ...]) -> None:
    assert [part for part in parts if not (PACKAGE / part).exists() and part != "runs/build.py"] == []


def test_comments_and_docstrings_mean_nothing() -> None:
    plain = "def f(x):\n    return x + 1\n"
    assert meaning('"""Of a module."""\n# a comment\ndef f(x):\n    """Of a function."""\n    return x+1\n') == meaning(
        plain
    )
    assert meaning(plain) != meaning(plain.replace("1", "2"))
