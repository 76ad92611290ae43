"""What `compare` leaves beside a study's question."""

import re
import shutil

import pytest
from helpers.study import made_run, write_study
from PIL import Image

from frostline.errors import FrostlineError
from frostline.report import pictures
from frostline.report.arms import panels_of
from frostline.report.compare import compare
from frostline.report.pictures import MAX_MONTAGE_BYTES, MAX_SHEET_BYTES, predictions, sheets
from frostline.report.table import read_csv, terminal_table

GRID = {"task": ["classification", "detection"], "schedule": ["thaw", "frozen"], "seed": [0]}


def runs(folder=None):
    """thaw is best in both tasks. folder: where each has a folder of its own."""
    return [
        made_run(task, schedule, 0, value, folder=folder and folder / f"{task}-{schedule}")
        for task in ("classification", "detection")
        for schedule, value in {"thaw": 0.9, "frozen": 0.7}.items()
    ]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of small pictures, and its function to compare."""
    monkeypatch.setattr(pictures, "DPI", 30)
    folder = write_study(tmp_path, GRID, runs())

    return folder, lambda: compare(folder, tmp_path / "runs/s")


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_comparison_writes_the_same_bytes_and_leaves_nothing_beside(study, capsys):
    folder, again = study
    again()
    shown = capsys.readouterr().out
    first = content(folder)
    assert set(first) == {
        *("study.yaml", "results.csv", "report.md", "report.html", "metrics.json"),
        # no speed: all arms are the same model
        *("plots/seconds.png", "plots/comparison.png", "plots/curves.png", "plots/cost.png"),
    }
    linked = re.findall(r"\]\((plots/[^)]*)\)", first["report.md"].decode())
    assert sorted(linked) == sorted(name for name in first if name.startswith("plots/"))
    assert shown.startswith(terminal_table(read_csv(folder / "results.csv"))) and "detection on meadow" in shown
    assert [line.split()[:4] for line in shown.splitlines() if "ten minutes" in line] == [
        ["ten", "minutes", "thaw", value] for value in ("0.9000", "0.9000")
    ]
    again()
    assert content(folder) == first


def test_a_planned_run_without_result_is_named_once_the_rest_is_written(study, tmp_path):
    folder, again = study
    gone = runs()[0].result.run
    shutil.rmtree(tmp_path / "runs/s/results" / gone)
    with pytest.raises(FrostlineError, match=rf"1 of 4 planned runs.*{gone};"):
        again()
    assert f"**missing**: `{gone}`" in (folder / "report.md").read_text()
    assert len((folder / "results.csv").read_text().splitlines()) == 1 + 3


def test_pictures_of_an_earlier_state_go(study, tmp_path):
    folder, again = study
    sheet = tmp_path / "runs/s/results" / runs()[0].result.run / "errors.png"
    Image.new("RGB", (90, 70), "blue").save(sheet)
    again()
    drawn = folder / "plots/errors-classification-meadow.png"
    assert drawn.is_file() and drawn.name in (folder / "report.md").read_text()
    sheet.unlink()
    again()
    assert not drawn.exists() and drawn.name not in (folder / "report.md").read_text()


def test_models_of_different_speed_are_set_against_what_they_cost(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "DPI", 30)
    made = [made_run(backbone=name) for name in ("wide", "narrow")]
    folder = write_study(tmp_path, {"backbone": ["wide", "narrow"]}, made)
    compare(folder, tmp_path / "runs/s")
    assert (folder / "plots/speed.png").is_file() and "(plots/speed.png)" in (folder / "report.md").read_text()


def colours_of(png, tmp_path):
    (tmp_path / "x.png").write_bytes(png)
    with Image.open(tmp_path / "x.png") as picture:
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def test_predictions_and_sheets_are_those_of_the_best_arm_and_small(tmp_path):
    made = runs(tmp_path)
    for run in made:
        run.folder.mkdir()
        for name in ("predictions", "errors"):
            if run.axes["schedule"] == "thaw":
                Image.effect_noise((600, 450), 90).save(run.folder / f"{name}.png")
            else:
                Image.new("RGB", (600, 450), "red").save(run.folder / f"{name}.png")
    panels = panels_of(made)
    montage, found = predictions(panels), sheets(panels)
    assert list(found) == ["errors-classification-meadow.png", "errors-detection-meadow.png"]
    assert len(montage) <= MAX_MONTAGE_BYTES and all(len(png) <= MAX_SHEET_BYTES for png in found.values())
    assert all((255, 0, 0) not in colours_of(png, tmp_path) for png in [montage, *found.values()])
    assert predictions(panels_of([made_run(folder=tmp_path / "none")])) is None


def test_the_table_as_it_stands_needs_results(tmp_path):
    with pytest.raises(FrostlineError, match=r"There is no .*results\.csv: run `frostline compare"):
        read_csv(tmp_path / "results.csv")
