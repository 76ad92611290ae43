import math
import os
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from frostline.errors import FrostlineError
from frostline.parallel import in_processes, in_threads


def test_results_come_in_the_order_of_the_items():
    assert list(in_threads(lambda n: time.sleep(0.002 * (n % 3)) or n * n, range(30), 3)) == [n * n for n in range(30)]


def test_few_items_are_taken_ahead_and_few_are_worked_on():
    """So that memory does not grow with the number of pictures."""
    taken, working, most = [], 0, 0
    lock = threading.Lock()

    def items():
        for number in range(200):
            taken.append(number)
            yield number

    def work(number):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.0005)
        with lock:
            working -= 1
        return number

    ahead = [len(taken) - done for done, _ in enumerate(in_threads(work, items(), 2), start=1)]
    assert max(ahead) <= 8 and most == 2 and len(ahead) == 200


def test_what_goes_wrong_in_a_thread_is_raised():
    def work(number):
        if number == 5:
            raise ValueError("five")
        return number

    with pytest.raises(ValueError, match="five"):
        list(in_threads(work, range(20), 2))


def test_processes_give_what_threads_do_and_what_is_printed_there_does_not_come_between():
    assert list(in_processes(math.factorial, range(20), 2)) == [math.factorial(n) for n in range(20)]
    assert list(in_processes(partial(print, "between"), range(3), 2)) == [None] * 3
    assert not list(in_processes(math.factorial, [], 2))


def test_what_goes_wrong_in_a_process_is_raised_here_as_it_is():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(in_processes(os.stat, ["/", "/nowhere"], 2))


def test_a_process_that_is_killed_is_told_in_one_sentence():
    with pytest.raises(FrostlineError, match=r"ended with 7, .*: give the command again"):
        list(in_processes(os._exit, [7], 1))


def test_processes_end_with_the_one_that_began_them():
    """However that ends; and its script, which nothing guards, is not run again in each."""
    script = (
        "import os, signal\nprint('once', flush=True)\nfrom frostline.parallel import in_processes\n"
        "import operator\n"
        "for process in in_processes(operator.attrgetter('real'), iter([0] * 9), 1):\n"
        "    print(*open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read().split(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    once, begun = done.stdout.splitlines()
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{begun}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert once == "once" and not os.path.exists(f"/proc/{begun}")
