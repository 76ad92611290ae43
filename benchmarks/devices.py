"""One run on several devices, which share the cores of this machine; and a run that goes on, beside one that begins."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.row import Row
from benchmarks.start import UNTIL_STEP
from frostline.parallel import cores

TIMES = 3
SMALL = ["trainer.epochs=4", "trainer.batch_size=32", "dataset.source.train=256", "tracking=none"]
SMALL += ["dataset.source.val=16", "dataset.source.test=16", "trainer.accelerator=cpu"]


def devices() -> list[Row]:
    """The command with two processes of a thread each, and with one of two, in turn: the same batches.

    Of `full`, whose batch norms meet at each step, and of `thaw`, which keeps ImageNet's statistics once it has thawed.
    """
    rows = []
    for name, schedule, norms in (("devices", "full", "synchronised"), ("devices_thaw", "thaw", "kept")):
        with tempfile.TemporaryDirectory() as folder:
            pairs = [[_epoch(Path(folder), schedule, count, turn) for count in (2, 1)] for turn in range(TIMES)]
        ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
        what = f"a thawed epoch of `{schedule}` (norms {norms}) on two processes, times that on one process with as "
        what += "many threads, same batches of 32"
        ratio = statistics.median(two / one for two, one in pairs)
        rows.append(Row(name, what, ratio, "<= 1.15", f"{ours:.1f} s", f"{other:.1f} s"))
    return rows


def _epoch(folder: Path, schedule: str, count: int, turn: int) -> float:
    """Seconds of training in the last epoch."""
    study, threads = f"{count}-{turn}", max(1, cores() // count)
    command = [sys.executable, "-m", "frostline", "train", *SMALL, f"schedule={schedule}", f"study={study}"]
    command += [f"trainer.devices={count}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (journal,) = folder.glob(f"runs/{study}/results/*/epochs.jsonl")
    seconds = [json.loads(line)["train_seconds"] for line in journal.read_text().splitlines()]
    return float(seconds[-1] - seconds[-2])


def spread() -> list[Row]:
    """Bytes of what a process holds of ResNet-50 after a step of AdamW: one of two that share it, and one alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, two = (_held(folder, engine, count) for engine, count in (("cpu", 1), ("fsdp", 2)))
    most = max(two)
    what = (
        "parameters and optimizer state of ResNet-50 in each of two processes under trainer=fsdp, as a share of those "
    )
    what += "in one"
    return [Row("spread", what, most / one[0], "<= 0.55", f"{most / 1e6:.1f} MB", f"{one[0] / 1e6:.1f} MB")]


def _held(folder: Path, engine: str, count: int) -> list[int]:
    """Bytes, of each process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += [
        str(Path(__file__).with_name("held_child.py")),
        str(folder / f"held{count}"),
        "train",
        "schedule=full",
        *SMALL,
    ]
    command += ["backbone=resnet50", "backbone.pretrained=false", f"trainer={engine}", f"trainer.devices={count}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores() // count))}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return [sum(json.loads((folder / f"held{count}.{rank}").read_text()).values()) for rank in range(count)]


def resume() -> list[Row]:
    """From the start of the process to a step: of a run that goes on after its first epoch, and of one that begins."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _until_step(folder, "warm")
        stopped = subprocess.Popen(
            [sys.executable, "-m", "frostline", "train", "schedule=full", *SMALL, "study=stopped"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (found := list(folder.glob("runs/stopped/work/*/last.ckpt"))):
            assert stopped.poll() is None
            time.sleep(0.05)
        stopped.send_signal(signal.SIGTERM)
        stopped.wait()
        before = time.perf_counter()
        torch.load(found[0], map_location="cpu", weights_only=True)
        reading = time.perf_counter() - before
        pairs = [[_until_step(folder, "stopped"), _until_step(folder, f"new{turn}")] for turn in range(TIMES)]
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "seconds from the start of the command to a step, where a run goes on, less reading its checkpoint, times "
    what += "those of one that begins"
    ratio = statistics.median((on - reading) / new for on, new in pairs)
    return [Row("resume", what, ratio, "<= 1.1", f"{ours:.1f} s, reading {reading:.2f} s", f"{other:.1f} s")]


def _until_step(folder: Path, study: str) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-c", UNTIL_STEP, "train", "schedule=full", *SMALL, f"study={study}"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    assert done.returncode == 77, done.stderr[-2000:]
    return time.perf_counter() - start


MEASURES: dict[str, Callable[[], list[Row]]] = {"devices": devices, "spread": spread, "resume": resume}
