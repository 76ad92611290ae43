import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from types import SimpleNamespace

import psutil
import pytest
import torch

from frostline.errors import FrostlineError
from frostline.launch import local as ahead
from frostline.launch.worker import Worker

PARENT = """
import time
from frostline.launch.worker import Worker
idle, busy = Worker(), Worker()
for worker in (idle, busy):
    worker.do(time.sleep, 0.1)
print("ready", flush=True)
busy.do(time.sleep, 600)
"""


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # dead, if nobody has asked for its exit status yet
    except psutil.NoSuchProcess:
        return False


def test_a_killed_parent_takes_its_idle_and_its_busy_processes_with_it():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children()
        workers = [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2 and all(map(alive, workers))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        psutil.Process(pid).kill()
    assert not left


@pytest.mark.parametrize(
    ("threads", "cores", "expected"),
    [
        ([1] * 5, 4, (4, 1, [])),
        ([1] * 3, 4, (3, 1, [])),
        ([1, 2], 4, (2, 2, [])),
        ([None, 1], 4, (1, 4, [])),
        ([8], 4, (1, 8, [])),
    ],
)
def test_as_many_runs_at_once_as_cores_and_runs_allow(monkeypatch, threads, cores, expected):
    monkeypatch.setattr(ahead, "cores", lambda: cores)
    assert ahead.places([{"trainer": {"threads": n, "accelerator": "cpu"}} for n in threads]) == expected


@pytest.mark.parametrize(
    ("threads", "visible", "expected"),
    [
        (1, None, (2, 1, ["0", "1"])),
        (1, "5,7,8", (2, 1, ["5", "7"])),
        (None, None, (2, 4, ["0", "1"])),
        (8, None, (1, 8, ["0", "1"])),
    ],
)
def test_one_run_on_each_gpu(monkeypatch, threads, visible, expected):
    monkeypatch.setattr(ahead, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert ahead.places([{"trainer": {"threads": threads, "accelerator": "auto"}}] * 5) == expected


def test_a_process_sees_its_own_gpu_only_and_is_replaced_where_it_is_killed():
    # Catches all runs on the first GPU, and one run out of memory that takes all others with it.
    with closing(Worker("7")) as worker:
        assert worker.do(os.getenv, "CUDA_VISIBLE_DEVICES") == "7"
        with pytest.raises(FrostlineError, match="its process was killed, perhaps for want of memory"):
            worker.do(os._exit, 9)
        pid = worker.do(os.getpid)
        os.kill(pid, signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(20)
        time.sleep(0.5)  # until it is noticed
        assert worker.do(os.getenv, "CUDA_VISIBLE_DEVICES") == "7"  # nobody was at work, so nothing has failed


INTERRUPTED = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from frostline.launch import local as ahead

def work(plan):
    Path(f"{plan}.begun").touch()
    time.sleep(600)

if __name__ == "__main__":
    root = Path(sys.argv[1])
    ahead.read = lambda path: {"trainer": {"threads": 1, "accelerator": "cpu"}}
    ahead.stale = lambda study, configs: dict.fromkeys(configs, "never trained")
    ahead.cores = lambda: 2
    ahead._train = work
    ahead.train_ahead(SimpleNamespace(name="mine", runs=root, folder=root))
"""


def test_who_interrupts_a_study_ends_what_runs_and_begins_nothing_more(tmp_path):
    # As a terminal does it, to all processes at once. Catches runs that go on unseen, and a next one that is begun.
    (tmp_path / "plan").mkdir()
    for name in "abcdef":
        (tmp_path / "plan" / f"{name}.yaml").touch()
    (tmp_path / "study.py").write_text(INTERRUPTED)
    command = [sys.executable, str(tmp_path / "study.py"), str(tmp_path)]
    study = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("plan/*.begun"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(study.pid, signal.SIGINT)
        assert study.wait(60) not in (0, None)
        assert len(list(tmp_path.glob("plan/*.begun"))) == 2
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)
        study.wait()


def test_a_run_that_fails_stops_no_other(tmp_path, monkeypatch):
    class Told:
        """In place of a process: answers, or fails as it does."""

        def __init__(self, gpu):
            pass

        def do(self, work, plan):
            if plan.stem == "b":
                raise FrostlineError("no good:\nreally")
            done.append(plan.stem)
            return plan.stem

        def close(self):
            pass

    done = []
    (tmp_path / "plan").mkdir()
    for name in "abcdef":
        (tmp_path / "plan" / f"{name}.yaml").touch()
    monkeypatch.setattr(ahead, "read", lambda path: {"trainer": {"threads": 1, "accelerator": "cpu"}})
    monkeypatch.setattr(ahead, "stale", lambda study, configs: dict.fromkeys(configs, "never trained"))
    monkeypatch.setattr(ahead, "Worker", Told)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which is set for the processes
    with pytest.raises(FrostlineError, match="1 of 6 runs failed; the others are done.*\n  b: no good:$"):
        ahead.train_ahead(SimpleNamespace(name="mine", runs=tmp_path, folder=tmp_path))
    assert sorted(done) == list("acdef")
