"""The real pipeline, with real DVC, on a study small enough for a test: a copy of the checkout, a tiny grid."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
STUDY = """
question: does the pipeline hold together?
grid:
  task: [classification]
  backbone: [efficientnet_lite0]
  schedule: [frozen, full]
  seed: [0]
overrides:
  - dataset.source.train=20
  - dataset.source.val=10
  - dataset.source.test=10
  - dataset.source.size=64
  - image_size=64
  - trainer.epochs=1
  - trainer.batch_size=8
  - trainer.threads=1
  - tracking.system_metrics=false
"""
RESULTS = "runs/quickstart/results"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The tracked and new files of this checkout, with the tiny study, as a repository of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    (folder / "experiments/quickstart/study.yaml").write_text(STUDY)
    for study in ("pets", "detectors", "segmenters"):  # which DVC would read each time
        shutil.rmtree(folder / "experiments" / study)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def run(checkout, *command):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(checkout / "src")  # whose code a test may edit
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def finished(checkout):
    results = checkout.glob(f"{RESULTS}/*/result.json")
    return {path.parent.name: json.loads(path.read_text())["finished"] for path in results}


@pytest.mark.slow
def test_from_nothing_to_a_comparison_and_then_only_what_changed(checkout):
    # From nothing, as `make repro` does it: trained ahead in warm processes, taken over by DVC.
    run(checkout, "dvc", "repro", "-q", "prepare")
    run(checkout, "frostline", "train", "--study", "experiments/quickstart")
    assert not (checkout / RESULTS).exists()
    run(checkout, "dvc", "repro", "-q")
    first = finished(checkout)
    left = {path.name for path in checkout.glob("runs/quickstart/work/*")}
    assert len(first) == 2 and left == {  # of all runs on this machine, and none of one
        f".timing-{name}-{platform.node()}.lock" for name in ("gate", "busy")
    }
    table = pd.read_csv(checkout / "experiments/quickstart/results.csv")
    assert len(table) == 2 and set(table["schedule"]) == {"frozen", "full"} and table["test_accuracy"].notna().all()
    report = (checkout / "experiments/quickstart/report.md").read_text()
    assert "does the pipeline hold together?" in report

    # Nothing to do: nothing is trained, ahead or by DVC.
    run(checkout, "frostline", "train", "--study", "experiments/quickstart")
    assert "didn't change" in run(checkout, "dvc", "repro") and finished(checkout) == first

    # A file in conf/ that two runs read: exactly these are trained again, by DVC alone this time.
    full = checkout / "conf/schedule/full.yaml"
    full.write_text(full.read_text().replace("scale: 0.5", "scale: 0.25"))
    run(checkout, "dvc", "repro", "-q")
    second = finished(checkout)
    assert {name for name in first if first[name] != second[name]} == {name for name in first if "-full-" in name}

    # A file in conf/ that no run reads, and comments in code that decides: nothing is trained, and nothing compared.
    (checkout / "conf/schedule/mine.yaml").write_text("name: mine\nphases: [{line: head}]\n")
    base, words = checkout / "src/frostline/tasks/base.py", checkout / "src/frostline/words.py"
    for path in (base, words):
        path.write_text(path.read_text() + "\n# nothing\n")
    written = (checkout / "experiments/quickstart/report.md").stat().st_mtime_ns
    run(checkout, "dvc", "repro", "-q")
    assert finished(checkout) == second
    assert (checkout / "experiments/quickstart/report.md").stat().st_mtime_ns == written

    # Code that decides a result: every run would be trained again, on the same data.
    base.write_text(base.read_text() + "CHANGED = 1\n")
    run(checkout, "dvc", "repro", "-q", "plan")
    changed = json.loads(run(checkout, "dvc", "status", "--json", "dvc.yaml"))
    assert set(changed) == {f"train@{name}" for name in first}
    assert all(
        what == [{"changed deps": {"runs/quickstart/plan/code/train.txt": "modified"}}] for what in changed.values()
    )
    base.write_text(base.read_text().replace("CHANGED = 1\n", ""))
    run(checkout, "dvc", "repro", "-q", "plan")

    # A cell trained alone by DVC gives the figures that it gave ahead: the process that trained it does not matter.
    results = [json.loads(path.read_text()) for path in checkout.glob(f"{RESULTS}/*/result.json")]
    planned = {f"frostline train --plan runs/quickstart/plan/{r['run']}.yaml" for r in results}
    assert {r["command"] for r in results} == planned
    cell = "classification-efficientnet_lite0-frozen-0"
    before = json.loads((checkout / RESULTS / cell / "result.json").read_text())
    run(checkout, "dvc", "repro", "-q", "-f", "-s", f"train@{cell}")
    after = json.loads((checkout / RESULTS / cell / "result.json").read_text())
    assert after["finished"] != before["finished"] and after["metrics"] == before["metrics"]


@pytest.mark.slow
def test_an_added_seed_trains_its_own_cell_and_no_other(checkout):
    """Catches a pipeline of listed runs whose cells DVC takes for others than those of the grid."""
    study = checkout / "experiments/quickstart"
    (study / "study.yaml").write_text(STUDY)
    run(checkout, "frostline", "study", "check", "experiments/quickstart", "--write")
    run(checkout, "dvc", "repro", "-q")
    first = finished(checkout)
    (study / "study.yaml").write_text(STUDY + "looks: [3]\nseeds_for:\n  classification-efficientnet_lite0-full: [1]\n")
    run(checkout, "frostline", "study", "check", "experiments/quickstart", "--write")
    told = run(checkout, "frostline", "plan", "experiments/quickstart", "--dry-run")
    assert "1 of 3 runs to train" in told
    run(checkout, "dvc", "repro", "-q")
    second = finished(checkout)
    assert set(second) - set(first) == {"classification-efficientnet_lite0-full-1"}
    assert all(second[name] == when for name, when in first.items())


@pytest.mark.slow
def test_seeds_with_a_split_of_their_own_go_on_until_there_is_a_verdict(checkout):
    """With real DVC and real training: each seed has its own pictures, its arms share them, and none is made anew."""
    asked = STUDY.replace("seed: [0]", "seed: [0, 1]") + "  - dataset.split.given=false\n"
    (checkout / "experiments/split").mkdir()
    (checkout / "experiments/split/study.yaml").write_text(asked + "vary: [weights, order, split]\nlooks: [2, 3]\n")
    run(checkout, "frostline", "study", "check", "experiments/split", "--write")
    run(checkout, "make", "-n", "repro", "STUDY=split")
    run(checkout, "dvc", "repro", "-q", "experiments/split/dvc.yaml:prepare")
    run(checkout, "frostline", "train", "--study", "experiments/split")
    run(checkout, "dvc", "repro", "-q", "experiments/split/dvc.yaml")
    results = checkout / "runs/split/results"
    first = {path.parent.name: json.loads(path.read_text()) for path in results.glob("*/result.json")}
    assert len(first) == 4 and {result["names"]["dataset"] for result in first.values()} == {"meadow"}
    by_seed = {seed: {r["data_hash"] for r in first.values() if r["seed"] == seed} for seed in (0, 1)}
    assert len(by_seed[0]) == len(by_seed[1]) == 1 and by_seed[0] != by_seed[1]
    told = run(checkout, "frostline", "study", "seeds", "split", "--until", "verdict", "--budget", "2h")
    last = {path.parent.name: json.loads(path.read_text()) for path in results.glob("*/result.json")}
    assert {name: last[name] for name in first} == first
    assert len(last) == (6 if "Added 2 runs" in told else 4), told
    assert "no champion" in told or "is clear" in told, told
