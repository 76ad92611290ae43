"""What a real SLURM does to runs that it trains: it stops them, takes their processes away, and lets them fail."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import torch
from helpers.slurm import trainers, wait
from safetensors.torch import load_file

EPOCHS = 12
SECRET = "planted-7f3a9c"
# As a shell has it that is itself within a job, or within a run of several processes.
FOREIGN = {
    **{"MASTER_ADDR": "10.9.8.7", "MASTER_PORT": "15001", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3"},
    **{"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_JOB_ID": "77", "SLURM_NNODES": "2", "SLURM_MEM_PER_CPU": "1"},
    **{"OMP_NUM_THREADS": "7", "MLFLOW_TRACKING_PASSWORD": SECRET},
}


def attempts(study, run):
    return json.loads((study.runs / "cells" / f"{run}.json").read_text())["attempts"]


def state(place, run):
    return place.status()[run][0]


def paused(place, run):
    """The process that trains a run, once that has two epochs: stopped, until it is resumed."""
    wait(lambda: len(place.journal(run)) >= 2, 180, every=0.05)
    main = min(trainers(run), key=lambda process: process.create_time())
    main.suspend()
    return main


def finished(study, run):
    return study.runs / "work" / run / "results"


def uninterrupted(place, tmp_path, *runs):
    """The results of the same runs, trained by the command itself, without a cluster."""
    shutil.copytree(place.folder / "runs/mine/plan", tmp_path / "runs/mine/plan")
    shutil.copytree(place.folder / "runs/mine/data", tmp_path / "runs/mine/data")
    command = [sys.executable, "-m", "frostline", "train", "--plan"]
    started = [
        subprocess.Popen([*command, f"runs/mine/plan/{run}.yaml"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for run in runs
    ]
    assert [process.wait(300) for process in started] == [0] * len(runs)
    return {run: tmp_path / "runs/mine/results" / run for run in runs}


def check_same(found, expected):
    """The weights bit for bit, and a journal without a gap or an epoch twice."""
    ours, theirs = load_file(found / "model.safetensors"), load_file(expected / "model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    lines = [json.loads(line) for line in (found / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(len(lines)))
    mine, other = (json.loads((folder / "result.json").read_text()) for folder in (found, expected))
    assert mine["metrics"] == other["metrics"] and mine["best_epoch"] == other["best_epoch"]


def test_stopped_by_a_time_limit_and_by_sigterm_runs_go_on_and_end_the_same(place, tmp_path):
    """One run meets its time limit, the other is told SIGTERM as by a pre-emption; both load by a worker process.

    Catches the weights of another element, a second id, a worker that ends the run, and what a shell leaves behind.
    """
    study = place.study(2, EPOCHS, "trainer.workers=1")
    first, second = "classification-0", "classification-1"
    place.submit("launcher.time=10", "launcher.signal=60", **FOREIGN)
    mains = {run: paused(place, run) for run in (first, second)}
    jobs = {run: attempts(study, run)[-1]["job"] for run in (first, second)}

    processes = trainers(second)
    assert len(processes) >= 2, "no worker"
    environment = min(processes, key=lambda process: process.create_time()).environ()
    assert not {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_MEM_PER_CPU"} & {*environment}
    assert (environment["SLURM_NTASKS"], environment["SLURM_PROCID"]) == ("1", "0")
    assert environment["OMP_NUM_THREADS"] == "1" and environment["MLFLOW_TRACKING_PASSWORD"] == SECRET
    ids = {run: (study.runs / "work" / run / "id").read_text() for run in (first, second)}

    place.slurm.call("scancel", "--signal=TERM", jobs[second])  # every process of the step, as at a pre-emption
    mains[second].resume()
    wait(lambda: attempts(study, second)[-1]["outcome"] == "waiting", 60)
    assert attempts(study, second)[-1]["exit"] == 143
    assert 2 <= len(place.journal(second)) < EPOCHS

    # Its time is over within a minute; the queue looks every half a minute.
    elapsed = time.time() - attempts(study, first)[-1]["started"]
    place.slurm.call("scontrol", "update", f"JobId={jobs[first]}", f"TimeLimit={int(elapsed + 20) // 60 + 1}")
    wait(lambda: attempts(study, first)[-1]["reason"].startswith("told to stop before its time limit"), 90)
    mains[first].resume()
    wait(lambda: attempts(study, first)[-1]["outcome"] == "waiting", 60)
    assert attempts(study, first)[-1]["reason"] == "stopped before its time limit"
    # Which it refuses as long as the first attempt is being cleared away.
    longer = ("scontrol", "update", f"JobId={jobs[first]}", "TimeLimit=10")
    wait(lambda: place.slurm.works(*longer), 60)

    wait(lambda: all(attempts(study, run)[-1]["outcome"] == "done" for run in mains), 300)
    wait(lambda: not any(trainers(run) for run in mains), 10)
    expected = uninterrupted(place, tmp_path / "alone", first, second)
    for run in (first, second):
        told = attempts(study, run)
        assert [each["outcome"] for each in told] == ["waiting", "done"]
        result = json.loads((finished(study, run) / "result.json").read_text())
        assert result["id"] == ids[run]
        check_same(finished(study, run), expected[run])
    written = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in written)


@pytest.mark.parametrize("how", ["its node goes down", "others come first"])
def test_what_the_cluster_takes_away_it_begins_again_by_itself(place, tmp_path, how):
    study, run = place.study(1, EPOCHS), "classification-0"
    place.submit()
    main = paused(place, run)
    job = attempts(study, run)[-1]["job"]
    with ExitStack() as stack:
        if how == "its node goes down":
            stack.enter_context(place.slurm.without("n1"))
        else:
            place.slurm.call("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1")
            wait(lambda: attempts(study, run)[-1]["reason"].startswith("told to stop"), 60)
            with suppress(psutil.Error):  # SLURM resumes what it stops
                main.resume()
        wait(lambda: attempts(study, run)[-1]["outcome"] == "done", 240)
    assert [each["job"] for each in attempts(study, run)] == [job, job]
    check_same(finished(study, run), uninterrupted(place, tmp_path / "alone", run)[run])


def test_what_ends_otherwise_is_told_with_its_reason(place):
    """A run that cannot begin, one that is killed, and one whose job is killed with all that would tell of it."""
    study = place.study(3, 500)
    damaged, killed, gone = (f"classification-{seed}" for seed in range(3))
    plan = study.runs / "plan" / f"{damaged}.yaml"
    plan.write_text(plan.read_text().replace("accelerator: cpu", "accelerator: gpu"))
    place.submit()
    wait(lambda: state(place, damaged) == "failed", 40)
    told = place.status()[damaged][1]
    assert "exit 2: trainer.accelerator is 'gpu', and this machine has none: set it to cpu or auto." in told

    wait(lambda: place.journal(killed) and place.journal(gone), 180)
    running = place.status()[killed]
    assert running[0] == "running" and "of 500, val_accuracy" in running[1] and "left" in running[1]
    for process in trainers(killed):
        process.kill()
    wait(lambda: state(place, killed) == "failed", 30)
    assert "exit 137: its process was killed (-9)" in place.status()[killed][1]

    element = psutil.Process(attempts(study, gone)[-1]["pid"])
    for process in [element, *element.children(recursive=True), *trainers(gone)]:
        with suppress(psutil.Error):
            process.kill()
    wait(lambda: state(place, gone) == "failed", 60)
    assert "gone without a word (kill -9, or its node went down)" in place.status()[gone][1]
    assert attempts(study, gone)[-1]["outcome"] is None
    assert place.call("status", "mine").returncode == 1


def test_a_run_that_trains_no_epoch_in_its_time_is_not_begun_for_ever(place):
    study, run = place.study(1, 500), "classification-0"
    place.submit("launcher.time=2", "launcher.signal=119")
    wait(lambda: trainers(run), 60, every=0.05)
    main = trainers(run)[0]
    main.suspend()  # as it begins; SLURM looks at limits every half minute, and by then it would have trained some
    wait(lambda: attempts(study, run)[-1]["reason"].startswith("told to stop"), 90)
    main.resume()
    wait(lambda: state(place, run) == "failed", 60)
    last = attempts(study, run)[-1]
    assert last["reason"].startswith("no epoch ended within the time limit") and len(place.slurm.jobs()) <= 1


def test_what_runs_is_cancelled_and_does_not_requeue_itself(place):
    study = place.study(3, 500)
    place.submit()
    wait(lambda: place.journal("classification-0") and place.journal("classification-1"), 180)
    assert place.run("cancel", "mine") == "mine: 3 runs cancelled.\n"
    wait(lambda: {told[0] for told in place.status().values()} == {"cancelled"}, 40)
    wait(lambda: not place.slurm.jobs(), 40)
    assert attempts(study, "classification-0")[-1]["outcome"] == "cancelled"
    assert "3 runs sent" in place.submit()
    wait(lambda: len(attempts(study, "classification-0")) == 2, 30)


def test_on_this_machine_the_same_list_is_trained_and_told(place):
    study = place.study(2, 2)
    told = place.run("submit", "mine", "launcher=local", "launcher.at_once=1")
    assert "1 at a time" in told
    assert {each for each in place.status().values()} == {("done", "`dvc repro` takes it over")}
    for run in ("classification-0", "classification-1"):
        (one,) = attempts(study, run)
        assert one["job"] is None and one["outcome"] == "done" and one["exit"] == 0
    assert place.submit() == "mine: nothing to send (2 finished ahead).\n"
    assert not list((study.runs / "queue").glob("*/array.json"))


def test_the_processes_of_a_run_find_each_other_on_two_nodes(place, tmp_path):
    # Catches processes that look for each other elsewhere, as the submitting shell has it, or train each by itself.
    study, run = place.study(1, 3, "trainer.devices=1", "trainer.num_nodes=2"), "classification-0"
    place.submit(**FOREIGN)
    wait(lambda: state(place, run) == "done", 60)
    shutil.copytree(study.runs / "plan", tmp_path / "runs/mine/plan")
    shutil.copytree(study.runs / "data", tmp_path / "runs/mine/data")
    plan = tmp_path / f"runs/mine/plan/{run}.yaml"  # as many processes, which the command itself starts
    plan.write_text(
        plan.read_text().replace("  devices: 1\n", "  devices: 2\n").replace("num_nodes: 2", "num_nodes: 1")
    )
    command = [sys.executable, "-m", "frostline", "train", "--plan", f"runs/mine/plan/{run}.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=300)
    check_same(finished(study, run), tmp_path / "runs/mine/results" / run)
    assert len(list((study.runs / "logs").glob(f"{run}*"))) == 2  # each process has a log of its own
