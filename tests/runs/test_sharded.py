"""A run whose parameters are spread over processes is the run of one, and so are its checkpoints."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.runs.preflight import check_parts

LIMIT = 240  # s


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What sharded_ranks.py writes down, by optimizer."""
    folder = tmp_path_factory.mktemp("sharded")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = Path(__file__).with_name("sharded_ranks.py")
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder), port],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_a_checkpoint_of_parts_is_one_of_a_single_process(found):
    # The trap: optimizers' states by name, a folder of parts, or pieces of tensors, which only as many can read.
    for answer in found.values():
        one, two = answer["shapes"]
        assert one == two


def test_a_run_goes_on_with_any_number_of_processes(found):
    # From one process to two, from two to one, and from two to two; the last to the very bits.
    for name, answer in found.items():
        assert max(answer["differences"].values()) < 1e-9, (name, answer["differences"])
        assert answer["gone on"] == 0, name


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("task=detection", "head=fcos", "backbone=resnet18"), "head=fcos"),
        (("task=detection", "head=sliding_window", "backbone=small_cnn"), "head=sliding_window"),
        (("trainer.precision=16-mixed",), "16-mixed"),
        (("trainer.compile=true",), "trainer.compile"),
    ],
)
def test_what_cannot_be_spread_is_refused_by_name(overrides, said):
    check_parts(compose(["trainer=ddp", *overrides]))
    with pytest.raises(FrostlineError, match="trainer=fsdp") as refused:
        check_parts(compose(["trainer=fsdp", *overrides]))
    assert said in str(refused.value)
