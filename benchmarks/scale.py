"""Many scenes: how fast and how small they are prepared, opened and compared, beside an earlier state of the code."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.row import Row
from benchmarks.start import BEFORE, ROOT

SCENES, MORE, MILLION = 20_000, 100_000, 1_000_000
CHILD = Path(__file__).with_name("scale_child.py")


def _child(code: Path, what: str, *arguments: object) -> dict[str, Any]:
    """What a process of its own says of itself, with one side's code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(CHILD), str(code / "src"), what, *map(str, arguments)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _before(folder: Path) -> Path:
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE], check=True, capture_output=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def prepare_many() -> list[Row]:
    """20,000 pictures with three boxes each, prepared by both sides, then again; opened; and 100,000 by today's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = _before(folder / "before")
        _child(ROOT, "draw", folder / "pictures", SCENES, 256)
        ours, other = (_child(code, "prepare", folder / "pictures", SCENES, 256, out) for code, out in _sides(folder))
        opened = [_child(code, "open", out) for code, out in _sides(folder)]
        _child(ROOT, "draw", folder / "small", MORE, 64)
        few, many = (_child(ROOT, "prepare", folder / "small", n, 64, folder / f"{n}") for n in (SCENES, MORE))
        assert before.exists() and ours["data"] == other["data"]
    was, now = opened[1], opened[0]
    return [
        _row("prepare_20k", "`prepare` of 20,000 pictures of 256 px, seconds", ours, other, "first", 0.5, "s"),
        _row("prepare_20k_again", "the same, unchanged, seconds", ours, other, "again", 0.15, "s"),
        _row("prepare_20k_memory", "its peak memory beyond imports, MB", ours, other, "peak", 0.25, "MB"),
        _row("prepare_100k_memory", "of 100,000 pictures of 64 px, of that at 20,000", many, few, "peak", 1.2, "MB"),
        _row("open_20k", "`Dataset.open` and its scenes at 20,000, seconds", now, was, "seconds", 0.05, "s"),
        _row("open_20k_memory", "their peak memory, MB", now, was, "memory", 0.05, "MB"),
    ]


def _sides(folder: Path) -> list[tuple[Path, Path]]:
    return [(ROOT, folder / "ours"), (folder / "before", folder / "other")]


def _row(name: str, what: str, ours: dict[str, Any], other: dict[str, Any], key: str, most: float, unit: str) -> Row:
    words = f"{what}, of those at {BEFORE[:7]}" if "that at" not in what else f"peak memory of `prepare` {what}"
    figures = [f"{side[key]:.3g} {unit}" for side in (ours, other)]
    return Row(name, words, ours[key] / other[key], f"<= {most:g}", *figures)


def open_million() -> list[Row]:
    """The columns of 20,000 and of 1,000,000 scenes, made directly; opened, and read here and there."""
    with tempfile.TemporaryDirectory() as name:
        found = []
        for scenes in (SCENES, MILLION):
            _child(ROOT, "columns", Path(name) / str(scenes), scenes)
            found.append(_child(ROOT, "open", Path(name) / str(scenes)))
        workers = _child(ROOT, "workers", Path(name) / str(MILLION))
    few, many = found
    ratio = many["seconds"] / few["seconds"]
    figures = [f"{1000 * side['seconds']:.3g} ms" for side in (many, few)]
    each = f"{workers['memory']:.3g} MB, after 20,000 scenes"
    return [
        Row("open_million", "`Dataset.open` and its scenes at 1,000,000, of those at 20,000", ratio, "<= 5", *figures),
        Row(
            "open_million_memory",
            "memory of the process for that, MB",
            many["memory"],
            "<= 150",
            f"{many['memory']} MB",
        ),
        Row("open_million_worker", "more for each worker, MB", workers["memory"], "<= 60", each),
    ]


def near_million() -> list[Row]:
    """Hashes of 1,000,000 pictures, 1 % of them copies in up to 8 bits; then with 50,000 of one place among them."""
    rows = []
    for name, what, share in (("near_million", "", 0), ("near_crowd", ", 5 % of them nearly alike", 20)):
        few, many = (_child(ROOT, "near", n, n // share if share else 0) for n in (MORE, MILLION))
        ratio, found = many["seconds"] / few["seconds"], min(many["found"], few["found"])
        figures = [f"{side['seconds']:.3g} s" for side in (many, few)]
        told = f"near-duplicates among 1,000,000 hashes{what}"
        rows += [
            Row(f"{name}_time", f"{told}: processor time of that at 100,000", ratio, "<= 15", *figures),
            Row(f"{name}_found", f"{told}: share of the planted that is found", found, "== 1", f"{found:.4g}"),
            Row(f"{name}_memory", f"{told}: memory, MB", many["memory"], "<= 300", f"{many['memory']} MB"),
        ]
    return rows


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "prepare_many": prepare_many,
    "open_million": open_million,
    "near_million": near_million,
}
