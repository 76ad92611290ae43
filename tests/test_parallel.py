import threading
import time

import pytest

from frostline.parallel import in_threads


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
