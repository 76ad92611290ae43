"""What decides about a result, and what does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from frostline.code import ACTIVATIONS, DATASET, PACKAGE, RESULTS, SQUARES, code_hash, meaning

# What a run loads and what changes no figure of it.
INDIFFERENT = (
    "",
    "code",
    "config",
    "draw",
    "environment",
    "errors",
    "files",
    "parallel",
    "runs",
    "store",
    "tracking",
    "words",
)
INDIFFERENT += ("scenes.faults",)  # of a scene that is prepared there are none

# What a change of each file makes anew: d datasets, s squares, a activations, r results. The most exact name counts.
DECIDES = {
    "": "",
    "checking": "d",
    "scenes/scene.py": "dar",
    "scenes/layout.py": "dar",
    "scenes/faults.py": "d",
    "scenes/splits.py": "d",
    "scenes/dataset.py": "ar",
    "scenes/needs.py": "ar",
    "pictures/reading.py": "dsar",
    "pictures/writing.py": "d",
    "pictures/fit.py": "sar",
    "pictures/kernels.py": "ar",
    "pictures/regions.py": "ar",
    "loading": "ar",
    "loading/decoded.py": "sar",
    "models": "ar",
    "freezing": "ar",
    "metrics": "r",
    "tasks": "r",
    "runs/train.py": "r",
}


def test_all_code_that_a_run_loads_makes_it_stale() -> None:
    """Catches a package that trains or measures, and whose change would leave old results standing."""
    shown = "import sys, frostline.runs.train; print(*(m for m in sys.modules if m.partition('.')[0] == 'frostline'))"
    loaded = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True).stdout.split()
    decisive = tuple(part.removesuffix(".py").replace("/", ".") for part in RESULTS)
    known = {name.partition(".")[2] for name in loaded}
    left = {name for name in known if not any(f"{name}.".startswith(f"{part}.") for part in decisive)}
    left -= {part.rpartition(".")[0] for part in decisive}  # the rooms of files that are named one by one
    assert {name for name in left if not {name, name.partition(".")[0]} & set(INDIFFERENT)} == set()


def test_what_a_change_of_each_file_makes_anew() -> None:
    """Catches a result that outlives a change, and one that a picture, a reader or a comment throws away."""
    sets = {"d": DATASET, "s": SQUARES, "a": ACTIVATIONS, "r": RESULTS}
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        names = [file.as_posix(), *(folder.as_posix().removeprefix(".") for folder in file.parents)]
        expected = DECIDES[next(name for name in names if name in DECIDES)]
        found = "".join(letter for letter, parts in sets.items() if set(names) & set(parts))
        assert file.name == "__init__.py" or found == expected, f"{file} decides '{found}', not '{expected}'"


def test_a_change_is_noticed_and_a_comment_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline.code.PACKAGE", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "one.py").write_text("x = 1\n")
    code_hash.cache_clear()
    before = code_hash("room")
    hashes = []
    for text in ("# why\nx = 1\n", "x = 2\n"):
        (tmp_path / "room" / "one.py").write_text(text)
        code_hash.cache_clear()
        hashes.append(code_hash("room"))
    code_hash.cache_clear()
    assert hashes[0] == before != hashes[1]


@pytest.mark.parametrize("parts", [DATASET, SQUARES, ACTIVATIONS, RESULTS])
def test_every_part_is_there(parts: tuple[str, ...]) -> None:
    assert [part for part in parts if not (PACKAGE / part).exists() and part != "runs/build.py"] == []


def test_comments_and_docstrings_mean_nothing() -> None:
    plain = "def f(x):\n    return x + 1\n"
    assert meaning('"""Of a module."""\n# a comment\ndef f(x):\n    """Of a function."""\n    return x+1\n') == meaning(
        plain
    )
    assert meaning(plain) != meaning(plain.replace("1", "2"))
