"""What a cell writes of itself, and where a run stands by that, where no queue is asked."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from frostline.cli import main
from frostline.config import to_yaml
from frostline.errors import FrostlineError
from frostline.launch import slurm
from frostline.launch.arrays import Sent
from frostline.launch.cells import Cell, told
from frostline.launch.standing import standings
from frostline.runs.workplace import Busy
from frostline.studies.plan import code_of, write_plan
from frostline.studies.study import read_study

STUDY = """
grid: {seed: [0, 1]}
overrides: [trainer.threads=1, trainer.accelerator=cpu, trainer.epochs=4]
"""
BEGIN = "import sys; from pathlib import Path; from frostline.launch.cells import Cell; Cell(Path(sys.argv[1])).begin()"


@pytest.fixture
def study(here):
    """Two planned runs."""
    (here / "experiments/mine").mkdir(parents=True)
    (here / "experiments/mine/study.yaml").write_text(STUDY)
    study = read_study(Path("experiments/mine"))
    write_plan(study)
    return study


def plans(study):
    return {seed: study.runs / "plan" / f"{seed}.yaml" for seed in ("0", "1")}


def stand(study):
    return {each.run: (each.state, each.told) for each in standings(study, plans(study), {})}


def test_each_end_is_written_with_its_reason(study):
    plan = plans(study)["0"]
    with told(plan):
        (under_way,) = Cell(plan).attempts
        assert under_way.outcome is None and under_way.pid == os.getpid() and not under_way.gone
        assert stand(study)["0"][0] == "running"
    with pytest.raises(FrostlineError), told(plan):
        raise FrostlineError("no room\nfor it")
    with pytest.raises(KeyboardInterrupt), told(plan):
        raise KeyboardInterrupt
    ends = [(each.outcome, each.exit, each.reason) for each in Cell(plan).attempts]
    assert ends == [("done", 0, ""), ("failed", 1, "no room for it"), ("cancelled", 1, "told to stop")]
    assert stand(study)["0"][0] == "cancelled" and stand(study)["1"] == ("not begun", "")


def test_a_process_that_finds_another_at_work_leaves_its_record_alone(study):
    # Catches a run that goes on and is told as failed, because someone else tried to train it, too.
    plan = plans(study)["0"]
    Cell(plan).begin()
    under_way = Cell(plan).attempts
    with pytest.raises(Busy), told(plan):
        raise Busy("Another process trains this run.")
    assert Cell(plan).attempts == under_way and stand(study)["0"][0] == "running"


def test_the_other_one_may_end_meanwhile_and_what_it_says_stays(study):
    # Catches an end that is written to the attempt that began last, whosever it is, and goes with it.
    plan = plans(study)["0"]
    other = Cell(plan)
    other.begin()
    with pytest.raises(Busy), told(plan):
        other.end("failed", 1, "no room for it")
        raise Busy("Another process trains this run.")
    assert [(each.outcome, each.reason) for each in Cell(plan).attempts] == [("failed", "no room for it")]


def test_a_process_that_ended_without_a_word_is_told_as_such(study):
    plan = plans(study)["0"]
    subprocess.run([sys.executable, "-c", BEGIN, str(plan)], check=True)
    state, words = stand(study)["0"]
    assert state == "failed" and "gone without a word (kill -9, or its node went down)" in words


def test_of_a_process_on_another_machine_nothing_is_known(study):
    cell = Cell(plans(study)["0"])
    cell.begin()
    held = json.loads(cell.path.read_text())
    held["attempts"][0] |= {"host": "elsewhere", "pid": 2**22 + 1, "news": "of a later version"}
    cell.path.write_text(json.dumps(held))
    assert stand(study)["0"][0] == "running"


def test_another_plan_knows_nothing_of_what_failed_before(study):
    plan = plans(study)["0"]
    with pytest.raises(ValueError), told(plan):
        raise ValueError("x")
    assert stand(study)["0"][0] == "failed"
    plan.write_text(plan.read_text() + "# another\n")
    assert stand(study)["0"] == ("not begun", "")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"attempts": [{"host": 1}]}'])
def test_a_damaged_file_is_none(study, damage):
    cell = Cell(plans(study)["0"])
    cell.path.parent.mkdir()
    cell.path.write_text(damage)
    assert stand(study)["0"] == ("not begun", "")
    cell.begin()
    assert len(cell.attempts) == 1


def test_a_running_one_tells_epoch_quality_and_time_left(study):
    cell = Cell(plans(study)["0"])
    cell.begin()
    since, work = cell.attempts[-1].started, study.runs / "work" / "0"
    work.mkdir(parents=True)
    lines = [{"epoch": n, "time": since + 20 + 100 * n, "val_accuracy": 0.5 + n / 10} for n in range(2)]
    (work / "epochs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    state, words = stand(study)["0"]
    assert state == "running" and "epoch 2 of 4, val_accuracy 0.6000, about 3 min left" in words


def test_results_of_todays_plan_are_done_and_of_another_are_not(study):
    plan = plans(study)["0"]
    results = study.runs / "results" / "0"
    results.mkdir(parents=True)
    (results / "result.json").write_text("{}")
    (results / "config.yaml").write_text(plan.read_text())
    assert stand(study)["0"] == ("done", "")
    code = study.runs / "plan/code/train.txt"
    before = code.read_text()
    code.write_text("src/frostline/of_then.py 0\n")
    assert stand(study)["0"] == ("stale", "its results are of other code than today's")
    code.write_text(before)
    (results / "config.yaml").write_text(to_yaml({"another": 1}))
    assert stand(study)["0"] == ("not begun", "")


@pytest.mark.parametrize(
    ("told", "state"),
    [(code_of("train"), "done"), ("src/frostline/of_then.py 0\n", "stale"), (None, "done")],
    ids=["today", "then", "not taken over"],
)
def test_planned_anew_results_of_other_code_are_stale_by_dvcs_lock(study, told, state):
    # Catches `done` of what `submit` would send: the plan is of today's code, and its results are not.
    results = study.runs / "results" / "0"
    results.mkdir(parents=True)
    (results / "result.json").write_text("{}")
    (results / "config.yaml").write_text(plans(study)["0"].read_text())
    deps = [{"path": "runs/mine/data"}, {"path": "runs/mine/plan/code/train.txt"}]
    stages = {"plan": {"cmd": "frostline plan"}, "train@1": {"deps": [{"path": "runs/mine/plan/code/train.txt"}]}}
    if told is not None:
        for dep in deps:
            dep["md5"] = hashlib.md5(told.encode()).hexdigest()
        stages = {"train@0": {"deps": deps}}
    (study.folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    assert stand(study)["0"][0] == state
    (study.folder / "dvc.lock").write_text("<<<<<<< of a merge")
    assert stand(study)["0"][0] == "done"


def test_where_it_is_queued_again_old_results_are_not_the_answer(study):
    # Planned anew, as after a change of the code: to say `done` would have `submit` send it a second time.
    results = study.runs / "results" / "0"
    results.mkdir(parents=True)
    (results / "result.json").write_text("{}")
    (results / "config.yaml").write_text(plans(study)["0"].read_text())
    waiting = Sent(study.runs / "queue/1", "7_0", slurm.Element("7", 0, "PENDING", "Priority", "x"), cancelled=False)
    (found, _) = standings(study, plans(study), {"0": waiting})
    assert (found.state, found.told) == ("queued", "job 7_0, Priority")


def test_what_others_left_in_the_environment_does_not_come_into_a_job():
    kept = {"HOME": "/h", "SLURM_CONF": "c", "SBATCH_QOS": "q", "RANKING": "1", "MLFLOW_TRACKING_URI": "u"}
    foreign = {"MASTER_PORT": "1", "MASTER_ADDR": "a", "RANK": "1", "WORLD_SIZE": "2", "SLURM_NTASKS": "4"}
    foreign |= {"SLURM_PROCID": "1", "LOCAL_RANK": "1", "SRUN_CPUS_PER_TASK": "3", "TORCHELASTIC_RUN_ID": "x"}
    assert slurm.clean(kept | foreign) == kept


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["submit", "none"], "experiments/none/study.yaml cannot be read"),
        (["status", "none"], "experiments/none/study.yaml cannot be read"),
        (["cancel", "none"], "experiments/none/study.yaml cannot be read"),
        (["submit", "mine"], "There is no squeue on this machine"),
        (["submit", "mine", "launcher=moon"], "There is no launcher 'moon'"),
        (["train", "--ahead"], "--ahead is of a planned run"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(study, command, words, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("frostline: ") and words in error and error.count("\n") == 1


def test_a_study_that_is_not_planned_as_it_is_today_says_so(study, capsys):
    (study.folder / "study.yaml").write_text(STUDY.replace("[0, 1]", "[0, 1, 2]"))
    for command in (["status", "mine"], ["submit", "mine", "launcher=slurm"]):
        assert main(command) == 2
        assert "has other runs than runs/mine/plan: run `frostline plan" in capsys.readouterr().err


def test_status_and_cancel_ask_no_queue_where_nothing_was_sent(study, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["status", "mine"]) == 0
    assert capsys.readouterr().out.splitlines() == ["0  not begun", "1  not begun", "mine: 2 not begun"]
    assert main(["cancel", "mine"]) == 0 and capsys.readouterr().out == "mine: 0 runs cancelled.\n"


def test_they_begin_without_torch(study):
    code = "import sys; from frostline.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    for command in ("status", "cancel"):
        done = subprocess.run([sys.executable, "-c", code, command, "mine"], capture_output=True, text=True, check=True)
        assert not {"torch", "hydra", "mlflow", "pytorch_lightning"} & set(done.stdout.splitlines()[-1].split())
