"""What docs/scaling.md reckons with: what one process or one lock does in a second, measured on this machine."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.row import Row

ENTRIES, CELLS, ROWS, PICTURES, SIDE = 300, 1000, 1_000_000, 4096, 224


def scaling() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [*_room(Path(folder)), *_cells(Path(folder)), *_read(Path(folder)), *_together(Path(folder))]


def _room(folder: Path) -> list[Row]:
    """The one lock that all runs of a machine, or of a file system, share: it is held while room is made."""
    from frostline.store.room import STEP
    from frostline.store.rows import Store

    store, seconds = Store(folder / "room", 1 << 40), []
    for number in range(ENTRIES):
        entry = store.open({"number": number}, 8)
        with entry.filling():
            start = time.perf_counter()
            entry.write([0], torch.zeros(1, 1024, dtype=torch.uint8))
            seconds.append(time.perf_counter() - start)
        entry.close()
    held = median(seconds[-20:])
    what = f"making room for an entry in a cache of {ENTRIES} others, under its one lock: seconds"
    told = f"{1e3 * held:.1f} ms, {STEP / held / 1e9:.1f} GB/s at {STEP >> 20} MB each"
    return [Row("scaling_room", what, held, "<= 0.05", told)]


def _cells(folder: Path) -> list[Row]:
    """What a cell writes of itself, and what `frostline status` reads of a thousand that run."""
    from frostline.launch.cells import Cell

    plans = folder / "runs" / "mine" / "plan"
    plans.mkdir(parents=True)
    start = time.perf_counter()
    for number in range(CELLS):
        plan = plans / f"classification-{number}.yaml"
        plan.write_text("a plan\n")
        cell = Cell(plan)
        cell.begin(f"1_{number}")
        cell.end("done", 0, "")
    each = (time.perf_counter() - start) / CELLS
    what = "a cell's plan, start and end, each written whole: seconds"
    return [Row("scaling_cell", what, each, "<= 0.02", f"{1e3 * each:.2f} ms")]


def _read(folder: Path) -> list[Row]:
    """Batches of 32 squares in any order, by one process, from the system's memory."""
    from frostline.store.rows import Store

    entry = Store(folder / "read", 1 << 40).open({"what": "squares"}, PICTURES)
    with entry.filling():
        for first in range(0, PICTURES, 64):
            some = torch.randint(256, (64, 3, SIDE, SIDE), dtype=torch.uint8)
            entry.write(range(first, first + 64), some.contiguous(memory_format=torch.channels_last))
    rates = []
    for turn in range(5):
        order = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(turn)).tolist()
        start = time.perf_counter()
        for first in range(0, PICTURES, 32):
            entry.read(order[first : first + 32])
        rates.append(PICTURES / (time.perf_counter() - start))
    rate = median(rates)
    what = f"pictures of {SIDE} px a second from the cache of decoded ones, by one process, in batches of 32"
    return [Row("scaling_read", what, rate, ">= 2000", f"{rate * 3 * SIDE * SIDE / 1e9:.2f} GB/s")]


def _together(folder: Path) -> list[Row]:
    """Two gloo processes: gathering what metrics keep, and the mean of gradients."""
    command = [sys.executable, "-m", "benchmarks.scaling", str(folder / "meet")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen([*command, str(rank)], env=environment, stdout=subprocess.PIPE) for rank in (0, 1)]
    told, _ = (one.communicate(timeout=300)[0] for one in both)
    found: dict[str, Any] = json.loads(told)
    what = f"{ROWS:,} rows of a metric (a class, and how sure) gathered by two gloo processes: seconds"
    mean = "the mean of gradients over two gloo processes of this machine: GB/s of gradients"
    return [
        Row("scaling_gather", what, found["gather"], "<= 5", f"{ROWS * 12 / found['gather'] / 1e6:.0f} MB/s"),
        Row("scaling_mean", mean, found["mean"], ">= 0.1", f"{found['mean']:.2f} GB/s"),
    ]


def _child(meet: str, rank: int) -> None:
    from torch import distributed

    from frostline.metrics.base import RowMetric

    class Kept(RowMetric):
        columns = {"sure": torch.zeros(0), "kind": torch.zeros(0, dtype=torch.long)}

        def update(self) -> None:
            self.keep(sure=torch.rand(ROWS // 2), kind=torch.randint(9, (ROWS // 2,)))

        def compute(self) -> int:
            return len(self.column("sure"))

    distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    gathered, means = [], []
    for _ in range(5):
        metric = Kept()
        metric.update()
        distributed.barrier()
        start = time.perf_counter()
        assert metric.compute() == ROWS // 2 * 2
        gathered.append(time.perf_counter() - start)
        gradients = torch.rand(25_000_000)
        distributed.barrier()
        start = time.perf_counter()
        distributed.all_reduce(gradients)
        means.append(4 * len(gradients) / 1e9 / (time.perf_counter() - start))
    if rank == 0:
        print(json.dumps({"gather": median(gathered), "mean": median(means)}))
    distributed.destroy_process_group()


MEASURES: dict[str, Callable[[], list[Row]]] = {"scaling": scaling}

if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
