"""The quickstart study in a fresh clone: how long it takes, and that nothing is trained twice."""

import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.row import Row

ROOT = Path(__file__).resolve().parents[1]


def repro() -> list[Row]:
    """`make repro` after installation, then again with nothing to do, then after editing one file in conf/."""
    with fresh_clone() as clone:
        seconds = _timed(clone, "make", "repro")
        cells = len(list(clone.glob("runs/quickstart/results/*/result.json")))
        idle = statistics.median(_timed(clone, "dvc", "repro") for _ in range(3))
        trained = _would_train(clone)
        full = clone / "conf/schedule/full.yaml"
        full.write_text(full.read_text().replace("scale: 0.5", "scale: 0.25"))
        _timed(clone, "dvc", "repro", "plan")
        again = _would_train(clone)
        expected = {p.parent.name for p in clone.glob("runs/quickstart/results/*-full-*/result.json")}
        wrong = len(again ^ expected)
    return [
        Row("repro", "`make repro` after installation, seconds", seconds, "<= 600", f"{seconds:.0f} s, {cells} runs"),
        Row("repro_idle", "`dvc repro` with nothing to do, seconds", idle, "<= 5", f"{idle:.1f} s, median of 3"),
        Row("repro_idle_runs", "runs that it trains again", len(trained), "== 0", f"{len(trained)} of {cells}"),
        Row(
            "conf_edit",
            "after editing conf/schedule/full.yaml: runs trained again that should not be, or the reverse",
            wrong,
            "== 0",
            f"{len(again)} runs",
            f"{len(expected)} runs use it",
        ),
    ]


def tests() -> list[Row]:
    """`make test` after installation."""
    with fresh_clone() as clone:
        seconds = _timed(clone, "make", "test")
    return [Row("tests", "`make test` after installation, seconds", seconds, "<= 600", f"{seconds:.0f} s")]


@contextmanager
def fresh_clone() -> Iterator[Path]:
    """A clone of the last commit with its environment installed, the shared pictures beside it where there are any."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "frostline"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        if (ROOT.parent / "shared").exists():
            (Path(folder) / "shared").symlink_to(ROOT.parent / "shared")
        _timed(clone, "make", ".venv/.ready")
        yield clone


def _timed(folder: Path, *command: str) -> float:
    environment = {**os.environ, "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def _would_train(folder: Path) -> set[str]:
    environment = {**os.environ, "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"}
    command = ["dvc", "repro", "--dry"]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return set(re.findall(r"Running stage 'train@([^']+)'", done.stdout))


MEASURES: dict[str, Callable[[], list[Row]]] = {"repro": repro, "tests": tests}
