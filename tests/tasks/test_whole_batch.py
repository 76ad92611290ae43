"""Batch norms of several processes have the statistics, outputs and gradients of the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).with_name("two_ranks.py"))


@pytest.mark.parametrize("count", [2, 3])
def test_shares_are_normalised_as_torch_normalises_the_whole(count, tmp_path):
    # Catches means of means, a variance about each share's own mean, gradients that take statistics for constants.
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), str(count), str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True
        )
        for rank in range(count)
    ]
    try:
        told = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for one in told:
        types, apart, statistics = one.pop("half")
        assert types == ["torch.bfloat16", "torch.bfloat16", "torch.float32"]
        assert max(apart) < 0.04 and statistics < 1e-5  # outputs up to 8, which in sixteen bits are 0.03 apart
        assert max(one.values()) < 1e-12, one
