"""Processes of one run on one machine have cores of their own."""

import os

import pytest

from frostline.runs.together import _keep_to_own_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
@pytest.mark.parametrize(
    ("there", "count", "each"),
    [
        ({0, 1, 2, 3}, 2, [{0, 1}, {2, 3}]),
        ({0, 1, 2, 3, 4}, 2, [{0, 1}, {2, 3}]),
        ({3, 5, 9}, 3, [{3}, {5}, {9}]),
        ({0, 1}, 3, [{0, 1}, {0, 1}, {0, 1}]),  # too few for each to have one
    ],
)
def test_each_has_as_many_of_those_that_there_are(monkeypatch, there, count, each):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: there)
    for local, expected in enumerate(each):
        kept = set(there)
        monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores, kept=kept: (kept.clear(), kept.update(cores)))
        _keep_to_own_cores(local, count)
        assert kept == expected
