"""What DVC's own commands show of a study that was compared, by real DVC on a made-up one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.study import made_run, write_run, write_study

from frostline.studies.pipeline import write_pipeline
from frostline.studies.study import read_study

ROOT = Path(__file__).resolve().parents[1]
GRID = {"task": ["classification"], "schedule": ["thaw", "full"], "seed": [0, 1]}


def made(better=0.0):
    return [
        made_run("classification", s, n, v + better + n / 50) for s, v in (("thaw", 0.8), ("full", 0.7)) for n in (0, 1)
    ]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository of git and DVC with a study whose runs are finished, and a function to call commands there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    study = read_study(write_study(tmp_path, GRID, made()))
    write_pipeline(study)
    (tmp_path / "runs/s/plan/code").mkdir()
    (tmp_path / "runs/s/plan/code/compare.txt").write_text("1\n")
    (tmp_path / "runs/s/data").mkdir()
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=lambda folder, names: {"cache", "tmp"} & {*names})
    shutil.copy(ROOT / ".gitignore", tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "GIT_CONFIG_GLOBAL": "/dev/null", "DVC_NO_ANALYTICS": "1"}

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit():
        run("git", "add", "-A")
        run("git", "-c", "user.name=x", "-c", "user.email=x@y.z", "commit", "-qm", "x")

    run("git", "init", "-q")
    return tmp_path, run, commit


def test_metrics_plots_and_experiments_show_means_and_pictures(checkout):
    folder, run, commit = checkout
    compare = ("dvc", "repro", "-q", "-s", "experiments/s/dvc.yaml:compare")
    run(*compare)
    commit()
    tracked = run("git", "ls-files", "experiments").split()
    assert "experiments/s/metrics.json" in tracked and "experiments/s/report.html" not in tracked
    assert run("git", "status", "--porcelain") == "" and (folder / "experiments/s/report.html").is_file()

    (folder / "runs/s/plan/code/compare.txt").write_text("2\n")
    for one in made(better=0.05):
        shutil.rmtree(folder / "runs/s/results" / one.result.run)
        write_run(folder, one)
    run(*compare)
    changed = json.loads(run("dvc", "metrics", "diff", "--json"))["experiments/s/metrics.json"]
    assert changed["classification.thaw.mean"] == {"old": 0.81, "new": 0.86, "diff": pytest.approx(0.05)}
    assert set(changed) == {f"classification.{s}.{f}" for s in ("thaw", "full") for f in ("mean", "low", "high")}

    run("dvc", "plots", "diff", "-q", "-o", "page")
    page = (folder / "page/index.html").read_text()
    assert "<script" not in page and "://" not in page  # it asks nobody for anything
    for name in ("comparison", "cost", "curves"):
        assert page.count(f"plots_{name}.png") == 2  # as it was, and as it is

    shown = json.loads(run("dvc", "exp", "show", "--json"))
    figures = shown[0]["data"]["metrics"]["experiments/s/metrics.json"]["data"]
    assert figures["classification"]["full"]["mean"] == 0.76
