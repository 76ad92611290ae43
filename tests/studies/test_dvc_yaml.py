"""A study's dvc.yaml fits its study.yaml, and DVC reads out of it the runs that are planned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.cli import main
from frostline.config import conf_dir
from frostline.errors import FrostlineError
from frostline.studies.pipeline import all_studies, difference, new_study, pipeline_of, write_pipeline
from frostline.studies.plan import write_plan
from frostline.studies.study import read_study


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty place to work in, with the configuration."""
    (tmp_path / "conf").symlink_to(conf_dir())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_study_of_the_project_has_the_pipeline_that_would_be_written(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert len(all_studies()) >= 4
    assert [difference(read_study(folder)) for folder in all_studies()] == [None] * len(all_studies())


def test_a_new_study_can_be_planned(checkout):
    study = new_study("mine")
    assert len(write_plan(study)) == 9
    for name, words in (("mine", "is there already"), ("a b", "cannot be a study's folder"), ("a/b", "is no name")):
        with pytest.raises(FrostlineError, match=words):
            new_study(name)
    assert not Path("experiments/a b").exists()


def test_the_cells_of_dvc_are_the_runs_whatever_the_values_are(checkout):
    """Catches values that DVC's YAML or its naming of cells makes into others: 010, 1e-3, null, true, slashes."""
    study = new_study("mine")
    grid = {
        "task": ["classification"],
        "image_size": [96],
        "optimizer.lr": [0.001, 1e-05, 1e16],
        "augment.views": [None, 4],
        "cache.enabled": [True, False],
        "schedule.name": ["010", "on", "2024-01-01", "a b/c'\"$(d)${e};é"],
        "seed": [0, 10],
    }
    (study.folder / "study.yaml").write_text(
        f"grid: {json.dumps(grid)}".replace("0.001", "1e-3").replace("10]", "010]")
    )
    study = read_study(study.folder)
    write_pipeline(study)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for command in (["init", "--no-scm", "-q"], ["stage", "list", "--name-only", str(pipeline_of(study))]):
        done = subprocess.run([sys.executable, "-m", "dvc", *command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    cells = [line.partition("@")[2] for line in done.stdout.splitlines() if "train@" in line]
    assert cells == list(study.cells()) and len(cells) == 3 * 2 * 2 * 4 * 2
    assert cells[0] == "classification-96-0.001-null-true-010-0"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("dvc.yaml", "      seed: ${grid.seed}\n", "", "line 36 is 'wdir: ../..' where 'seed: .* has to stand"),
        (
            "dvc.yaml",
            "    cmd: frostline plan experiments/mine\n",
            "",
            "where 'cmd: frostline plan experiments/mine' has",
        ),
        ("study.yaml", "dataset=meadow", "dataset=folder\n  - dataset.root=pic", "where '- \"pic\"' has to stand"),
        (
            "study.yaml",
            "  task: [cl",
            "  trainer.epochs: [3, 4]\n  task: [cl",
            r"where 'trainer.epochs: .\"3\", \"4\".' has",
        ),
    ],
)
def test_a_pipeline_that_does_not_fit_is_told_and_written_anew(checkout, capsys, file, old, new, words):
    new_study("other")
    study = new_study("mine")
    edit(study.folder / file, old, new)
    assert main(["study", "check"]) == 1
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and told.startswith("experiments/mine/dvc.yaml does not fit study.yaml")
    with pytest.raises(FrostlineError, match=words):
        write_plan(read_study(study.folder))
    assert main(["study", "check", "--write"]) == 0 and capsys.readouterr().out == "experiments/mine/dvc.yaml\n"
    assert main(["study", "check"]) == 0 and capsys.readouterr().out == ""


def test_values_and_comments_can_be_changed_without_writing_the_pipeline_anew(checkout):
    study = new_study("mine")
    edit(study.folder / "study.yaml", "seed: [0, 1, 2]", "seed: [0, 1, 2, 3]")
    edit(study.folder / "dvc.yaml", "stages:", "# of mine\nstages:")
    assert difference(read_study(study.folder)) is None


def test_a_folder_that_was_renamed_says_so(checkout):
    new_study("old").folder.rename("experiments/new")
    with pytest.raises(FrostlineError, match="new/dvc.yaml is the pipeline of 'experiments/old', so this folder was"):
        write_plan(read_study(Path("experiments/new")))


def test_a_missing_pipeline_is_told_and_another_projects_is_not_replaced(checkout):
    study = new_study("quickstart")  # whose pipeline is the checkout's own
    assert pipeline_of(study) == Path("dvc.yaml") and pipeline_of(study).is_file()
    pipeline_of(study).unlink()
    assert "experiments/quickstart has no dvc.yaml" in difference(study)
    assert len(write_plan(study)) == 9  # it can be planned without
    pipeline_of(study).write_text("stages: {mine: {cmd: make}}\n")
    with pytest.raises(FrostlineError, match="dvc.yaml is no study's pipeline: move it away first"):
        write_pipeline(study)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("seed: [0, 1, 2]", "seed: [0, 1, 2]\n  image_siz: [64, 96]", "image_siz"), ("frozen", "frozn", "frozn")],
)
def test_no_pipeline_is_written_for_a_study_that_cannot_be_planned(checkout, capsys, old, new, words):
    study = new_study("mine")
    before = pipeline_of(study).read_text()
    edit(study.folder / "study.yaml", old, new)
    for command in (["study", "check"], ["study", "check", "--write"]):
        assert main(command) == 2 and words in capsys.readouterr().err
    assert pipeline_of(study).read_text() == before
