"""All stale runs of a study, trained ahead: told how far they are, stopped as one, and no run fails for another."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest

from frostline.errors import FrostlineError
from frostline.launch.ahead import train_ahead
from frostline.launch.local import places
from frostline.studies.plan import compose_runs, write_plan
from frostline.studies.study import read_study

STUDY = """
grid: {seed: [0, 1, 2, 3]}
overrides: [trainer.threads=1, trainer.accelerator=cpu, trainer.epochs=2]
"""
STOPPED = """
import sys, time
from functools import partial
from pathlib import Path
from frostline.cli.stopping import Stopped, stoppable
from frostline.launch.ahead import train_ahead
from frostline.launch.local import WarmProcesses
from frostline.studies.study import read_study

def work(job):
    job.plan.with_suffix(".begun").touch()
    time.sleep(600)

if __name__ == "__main__":
    try:
        with stoppable():
            train_ahead(read_study(Path("mine")), partial(WarmProcesses, work=work))
    except Stopped as stopped:
        sys.exit(stopped.status)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Four planned runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_text(STUDY)
    study = read_study(tmp_path / "mine")
    write_plan(study)
    return study


class Inline:
    """In place of processes: works when it is asked to."""

    at_once = 1

    def __init__(self, work):
        self.work, self.closed = work, False

    def submit(self, job):
        future = Future()
        try:
            future.set_result(self.work(job))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self):
        pass

    def close(self):
        self.closed = True


def journal(job, epochs):
    job.journal.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"epoch": number, "val_accuracy": 0.5 + number / 10}) for number in range(epochs)]
    job.journal.write_text("".join(line + "\n" for line in lines))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_study_that_is_stopped_ends_what_runs_and_begins_nothing_more(study, tmp_path, number, status):
    """Catches runs that go on unseen, and a next one that is begun."""
    (tmp_path / "study.py").write_text(STOPPED)
    process = subprocess.Popen([sys.executable, "study.py"], start_new_session=True, stderr=subprocess.DEVNULL)
    at_once = places(list(compose_runs(study).values()))[0]
    try:
        deadline = time.monotonic() + 60
        while len(list(study.runs.glob("plan/*.begun"))) < at_once and time.monotonic() < deadline:
            time.sleep(0.05)
        # A terminal sends Ctrl+C to all processes at once; a scheduler tells only the first to stop.
        os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(process.pid, number)
        assert process.wait(60) == status
        assert len(list(study.runs.glob("plan/*.begun"))) == at_once
        deadline = time.monotonic() + 20
        while (left := _group(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group(leader):
    """How many processes are left of a group."""
    import psutil

    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            count += os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE
    return count


def test_a_run_that_fails_stops_no_other(study, capsys):
    def work(job):
        if job.name == "1":
            raise FrostlineError("no good:\nreally")
        return f"{job.name}: done"

    launcher = Inline(work)
    with pytest.raises(FrostlineError, match="1 of 4 runs failed; the others are done.*\n  1: no good:$"):
        train_ahead(study, lambda configs: launcher)
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.endswith(": done")] == ["0: done", "2: done", "3: done"]
    assert "1 failed" in told and launcher.closed


def test_what_is_up_to_date_is_not_launched(study, capsys):
    for name in compose_runs(study):
        done = study.runs / "results" / name
        done.mkdir(parents=True)
        (done / "result.json").write_text("{}")
        (done / "config.yaml").write_bytes((study.runs / "plan" / f"{name}.yaml").read_bytes())
    train_ahead(study, lambda configs: pytest.fail("something was launched"))
    assert capsys.readouterr().out == "mine: all 4 runs are up to date.\n"


def test_outside_of_a_terminal_each_epoch_is_a_line_and_what_a_run_had_to_say_is_told(study, capsys):
    """Catches a study that stands at 0 of 4 for minutes, and warnings that are lost in a log."""

    def work(job):
        journal(job, 2)
        job.log.parent.mkdir(exist_ok=True)
        job.log.write_text(
            "INFO of a library\nfrostline: no cache today.\n0: left out scenes without boxes: 3 of val\n"
        )
        return f"{job.name}: done"

    train_ahead(study, lambda configs: Inline(work))
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("mine, 1 at a time, 2 of 8 epochs, 0 of 4 runs, about ")
    assert told[0].endswith(" left: 0 epoch 1 of 2, val_accuracy 0.5000")
    assert told[1].endswith(": 0 epoch 2 of 2, val_accuracy 0.6000")
    assert sum("epoch 2 of 2" in line for line in told) == 4
    assert told.count("frostline: no cache today.") == 1 and "INFO of a library" not in told
    assert told.count("0: left out scenes without boxes: 3 of val") == 1


def test_what_a_run_has_to_say_is_told_while_it_goes_on(study, capsys, monkeypatch):
    """Catches a line on a server that is down which comes when hours are over, and those of an earlier start."""
    monkeypatch.setattr("frostline.launch.ahead.LOOK", 0.02)
    old = study.runs / "logs" / "3.txt"
    old.parent.mkdir()
    old.write_text("frostline: of yesterday.\n")
    os.utime(old, (1, 1))
    told = []

    def work(job):
        job.log.write_text("frostline: the tracker takes nothing.\nfrostline: half")
        until = time.monotonic() + 20
        while not told and time.monotonic() < until:
            told.extend(capsys.readouterr().out.splitlines())
            time.sleep(0.02)
        return "done" if told else 1 / 0

    class Thread(Inline):
        def submit(self, job):
            return pool.submit(self.work, job)

    with ThreadPoolExecutor(1) as pool:
        train_ahead(study, lambda configs: Thread(work))
    told += capsys.readouterr().out.splitlines()
    assert told[0] == "frostline: the tracker takes nothing." and told.count(told[0]) == 1
    assert not any("yesterday" in line or "half" in line for line in told)


def test_in_a_terminal_a_bar_counts_epochs(study, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def work(job):
        journal(job, 1 if job.name == "3" else 2)
        return f"{job.name}: done"

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    train_ahead(study, lambda configs: Inline(work))
    shown = terminal.getvalue().replace("\r", "\n").splitlines()
    assert any(line.startswith("mine, 1 at a time:  88%|") and " 7/8 epochs [" in line for line in shown)
    assert any(", 0 of 4 runs, about " in line for line in shown) and any("4 of 4 runs" in line for line in shown)
    assert [line for line in capsys.readouterr().out.splitlines() if "epoch" in line] == []


def test_epochs_of_an_earlier_start_are_not_told_again(study, capsys):
    job_done = []

    def work(job):
        job_done.append(job)
        journal(job, 2)
        return f"{job.name}: done"

    first = study.runs / "work" / "0" / "epochs.jsonl"
    first.parent.mkdir(parents=True)
    first.write_text(json.dumps({"epoch": 0, "val_accuracy": 0.1}) + "\n")
    train_ahead(study, lambda configs: Inline(work))
    told = capsys.readouterr().out
    assert "0 epoch 1 of 2" not in told and "0 epoch 2 of 2" in told and "1 epoch 1 of 2" in told
