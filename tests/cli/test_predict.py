"""`frostline predict`, as somebody gives it."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.models import untrained
from PIL import Image

from frostline.cli import main
from frostline.predict.heat import GAP

OLD = Path(__file__).parents[1] / "runs" / "old_run"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        shutil.copy(OLD / name, folder)
    return folder


def test_a_bad_picture_is_named_and_the_rest_is_delivered(pictures, tmp_path, capsys):
    """Catches one bad picture of a thousand that ends all, and a status that hides it."""
    (pictures / "notes.jpg").write_text("Dear diary")
    (pictures / "nothing.png").touch()
    out = tmp_path / "found.json"
    assert main(["predict", str(OLD / "detection"), str(pictures), "--format", "json", "--out", str(out)]) == 1
    told = {Path(one["picture"]).name: one for one in json.loads(out.read_text())}
    assert {name for name, one in told.items() if "error" in one} == {"notes.jpg", "nothing.png"}
    assert all(one["score"] >= 0.3 for one in told["one.png"]["objects"])
    said = capsys.readouterr().err
    assert "notes.jpg is no picture" in said and "nothing.png is empty" in said
    assert "2 of 4 pictures could not be read; the others are delivered" in said


def test_the_table_has_a_line_for_each_picture_with_its_classes_in_per_cent(pictures, capsys):
    assert main(["predict", str(OLD / "localization"), str(pictures), "--top", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{pictures}/one.png  dandelion 23.6%  sunflower 21.3%  box ") and "two.png" in second


def test_what_was_found_is_drawn_over_each_picture(pictures, tmp_path):
    out = tmp_path / "drawn"
    assert main(["predict", str(OLD / "detection"), str(pictures), "--draw", str(out), "--threshold", "0.4"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["one.jpg", "two.jpg"]
    with Image.open(out / "two.jpg") as drawn, Image.open(OLD / "two.png") as plain:
        assert drawn.size == plain.size and drawn.tobytes() != plain.tobytes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--threshold", "7"], "--threshold is 7.0; scores lie between 0 and 1"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--format", "masks", "--out", "x"], "--format masks is for segmentation, and this model is of detection"),
        (["--format", "yolo"], "give a folder with --out"),
        (["--out", "nowhere/x.json", "--format", "json"], "there is no folder nowhere"),
        (["--draw", "."], "--draw . is not empty"),
        (["--window", "3"], "A window of 3 px shows nothing"),
        (["--device", "abacus"], "There is no device 'abacus'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_predicted(pictures, more, words, capsys, monkeypatch):
    monkeypatch.chdir(pictures)
    assert main(["predict", str(OLD / "detection"), ".", *more]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and not said.out
    assert sorted(path.name for path in pictures.iterdir()) == ["one.png", "two.png"]


def test_what_is_no_model_is_told(tmp_path, capsys):
    assert main(["predict", str(tmp_path), "x.jpg"]) == 2
    assert "holds no finished run and no model" in capsys.readouterr().err


def test_what_a_class_was_decided_by_is_drawn_beside_each_picture(pictures, tmp_path, capsys):
    out = tmp_path / "why"
    model = untrained("classification", tmp_path / "mine")
    (pictures / "notes.jpg").write_text("Dear diary")
    assert main(["predict", str(model), str(pictures), "--explain", str(out)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2
    with Image.open(out / "one.jpg") as drawn, Image.open(OLD / "one.png") as plain:
        assert drawn.size == (2 * plain.width + GAP, plain.height)
    assert main(["predict", str(OLD / "detection"), str(pictures), "--explain", str(tmp_path / "x")]) == 2
    assert "what a classification was decided by" in capsys.readouterr().err


def test_a_run_becomes_the_folder_of_a_model(pictures, tmp_path, capsys):
    """Catches a folder that still needs its run, or says something else."""
    run = shutil.copytree(OLD / "detection", tmp_path / "run")
    out = tmp_path / "models" / "mine"
    assert main(["export", str(run), "--to", "folder"]) == 2
    assert main(["export", str(run), "--to", "folder", "--out", str(out)]) == 0
    assert main(["predict", str(run), str(pictures)]) == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    shutil.rmtree(run)
    assert main(["predict", str(out), str(pictures)]) == 0
    assert capsys.readouterr().out.splitlines() == [first, second]


def test_where_nothing_could_be_read_the_status_says_so(tmp_path, capsys):
    assert main(["predict", str(OLD / "detection"), str(tmp_path / "gone.jpg")]) == 2
    assert "no picture could be read" in capsys.readouterr().err


def test_a_second_path_is_not_taken_for_the_first(tmp_path, capsys):
    """Catches the last of several folders, measured alone."""
    for command in (["prepare"], ["doctor"], ["evaluate", str(OLD / "detection")]):
        assert main([*command, "one", "two"]) == 2
        assert "one and two: a dataset is one folder or file" in capsys.readouterr().err
