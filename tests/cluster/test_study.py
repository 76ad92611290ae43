"""A study of eight cells on two nodes, by a real SLURM and real DVC: one run killed, one node drained, nothing lost."""

import json
import os
import shutil
import subprocess

from helpers.slurm import trainers, wait

from frostline.studies.pipeline import write_pipeline


def dvc(folder, *command):
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(["dvc", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_missing_is_sent_again_and_dvc_has_nothing_to_train(place, root):
    study = place.study(8, 2)
    (place.folder / "src").symlink_to(root / "src")
    shutil.copytree(root / ".dvc", place.folder / ".dvc", ignore=lambda folder, names: {"cache", "tmp"} & {*names})
    subprocess.run(["git", "init", "-q"], check=True)
    pipeline = str(write_pipeline(study))
    shutil.rmtree("runs")
    dvc(place.folder, "repro", "-q", f"{pipeline}:prepare")
    runs = [f"classification-{seed}" for seed in range(8)]
    assert "8 runs sent as job array" in place.submit()

    wait(lambda: place.status()[runs[0]][0] == place.status()[runs[1]][0] == "running", 30)
    place.slurm.call("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
    wait(lambda: place.journal(runs[0]), 60, every=0.02)
    for process in trainers(runs[0]):
        process.kill()
    wait(lambda: place.status()[runs[0]][0] == "failed", 30)
    wait(lambda: place.status()[runs[1]][0] == "done", 60)  # what runs on a drained node goes on
    told = place.submit()
    assert "1 run sent as job array" in told and "6 queued or running, 1 finished ahead" in told
    assert sorted(element.index for element in place.queue() if element.waits)[0] == 0
    place.slurm.call("scontrol", "update", "nodename=n2", "state=resume")

    wait(lambda: {state for state, _ in place.status().values()} == {"done"}, 240, every=1)
    assert place.submit() == "mine: nothing to send (8 finished ahead).\n"
    work = {run: study.runs / "work" / run for run in runs}
    trained = {run: (folder / "results" / "result.json").read_bytes() for run, folder in work.items()}
    attempts = {run: json.loads((study.runs / "cells" / f"{run}.json").read_text())["attempts"] for run in runs}
    assert [len(attempts[run]) for run in runs] == [2, *[1] * 7]

    told = dvc(place.folder, "repro", f"{pipeline}:train")
    assert told.count("finished before") == 8
    assert {run: (study.runs / "results" / run / "result.json").read_bytes() for run in runs} == trained
    assert place.submit() == "mine: nothing to send (8 up to date).\n"
    assert set(place.status().values()) == {("done", "")}
    assert "didn't change" in dvc(place.folder, "repro", f"{pipeline}:train")
