"""The lecture, as who has just installed it runs it: how long it takes, and how much of it is checked."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row
from benchmarks.start import ROOT
from frostline.lecture.order import ORDER


def lecture() -> list[Row]:
    """All parts on drawn pictures, in a process of its own and an empty folder: nothing is prepared or kept yet."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run([sys.executable, "-m", "frostline", "lecture"], cwd=name, env=environment, check=True)
        seconds = time.perf_counter() - start
        told = json.loads((Path(name) / "runs/lecture/claims.json").read_text())
    done = [part for part in told["parts"] if part["state"] == "done"]
    claims = sum(len(part["claims"]) for part in done)
    slowest = max(done, key=lambda part: float(part["seconds"]))
    took = f"{seconds:.0f} s, of which {slowest['name']} {slowest['seconds']:.0f} s"
    names = ", ".join(part["name"] for part in done)
    return [
        Row("lecture", "`frostline lecture` on drawn pictures, seconds", seconds, "<= 240", took),
        Row("lecture_parts", "its parts that are made", len(done), f"== {len(ORDER)}", names),
        Row("lecture_claims", "its claims, each asserted", claims, ">= 60", f"{claims} in {len(done)} parts"),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {"lecture": lecture}
