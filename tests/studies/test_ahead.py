import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from frostline.errors import FrostlineError
from frostline.studies import ahead
from frostline.studies.ahead import Place

PARENT = """
import time
from frostline.studies.ahead import Place
idle, busy = Place(), Place()
for place in (idle, busy):
    place.do(time.sleep, 0.1)
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


@pytest.mark.parametrize(("visible", "gpus"), [(None, ["0", "1"]), ("5,7,8", ["5", "7"])])
def test_one_run_on_each_gpu(monkeypatch, visible, gpus):
    monkeypatch.setattr(ahead, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert ahead.places([{"trainer": {"threads": 1, "accelerator": "auto"}}] * 5) == (2, 1, gpus)


def test_a_process_sees_its_own_gpu_only_and_is_replaced_where_it_is_killed():
    # Catches all runs on the first GPU, and one run out of memory that takes all others with it.
    place = Place("7")
    assert place.do(os.getenv, "CUDA_VISIBLE_DEVICES") == "7"
    with pytest.raises(FrostlineError, match="its process was killed, perhaps for want of memory"):
        place.do(os._exit, 9)
    assert place.do(os.getenv, "CUDA_VISIBLE_DEVICES") == "7"
    place.close()


class Told:
    """In place of a process: answers at once, or fails as told."""

    fails: dict = {}

    def __init__(self, gpu):
        pass

    def do(self, work, plan):
        if plan.stem in self.fails:
            raise self.fails[plan.stem]
        time.sleep(0.01)
        (plan.parent / f"{plan.stem}.done").touch()
        return plan.stem

    def close(self):
        pass


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "plan").mkdir()
    for name in "abcdef":
        (tmp_path / "plan" / f"{name}.yaml").touch()
    monkeypatch.setattr(ahead, "read", lambda path: {"trainer": {"threads": 1, "accelerator": "cpu"}})
    monkeypatch.setattr(ahead, "stale", lambda study, configs: dict.fromkeys("abcdef", "never trained"))
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    monkeypatch.setattr(ahead, "Place", Told)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which is set for the processes
    return SimpleNamespace(name="mine", runs=tmp_path, folder=tmp_path)


def done(study):
    return sorted(path.stem for path in (study.runs / "plan").glob("*.done"))


def test_a_run_that_fails_stops_no_other(study, monkeypatch):
    monkeypatch.setattr(Told, "fails", {"b": FrostlineError("no good:\nreally")})
    with pytest.raises(FrostlineError, match="1 of 6 runs failed; the others are done.*\n  b: no good:$"):
        ahead.train_ahead(study)
    assert done(study) == list("acdef")


def test_who_interrupts_a_study_stops_what_has_not_begun(study, monkeypatch):
    def interrupted(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr(ahead, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ahead.train_ahead(study)
    assert len(done(study)) <= 4
