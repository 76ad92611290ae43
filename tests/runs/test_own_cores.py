"""Processes of one run on one machine have processors of their own, and give them back."""

import os

import pytest

from frostline import parallel
from frostline.parallel import cores, have_all_cores, keep_to_own_cores
from frostline.runs.provenance import machine

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")


@pytest.fixture
def kept(monkeypatch):
    """The processors that this process is bound to; it is none for the test's."""
    now = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(now))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, own: (now.clear(), now.update(own)))
    monkeypatch.setattr(parallel, "_GIVEN", set())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return now


@pytest.mark.parametrize(
    ("there", "count", "each"),
    [
        ({0, 1, 2, 3}, 2, [{0, 1}, {2, 3}]),
        ({0, 1, 2, 3, 4}, 2, [{0, 1}, {2, 3}]),
        ({3, 5, 9}, 3, [{3}, {5}, {9}]),
        ({0, 1}, 3, [{0, 1}, {0, 1}, {0, 1}]),  # too few for each to have one
    ],
)
def test_each_has_as_many_of_those_that_there_are(kept, there, count, each):
    for local, expected in enumerate(each):
        kept.clear()
        kept.update(there)
        keep_to_own_cores(local, count)
        assert kept == expected
        have_all_cores()
        assert kept == there


def test_one_with_more_threads_than_it_would_have_processors_keeps_all(kept, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    keep_to_own_cores(0, 2)
    assert kept == {0, 1, 2, 3}


def test_the_machine_is_as_large_as_before(kept):
    # Catches a load that is judged by a share of the machine, and a record of a machine that nobody has.
    before = machine()
    keep_to_own_cores(1, 2)
    assert kept == {2, 3} and cores() == 4 and machine() == before
