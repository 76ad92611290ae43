"""A command that is told to stop: one line, the status that a shell expects, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from frostline.cli import main
from frostline.cli.stopping import Stopped, stoppable


def started(here, overrides):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "frostline", "train", *overrides]
    return subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def epochs(here, folder):
    return [
        line for path in here.glob(f"runs/default/{folder}/*/epochs.jsonl") for line in path.read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(signal.SIGTERM, 143, "told to stop (SIGTERM)"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_run_that_is_stopped_says_so_and_goes_on(number, status, words, here, small, capsys):
    overrides = [*small, "trainer.epochs=12", "tracking.system_metrics=false"]
    process = started(here, overrides)
    try:
        end = time.monotonic() + 120
        while len(epochs(here, "work")) < 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, error
    assert error.splitlines()[-1] == f"frostline: {words}; the same command goes on from what there is."
    assert "Traceback" not in error + out
    before = epochs(here, "work")
    assert 2 <= len(before) < 12
    if number == signal.SIGTERM:
        assert main(["train", *overrides]) == 0
        assert "train" in capsys.readouterr().out
        after = epochs(here, "results")
        assert after[0] == before[0] and len(after) == 12, "it began anew"  # the last one may not have been kept


def test_a_finished_run_says_that_it_is_done_and_how_it_is_done_anew(here, small, capsys, monkeypatch):
    overrides = [*small, "trainer.epochs=2", "schedule=frozen", "tracking.system_metrics=false"]
    assert main(["train", *overrides]) == 0
    first = capsys.readouterr().out.splitlines()[-1]
    (folder,) = here.glob("runs/default/results/*")
    before = (folder / "result.json").read_bytes()

    assert main(["train", *overrides]) == 0
    *_, result, told = capsys.readouterr().out.splitlines()
    assert result == first and "was done before" in told and f"rm -r {folder.relative_to(here)}" in told
    assert (folder / "result.json").read_bytes() == before
    # Another state of the code is another run.
    monkeypatch.setattr("frostline.runs.workplace.code_hash", lambda *parts: "another")
    assert main(["train", *overrides]) == 0
    assert "was done before" not in capsys.readouterr().out
    assert (folder / "result.json").read_bytes() != before


def test_a_signal_that_comes_in_a_finaliser_is_not_lost(capsys):
    class Told:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)  # Python prints what is raised here, and goes on

    with pytest.raises(Stopped, match="told to stop"), stoppable():
        Told()
        for _ in range(100):
            time.sleep(0.05)
    assert "Traceback" not in capsys.readouterr().err
    with stoppable():
        Told()
    time.sleep(0.1)  # and nothing comes after its end
