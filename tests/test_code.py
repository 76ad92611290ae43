"""What decides about a result, and what does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.code import ACTIVATIONS, DATASET, PACKAGE, RESULTS, SQUARES, code_hash, files_of, known, meaning
from frostline.studies.plan import CODE

# What a run loads and what changes no figure of it: whole rooms, and single modules.
INDIFFERENT = {"", "code", "config", "draw", "environment", "errors", "files", "parallel", "ranks", "store", "tracking"}
INDIFFERENT |= {"words"}
MODULES = {
    *("predict.drawn", "scenes.faults"),  # the one draws; of a scene that is prepared there are no faults
    *("runs", "runs.preflight", "runs.identity", "runs.catalogue", "runs.checkpoints", "runs.provenance"),
    *("runs.result", "runs.tested", "runs.timing", "runs.timm_names", "runs.together", "runs.told", "runs.train"),
    "runs.workplace",
}

# What a change of each file makes anew: d datasets, s squares, a activations, r results; and which stages of a pipeline
# are run again, besides: p prepare, which need not give another dataset, c compare. The most exact name counts.
DECIDES = {
    "": "",
    "checking": "dp",
    "scenes/scene.py": "darp",
    "scenes/layout.py": "darp",
    "scenes/listing.py": "darp",
    "scenes/columns.py": "darp",
    "scenes/faults.py": "dp",
    "scenes/splits.py": "dp",
    "scenes/dataset.py": "ar",
    "scenes/needs.py": "ar",
    "pictures/reading.py": "dsarp",
    "pictures/masks.py": "dsarp",
    "pictures/writing.py": "dp",
    "pictures/fit.py": "sar",
    "pictures/preprocessing.py": "sar",
    "pictures/stored.py": "sar",
    "pictures/kernels.py": "ar",
    "pictures/regions.py": "ar",
    "loading": "ar",
    "loading/decoded.py": "sar",
    "loading/encoded.py": "sar",
    "models": "ar",
    "models/heads": "r",
    "freezing": "r",
    "freezing/frosted.py": "ar",
    "freezing/below.py": "ar",
    "freezing/activations.py": "ar",
    "freezing/tables.py": "",
    "metrics": "r",
    "metrics/resampled.py": "c",
    "tasks": "r",
    "predict/kinds.py": "r",
    "predict/answers.py": "r",
    "predict/boxes.py": "r",
    "runs/build.py": "r",
    "runs/fit.py": "r",
    "runs/process.py": "r",
    "runs/sharded.py": "r",
    "shares.py": "r",
    "sources": "p",
    "parsing": "p",
    "meadow/version.py": "p",  # all that a dataset knows of the painter
    "report": "c",
    "draw": "c",
    "words.py": "c",
    "runs/result.py": "c",
    "studies/study.py": "c",
    "studies/axes.py": "c",
    "studies/stated.py": "c",
    "studies/vary.py": "c",
    "studies/seeds.py": "c",
    "studies/kept.py": "c",
    "statistics": "c",
}


def test_all_code_that_a_run_loads_makes_it_stale() -> None:
    """Catches a package that trains or measures, and whose change would leave old results standing."""
    shown = "import sys, frostline.runs.train; print(*(m for m in sys.modules if m.partition('.')[0] == 'frostline'))"
    loaded = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True).stdout.split()
    files = [file.relative_to(PACKAGE).with_suffix("") for file in files_of(*RESULTS)]
    decisive = {".".join(name.parts) for name in files} | {".".join(name.parent.parts) for name in files}
    left = {name.partition(".")[2] for name in loaded} - decisive
    assert {name for name in left - MODULES if name.partition(".")[0] not in INDIFFERENT} == set()


def test_what_a_change_of_each_file_makes_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a result that outlives a change, and one that a picture, a reader or a comment throws away."""
    copy = shutil.copytree(PACKAGE, tmp_path / "frostline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("frostline.code.PACKAGE", copy)
    monkeypatch.setattr("frostline.code.KNOWN", tmp_path / "known.json")
    sets = {"d": DATASET, "s": SQUARES, "a": ACTIVATIONS, "r": RESULTS, "p": CODE["prepare"], "c": CODE["compare"]}

    def hashes() -> dict[str, str]:
        code_hash.cache_clear()
        return {letter: code_hash(*parts) for letter, parts in sets.items()}

    before = hashes()
    files = {path.relative_to(copy): path for path in sorted(copy.rglob("*.py"))}
    for path in files.values():
        path.write_text("# a comment\n" + path.read_text() + "\n# and another\n")
    assert hashes() == before
    for file, path in files.items():
        text = path.read_text()
        path.write_text(text + "CHANGED = 1\n")
        after = hashes()
        path.write_text(text)
        names = [file.as_posix(), *(folder.as_posix().removeprefix(".") for folder in file.parents)]
        expected = DECIDES[next(name for name in names if name in DECIDES)]
        found = "".join(letter for letter in sets if after[letter] != before[letter])
        assert file.name == "__init__.py" or found == expected, f"{file} makes '{found}' anew, not '{expected}'"
    code_hash.cache_clear()


@pytest.mark.parametrize("parts", [DATASET, SQUARES, ACTIVATIONS, *CODE.values()])
def test_every_part_is_there(parts: tuple[str, ...]) -> None:
    assert [part for part in parts if not (PACKAGE / part.removeprefix("-")).exists()] == []


def test_comments_and_docstrings_mean_nothing() -> None:
    plain = "def f(x):\n    return x + 1\n"
    assert meaning('"""Of a module."""\n# a comment\ndef f(x):\n    """Of a function."""\n    return x+1\n') == meaning(
        plain
    )
    assert meaning(plain) != meaning(plain.replace("1", "2"))


def test_what_is_known_of_a_file_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a hash that is kept for a file that has changed, and one that is found anew in every process."""
    monkeypatch.setattr("frostline.code.PACKAGE", tmp_path)
    monkeypatch.setattr("frostline.code.KNOWN", tmp_path / "known.json")
    (tmp_path / "part.py").write_text("x = 1")

    def asked() -> str:
        code_hash.cache_clear()
        known.cache_clear()  # as in another process
        return code_hash("part.py")

    first = asked()
    read: list[str] = []
    monkeypatch.setattr("frostline.code.meaning", lambda source: read.append(source) or source)
    assert asked() == first and read == []
    (tmp_path / "part.py").write_text("x = 2")
    assert asked() != first and read == ["x = 2"]
    (tmp_path / "known.json").write_text("{")
    assert asked() != first and read == ["x = 2"] * 2
    code_hash.cache_clear()
    known.cache_clear()
