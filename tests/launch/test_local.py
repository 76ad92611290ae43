import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress

import psutil
import pytest
import torch

from frostline.errors import FrostlineError
from frostline.launch import local
from frostline.launch.local import Worker

PARENT = """
import time
from frostline.launch.local import Worker
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
    monkeypatch.setattr(local, "cores", lambda: cores)
    assert local.places([{"trainer": {"threads": n, "accelerator": "cpu"}} for n in threads]) == expected


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
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "may_have", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local.places([{"trainer": {"threads": threads, "accelerator": "auto"}}] * 5) == expected


@pytest.mark.parametrize(
    ("devices", "count", "expected"),
    [(2, 4, (2, 2, ["0,1", "2,3"])), (2, 5, (2, 1, ["0,1", "2,3"])), (4, 2, (1, 2, [])), (2, 0, (1, 4, []))],
)
def test_a_run_on_several_devices_has_these_to_itself(monkeypatch, devices, count, expected):
    # Catches two runs on one GPU, and more processes than cores.
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "_gpus", lambda: [str(number) for number in range(count)])
    trainer = {"threads": None, "accelerator": "auto", "devices": devices}
    assert local.places([{"trainer": trainer}] * 5) == expected


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
