"""How long `frostline train` takes to its first step, beside an earlier state of the code in the same environment."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row
from frostline.environment import THREADS

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "f3277eebd2dd9aaeefe3a6888023b6ea71fa2ae8"
PAIRS = 3
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


MEASURES: dict[str, Callable[[], list[Row]]] = {"start": start}
