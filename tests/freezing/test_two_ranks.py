"""Two processes go through every boundary of every schedule as one would with both their batches."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.checking.prepare import prepare_from_config
from frostline.config import compose, conf_dir

SCHEDULES = {path.stem for path in (conf_dir() / "schedule").glob("*.yaml")}
LIMIT = 300  # s; a process that waits for another gives up after 60 by itself


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What two_ranks.py writes down, by case."""
    folder = tmp_path_factory.mktemp("ranks")
    overrides = ["train=20", "val=20", "test=10", "size=32"]  # two batches to validate, one for each process
    config = compose([f"dataset.source.{override}" for override in overrides])
    dataset = prepare_from_config(config["dataset"], folder / "meadow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = Path(__file__).with_name("two_ranks.py")
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), str(dataset.path), str(folder), port],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "PYTHONPATH": path,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # the ranks too
            process.wait()
    assert process.returncode == 0, said[-3000:]
    return json.loads((folder / "answers.json").read_text())


def test_both_ranks_hold_the_same_parameters_after_each_epoch(answers):
    # The trap: DDP exchanges gradients only of what had one when it wrapped the model, so that what thaws drifts apart.
    assert answers.keys() >= SCHEDULES
    for name in ("gradual", "gradual_discriminative"):
        assert set(answers[name]["depths"]) == set(range(7)), "a boundary that is not crossed"
    for name, answer in answers.items():
        one, other = (rank["digests"] for rank in answer["ranks"])
        assert one == other, name
        assert len(set(one)) == len(one) == 12, name  # every epoch moved something


def test_two_ranks_give_what_one_process_gives(answers):
    # The trap: ranks that agree with each other, and are wrong together: gradients summed and not averaged, pictures
    # left out, a group whose gradients are dropped.
    for name, answer in answers.items():
        # In double precision a gradient, summed in another order, is off by about 1e-16, and AdamW's eps (1e-8)
        # enlarges that at most to 1e-8 of a step. The parameters moved by about 1e-2.
        assert answer["difference"] < 1e-9 and answer["moved"] > 1e-3, name
        for rank in answer["ranks"]:
            assert rank["losses"] == pytest.approx(answer["losses"], rel=1e-9), name


def test_both_ranks_end_a_phase_at_the_same_epoch(answers):
    # The trap: each rank waits for a plateau of its own pictures' loss. Those of the `divided` cases disagree.
    for name, answer in answers.items():
        assert [rank["ends"] for rank in answer["ranks"]] == [answer["ends"]] * 2, name
    assert answers["divided val_loss"]["ends"] == answers["divided train_loss"]["ends"] == [3, 12]


def test_of_what_is_spread_each_process_holds_about_half(answers):
    # Of parameters, and of what AdamW keeps of each: the trap is a rank that keeps the whole beside its part.
    sharded = [name for name in answers if name.startswith("sharded")]
    assert len(sharded) == 3
    for name in sharded:
        for rank in answers[name]["ranks"]:
            for part, whole in zip(rank["held"], answers[name]["held"], strict=True):
                assert 0.4 < part / whole < 0.6, name
