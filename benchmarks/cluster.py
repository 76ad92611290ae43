"""A study's runs as an array of SLURM's over two nodes, beside the same runs one after the other."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row

TIMES, RUNS = 3, 8
STUDY = """
question: which seed?
grid:
  task: [classification]
  seed: [0, 1, 2, 3, 4, 5, 6, 7]
overrides:
  - backbone=small_cnn
  - schedule=full
  - trainer.epochs=4
  - trainer.accelerator=cpu
  - tracking=none
"""


def array() -> list[Row]:
    """Both from the first command to the last run's results; one alone has all cores, of the nodes each has one."""
    from tests.helpers.slurm import cluster, missing

    if reason := missing():
        raise SystemExit(f"No SLURM can be brought up here: {reason}")
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # munge asks for that
        with cluster(Path(name) / "slurm") as slurm:
            pairs = [[side(Path(name), slurm.conf, turn) for side in (_array, _in_turn)] for turn in range(TIMES)]
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = f"{RUNS} short runs as an array over two nodes of one core each, times the same one after the other"
    ratio = statistics.median(one / two for one, two in pairs)
    return [Row("array", what, ratio, "<= 0.6", f"{ours:.0f} s", f"{other:.0f} s")]


def _array(folder: Path, conf: Path, turn: int) -> float:
    place = _prepared(folder / f"array{turn}")
    start = time.perf_counter()
    _call(place, conf, "submit", "mine", "launcher.cpus_per_task=1")
    _wait(place)
    return time.perf_counter() - start


def _in_turn(folder: Path, conf: Path, turn: int) -> float:
    place = _prepared(folder / f"turn{turn}")
    start = time.perf_counter()
    for number in range(RUNS):
        _call(place, conf, "train", "--ahead", "--plan", f"runs/mine/plan/classification-{number}.yaml")
    _wait(place)
    return time.perf_counter() - start


def _prepared(place: Path) -> Path:
    study = place / "experiments" / "mine"
    study.mkdir(parents=True)
    (study / "study.yaml").write_text(STUDY)
    for command in ("plan", "experiments/mine"), ("prepare", "--study", "experiments/mine"):
        _call(place, None, *command)
    return place


def _wait(place: Path) -> None:
    end = time.monotonic() + 600
    while len(list(place.glob("runs/mine/work/*/results/result.json"))) < RUNS:
        assert time.monotonic() < end
        time.sleep(0.1)


def _call(place: Path, conf: Path | None, *command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLURM_CONF": str(conf)} if conf else {}
    subprocess.run(
        [sys.executable, "-m", "frostline", *command], cwd=place, env=environment, check=True, capture_output=True
    )


MEASURES: dict[str, Callable[[], list[Row]]] = {"array": array}
