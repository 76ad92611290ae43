"""Pictures as people have them, by the command that they type: which are read, which are named, where each goes."""

import json
from collections import Counter

import pytest
from helpers.cases import case

from frostline.cli import main


@pytest.fixture
def doctor(tmp_path, capsys):
    """`frostline doctor` on a case: its exit status, what it found, and all that it printed."""

    def run(name, *overrides, layout="folder", under="."):
        root = case(name, tmp_path / "in") / under
        report = tmp_path / "report.json"
        status = main(["doctor", f"dataset={layout}", f"dataset.root={root}", *overrides, "--json", str(report)])
        said = capsys.readouterr()
        return status, json.loads(report.read_text()), said.out + said.err

    return run


def kinds(found):
    return dict(Counter(finding["kind"] for finding in found["findings"]))


def test_forty_classes_of_two(doctor):
    status, found, _ = doctor("many2")
    assert status == 0 and found["scenes"] == 80 and set(kinds(found)) == {"class_absent"}


def test_broken_training_pictures_are_named_and_not_the_split(doctor):
    status, found, _ = doctor("yolo_broken", layout="yolo")
    assert status == 1 and kinds(found)["picture_unreadable"] == 16 and kinds(found)["split_empty"] == 1
    assert [f["file"] for f in found["findings"] if f["kind"] == "split_empty"] == ["split train"]
