"""Processes that begin at once: forked from one that has imported all that a run needs, which takes seconds.

Each is a process of its own that does what the command does, and can be struck as any other.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

# It has one thread of Python's: what is forked has no other, and would wait for ever for a lock that another held.
ZYGOTE = """
import json, os, sys, threading, time
import frostline.config.compose, frostline.launch.planned, frostline.runs.alone
import frostline.draw.schedule, frostline.runs.build, frostline.runs.drawn, frostline.runs.together
import frostline.runs.train
import mlflow, mlflow.store.tracking.sqlalchemy_store, pyarrow.parquet
from frostline.cli import main

def ended(pid, within):
    until = time.monotonic() + within
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found or time.monotonic() > until:
            return os.waitstatus_to_exitcode(status) if found else None
        time.sleep(0.02)

arguments = None
print(threading.active_count(), flush=True)
while arguments is None and (line := sys.stdin.readline()):
    order = json.loads(line)
    if "pid" in order:
        print(json.dumps(ended(order["pid"], order["within"])), flush=True)
    elif (pid := os.fork()):
        print(pid, flush=True)
    else:
        os.setsid()
        os.chdir(order["folder"])
        os.environ.update(order["env"])
        for number, path in ((0, os.devnull), (1, order["log"]), (2, order["log"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
        arguments = order["arguments"]
if arguments is not None:
    sys.argv = ["frostline", *arguments]
    sys.exit(main(arguments))
"""


class Warm:
    """Begins commands of frostline, at once."""

    def __init__(self, process):
        self._process, self._begun = process, set()

    def _told(self, **order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def begin(self, *arguments, folder, log, **env):
        """A process's number. log: what it says is added there."""
        pid = self._told(arguments=arguments, folder=str(folder), log=str(log), env=env)
        self._begun.add(pid)
        return pid

    def ended(self, pid, within=0.0):
        """Its status, negative for the signal that ended it; None where it goes on after so many seconds."""
        status = self._told(pid=pid, within=within)
        if status is not None:
            self._begun.remove(pid)
        return status

    def close(self):
        for pid in self._begun:
            os.killpg(pid, signal.SIGKILL)
        self._process.stdin.close()


@contextmanager
def warm_processes():
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE], env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout.readline() == "1\n"
        warm = Warm(process)
        try:
            yield warm
        finally:
            warm.close()


@pytest.fixture(scope="module")
def warm():
    with warm_processes() as found:
        yield found
