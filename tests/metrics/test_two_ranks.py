"""Shards of a set on two processes, one of them without a scene, give what one process gives."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).with_name("two_ranks.py"))


@pytest.mark.slow
def test_two_ranks_give_what_one_gives():
    # Catches means over ranks, an order that depends on them, and a rank that waits for one that has nothing to say.
    (alone,) = values([list(range(12))])
    assert 0 < alone["map"] < 1 and 0 < alone["miou"] < 1
    assert [row["index"] for row in alone["rows"]] == list(range(12))
    assert min(alone["scores_ap_by_class"]) > 0 and max(alone["scores_ap_by_class"]) < 1
    assert 0 < alone["class_f1"] < 1 and 0 < alone["class_accuracy"] < alone["class_top2"] < 1
    assert alone["class_ece"] > 0 and max(alone["class_f1_by_class"]) < 1 and alone["class_f1_by_class"][3] == -1
    assert sum(map(sum, alone["class_confusion"])) == 12
    assert 0 < alone["iou50"] <= 1 and 0 < alone["iou"] < 1
    assert values([[1, 3, 5, 7, 9, 11], [0, 2, 4, 6, 8, 10]]) == [alone, alone]
    assert values([[], list(range(12))]) == [alone, alone]


def values(shards):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), port, json.dumps(shards)], stdout=subprocess.PIPE, text=True
        )
        for rank in range(len(shards))
    ]
    try:
        return [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
