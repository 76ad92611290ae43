"""How long `frostline train` takes to its first step, beside an earlier state of the code in the same environment; and
what a run costs beyond its training in a process that has trained others."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row
from benchmarks.stock import empty, study
from frostline.environment import THREADS
from frostline.parallel import cores

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "f3277eebd2dd9aaeefe3a6888023b6ea71fa2ae8"
PAIRS = 3
RUNS, EPOCHS = 6, 4
SMALL = ["image_size=64", "dataset.source.size=64", "trainer.epochs=3", "schedule=full"]
SMALL += ["dataset.source.train=24", "dataset.source.val=8", "dataset.source.test=8"]
# Runs the command, and leaves as soon as Lightning has taken a step. It is told of every import, and so loads nothing
# before the command does.
UNTIL_STEP = """
import os, sys
patched = []
def told(event, arguments):
    loop = sys.modules.get("pytorch_lightning.loops.optimization.automatic") if event == "import" else None
    if loop is not None and hasattr(loop, "_AutomaticOptimization") and not patched:
        patched.append(step := loop._AutomaticOptimization.run)
        loop._AutomaticOptimization.run = lambda *all, **more: (step(*all, **more), os._exit(77))
sys.addaudithook(told)
from frostline.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start() -> list[Row]:
    """Both sides in turn, on a warm disk, with a dataset that is prepared already."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        before.mkdir()
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(before)], input=archive, check=True)
        sides = {side: Path(folder) / f"in {side.name}" for side in (ROOT, before)}
        for code, place in sides.items():
            place.mkdir()
            _seconds(code, place)
        pairs = [[_seconds(code, place) for code, place in sides.items()] for _ in range(PAIRS)]
    ratio = statistics.median(ours / other for ours, other in pairs)
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = f"seconds of `frostline train` to its first step, of those at {BEFORE[:7]}, with threads that wait alike"
    return [Row("start", what, ratio, "<= 0.6", f"{ours:.1f} s", f"{other:.1f} s")]


def _seconds(code: Path, place: Path) -> float:
    # Threads wait alike on both sides: spinning ones, beside any other work, make the earlier state look far slower.
    environment = {**os.environ, "PYTHONPATH": str(code / "src"), **THREADS}
    # Both keep their bytecode, as for any user: some machines are told to keep none.
    for name in ("MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", UNTIL_STEP, "train", *SMALL], cwd=place, env=environment, check=False)
    seconds = time.perf_counter() - start
    assert done.returncode == 77, "it ended before its first step"
    return seconds


def warm_cell() -> list[Row]:
    """Of the runs of one process but its first: from each one's start to its end, without its epochs."""
    grid = {
        "task": ["classification"],
        "backbone": ["efficientnet_lite0"],
        "schedule": ["full"],
        "seed": [*range(RUNS)],
    }
    overrides = ["image_size=128", f"trainer.epochs={EPOCHS}", f"trainer.threads={cores()}"]  # one run at a time
    overrides += ["dataset.source.train=192", "dataset.source.val=64", "dataset.source.test=64"]
    with empty() as folder:
        study(folder, grid, overrides)
        found = sorted(map(_beyond, (folder / "runs/bench").glob("cells/*.json")))
    each = [beyond for _, beyond in found[1:]]
    what = (
        f"seconds of a run beyond its epochs ({EPOCHS} of 192 drawn pictures of 128 px, EfficientNet-Lite0, "
        f"`schedule=full`), in a process that has trained others: building, test, timing, pictures, files; median of "
        f"{len(each)}"
    )
    return [Row("warm_cell", what, statistics.median(each), "<= 2", ", ".join(f"{seconds:.1f} s" for seconds in each))]


def _beyond(cell: Path) -> tuple[float, float]:
    """When a run began, and its seconds without its epochs, of which the first is taken to be as long as the others."""
    (attempt,) = json.loads(cell.read_text())["attempts"]
    journal = cell.parent.parent / "work" / cell.stem / "results" / "epochs.jsonl"
    ends = [json.loads(line)["time"] for line in journal.read_text().splitlines()]
    epoch = (ends[-1] - ends[0]) / (len(ends) - 1)
    return attempt["started"], attempt["ended"] - attempt["started"] - epoch * len(ends)


MEASURES: dict[str, Callable[[], list[Row]]] = {"start": start, "warm_cell": warm_cell}
