"""What a tracker is told of a comparison, and that one that is away costs nothing."""

import math
from pathlib import Path

import pytest
from helpers.study import made_run, write_study

from frostline.report import pictures
from frostline.report.compare import compare
from frostline.tracking.base import Tracker

GRID = {"task": ["classification", "detection"], "schedule": ["thaw", "frozen"], "seed": [0, 1]}
TOLD = []


class Noted(Tracker):
    def compared(self, study):
        TOLD.append((study, [path.exists() for path in study.files]))
        return "see there"


class Away(Tracker):
    def compared(self, study):
        raise ConnectionError("nobody\nanswers")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A function that compares a study whose runs have this tracker; returns its folder."""
    monkeypatch.setattr(pictures, "DPI", 30)
    kinds = {"Noted": Noted, "Away": Away}
    monkeypatch.setattr("frostline.report.tracked.build", lambda node: kinds[node["_target_"]]())
    means = {"thaw": 0.9, "frozen": 0.7}
    runs = [
        made_run(task, schedule, seed, mean + seed / 50, commit="abc")
        for task in GRID["task"]
        for schedule, mean in means.items()
        for seed in (0, 1)
    ]
    folder = write_study(tmp_path, GRID, runs)

    def run(tracker):
        TOLD.clear()
        for plan in tmp_path.glob("runs/s/plan/*.yaml"):
            plan.write_text(f"tracking:\n  _target_: {tracker}\n")
        compare(folder, tmp_path / "runs/s")
        return folder

    return run


def test_a_tracker_is_told_once_what_each_arm_found(study, capsys):
    folder = study("Noted")
    ((told, there),) = TOLD  # however many runs name it
    assert "see there" in capsys.readouterr().out and all(there)
    assert [Path(path).name for path in told.files] == ["report.md", "report.html", "results.csv", "plots"]
    assert told.name == folder.name and told.text.startswith("**Question.**") and "## " not in told.text
    assert [arm.name for arm in told.arms] == [
        f"{task}: {schedule}" for task in GRID["task"] for schedule in GRID["schedule"]
    ]
    first = told.arms[0]
    assert [(cell.name, cell.commit, cell.data_hash) for cell in first.cells] == [
        (f"classification-meadow-net-linear-thaw-{seed}", "abc", "d41d8") for seed in (0, 1)
    ]
    # of two seeds, 0.90 and 0.92: t(0.975, 1) = 12.706 times 0.01
    expected = {"test_accuracy": 0.91, "test_accuracy_low": 0.782938, "test_accuracy_high": 1.037062}
    assert {key: first.metrics[key] for key in expected} == pytest.approx(expected)
    assert first.metrics["test_accuracy_sd"] == pytest.approx(math.sqrt(2) / 100) and first.metrics["seeds"] == 2
    assert first.curves == {"val_accuracy": pytest.approx([0.91, 0.91])}
    tags = {"task": "classification", "dataset": "meadow", "backbone": "net", "head": "linear", "schedule": "thaw"}
    assert first.tags.items() >= tags.items()
    assert told.metrics["test_accuracy"] == pytest.approx(0.91) and told.metrics["test_map_high"] > 1


def test_a_tracker_that_is_away_is_one_line_and_all_is_delivered(study, capsys):
    folder = study("Away")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not told what this study found (nobody answers); the report stands" in said
    left = {path.name for path in folder.iterdir()}
    assert left >= {"report.md", "report.html", "results.csv", "metrics.json", "plots"}
