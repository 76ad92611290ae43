import threading

import pytest

from frostline.serve.batches import Batches


def test_what_waits_goes_together_and_up_to_the_most():
    begun, go = threading.Event(), threading.Event()
    sizes = []

    def work(items):
        sizes.append(len(items))
        begun.set()
        go.wait(10)
        return [2 * item for item in items]

    batches = Batches(work, most=4, wait=0)
    first = batches.put(0)
    begun.wait(10)
    rest = [batches.put(item) for item in range(1, 12)]
    rest[4].cancel()  # whoever asked is gone
    go.set()
    batches.close()
    right = [0, 2, 4, 6, 8, *range(12, 24, 2)]
    assert [one.result(0) for one in [first, *rest] if not one.cancelled()] == right
    assert sizes == [1, 4, 4, 2]


def test_the_first_waits_for_others_no_longer_than_it_should():
    batches = Batches(lambda items: [len(items)] * len(items), most=2, wait=10)
    one, two = batches.put(0), batches.put(0)
    assert one.result(5) == two.result(5) == 2  # full, and so at once
    batches.close()


def test_what_came_while_others_were_at_work_does_not_wait_again():
    """Catches a network that stands still between any two batches, for want of a full one."""
    begun, go = threading.Event(), threading.Event()

    def work(items):
        begun.set()
        go.wait(10)
        return list(items)

    batches = Batches(work, most=2, wait=2)
    batches.put(0), batches.put(1)  # full, and so at once
    assert begun.wait(1)
    late = batches.put(2)
    go.set()
    assert late.result(1) == 2
    batches.close()


def test_streams_go_beside_each_other_and_all_is_answered_once():
    both = threading.Barrier(2, timeout=10)

    def work(items):
        if items[0] < 2:
            both.wait()  # which one stream alone would never pass
        return [10 * item for item in items]

    batches = Batches(work, most=1, streams=2)
    asked = [batches.put(item) for item in range(40)]
    batches.close()
    assert [one.result(0) for one in asked] == [10 * item for item in range(40)]


@pytest.mark.parametrize("work", [lambda items: 1 / 0, lambda items: []])
def test_an_error_comes_to_all_who_asked(work):
    batches = Batches(work, most=4)
    asked = [batches.put(0) for _ in range(3)]
    for one in asked:
        with pytest.raises((ZeroDivisionError, ValueError)):
            one.result(5)
    batches.close()
