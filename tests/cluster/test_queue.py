"""What comes into the queue of a real SLURM whose nodes take nothing: all of it, once, with what was asked for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frostline.launch.launchers import seconds_of

SECRET = "planted-7f3a9c"


@pytest.fixture
def drained(place):
    place.slurm.call("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    return place


def field(place, job, name):
    """Of what the queue says of a job."""
    told = place.slurm.call("scontrol", "show", "job", job, "-o")
    return next(part.partition("=")[2] for part in told.split() if part.startswith(f"{name}="))


def test_a_thousand_runs_are_one_array_within_twenty_seconds(drained):
    drained.study(1000, 1)
    since = time.monotonic()
    told = drained.submit("launcher.at_once=7")
    seconds = time.monotonic() - since
    queue = drained.queue()
    assert len(queue) == 1000 and len({element.array for element in queue}) == 1
    assert seconds < 20, told
    print(f"1,000 runs submitted in {seconds:.1f} s")
    assert field(drained, queue[0].array, "ArrayTaskThrottle") == "7"

    since = time.monotonic()
    *lines, count = drained.run("status", "mine").splitlines()
    print(f"their status in {time.monotonic() - since:.1f} s")
    assert len(lines) == 1000 and {line.split()[1] for line in lines} == {"queued"} and count == "mine: 1000 queued"
    assert drained.submit() == "mine: nothing to send (1000 queued or running).\n"
    assert drained.run("cancel", "mine") == "mine: 1000 runs cancelled.\n"
    assert not drained.queue()
    assert drained.run("cancel", "mine") == "mine: 0 runs cancelled.\n"


def test_more_runs_than_an_array_may_have_are_several(drained, monkeypatch):
    from frostline.launch import slurm, submission

    assert slurm.most() == 2000  # MaxArraySize counts from 0
    monkeypatch.setattr(submission.slurm, "most", lambda: 2)
    study = drained.study(5, 1)
    from frostline.launch.launchers import Slurm

    sent = submission.submit(study, Slurm("1:00:00", 60, 1)).sent
    assert sorted(sent.values()) == [1, 2, 2] and len(drained.queue()) == 5
    assert {state for state, _ in drained.status().values()} == {"queued"}


@pytest.mark.parametrize("moment", ["before", "meanwhile", "after"])
def test_a_driver_that_is_killed_leaves_nothing_twice_and_nothing_out(drained, moment, monkeypatch):
    """A first submit is killed before, while and after the real sbatch puts its array into the queue."""
    study = drained.study(3, 1)
    sbatch = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    lines = {
        "before": "kill -9 $PPID",
        "meanwhile": f'kill -9 $PPID; sleep 3; exec {sbatch} "$@"',
        "after": f'{sbatch} "$@"; kill -9 $PPID',
    }
    (drained.folder / "bin").mkdir()
    fake = drained.folder / "bin" / "sbatch"
    fake.write_text(f"#!/bin/sh\n{lines[moment]}\n")
    fake.chmod(0o755)
    path = os.environ["PATH"]
    killed = drained.call("submit", "mine", "launcher.cpus_per_task=1", PATH=f"{fake.parent}:{path}")
    assert killed.returncode == -signal.SIGKILL
    told = drained.submit()
    queue = drained.queue()
    assert sorted(element.index for element in queue) == [0, 1, 2], told
    assert told == ("mine: nothing to send (3 queued or running).\n" if moment != "before" else told)
    assert {state for state, _ in drained.status().values()} == {"queued"}
    assert len(list((study.runs / "queue").glob("*/job"))) == (1 if moment == "before" else 0)
    assert drained.run("cancel", "mine") == "mine: 3 runs cancelled.\n"


def test_two_that_submit_at_once_send_each_run_once(drained):
    drained.study(4, 1)
    command = [sys.executable, "-m", "frostline", "submit", "mine", "launcher.cpus_per_task=1"]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert sorted(element.index for element in drained.queue()) == [0, 1, 2, 3]


def test_only_this_study_is_cancelled(drained):
    drained.study(2, 1)
    (drained.folder / "other.sh").write_text("#!/bin/sh\nsleep 1\n")
    other = drained.slurm.call("sbatch", "--parsable", "--job-name=frostline-mine-0123456789ab", "other.sh").strip()
    drained.submit()
    assert drained.run("cancel", "mine") == "mine: 2 runs cancelled.\n"
    assert drained.slurm.jobs() == [(other, "PENDING")]
    assert {told for told in drained.status().values()} == {("cancelled", "by `frostline cancel`, before it began")}
    assert "2 runs sent" in drained.submit()
    assert {state for state, _ in drained.status().values()} == {"queued"}


def test_what_is_asked_for_reaches_the_queue(drained):
    drained.study(1, 1)
    drained.submit(
        *("launcher.time=1-2", "launcher.memory=700M", "launcher.signal=77", "launcher.partition=main"),
        *("launcher.options.nice=5", "launcher.options.comment=$(touch pwned) a;b, 'c' \"d\""),
    )
    (element,) = drained.queue()
    told = drained.slurm.call("scontrol", "show", "job", element.id, "-o")
    for part in ("TimeLimit=1-02:00:00", "mem=700M", "Partition=main", "Nice=5", "Requeue=1", "NumTasks=1"):
        assert part in told
    assert "Comment=$(touch pwned) a;b, 'c' \"d\" " in told
    assert not list(drained.folder.rglob("pwned"))


@pytest.mark.parametrize("time", ["7", "7:30", "1:02:03", "2-3", "2-3:04", "2-3:04:05", "0-0:10"])
def test_a_time_limit_is_read_as_slurm_reads_it(drained, time):
    (drained.folder / "job.sh").write_text("#!/bin/sh\nsleep 1\n")
    job = drained.slurm.call("sbatch", "--parsable", f"--time={time}", "job.sh").strip()
    limit = field(drained, job, "TimeLimit")
    days, _, rest = limit.rpartition("-")
    hours, minutes, seconds = map(int, rest.split(":"))
    held = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    assert held == -(-seconds_of(time) // 60) * 60  # which it rounds up to minutes


def test_the_queue_holds_no_secret(drained):
    """Catches a password in the script, in a parameter, or in anything that is written."""
    drained.study(1, 1)
    drained.submit(MLFLOW_TRACKING_PASSWORD=SECRET, MLFLOW_TRACKING_URI=f"http://u:{SECRET}@127.0.0.1:1")
    (element,) = drained.queue()
    script = drained.slurm.call("scontrol", "write", "batch_script", element.array, "-")
    assert "frostline.launch.element" in script
    told = drained.slurm.call("scontrol", "show", "job", element.id, "-o", "-d")
    written = [path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()]
    assert SECRET not in script + told and not any(SECRET.encode() in content for content in written)


def test_a_queue_that_does_not_answer_is_one_sentence(drained):
    drained.study(1, 1)
    drained.submit()
    lines = drained.slurm.conf.read_text().splitlines()
    away = Path(drained.slurm.folder / "away.conf")  # the same cluster, at a port where nobody listens
    away.write_text(
        "\n".join([*(line for line in lines if "SlurmctldPort" not in line), "SlurmctldPort=1", "MessageTimeout=1", ""])
    )
    for command in (["submit", "mine"], ["cancel", "mine"]):
        done = drained.call(*command, SLURM_CONF=str(away))
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("frostline: SLURM's squeue failed: ") and "Unable to contact" in done.stderr
    done = drained.call("status", "mine", SLURM_CONF=str(away))
    assert "What follows is what the runs themselves wrote." in done.stderr
    assert done.stdout.splitlines()[0].split()[0] == "classification-0"
