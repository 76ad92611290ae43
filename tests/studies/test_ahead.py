import signal
import subprocess
import sys
import time

import psutil
import pytest

from frostline.studies import ahead

PARENT = """
import time
from frostline.studies.ahead import processes
with processes(2) as pool:
    list(pool.map(time.sleep, [0.1, 0.1]))
    busy = pool.submit(time.sleep, 600)
    print("ready", flush=True)
    busy.result()
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
    [([1] * 5, 4, (4, 1)), ([1] * 3, 4, (3, 1)), ([1, 2], 4, (2, 2)), ([None, 1], 4, (1, 4)), ([8], 4, (1, 8))],
)
def test_as_many_runs_at_once_as_cores_and_runs_allow(monkeypatch, threads, cores, expected):
    monkeypatch.setattr(ahead, "cores", lambda: cores)
    assert ahead.places([{"trainer": {"threads": n, "accelerator": "cpu"}} for n in threads]) == expected
