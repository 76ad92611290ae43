"""What a training step costs the processor."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.pool import Pool

from benchmarks.row import Row

STEPS, TIMES = 6, 3
BUSY_STEPS = 15


def memory_kept() -> list[Row]:
    """Steps of a segmentation, in processes of their own with freed memory kept and given back, in turn."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pairs = [(pool.apply(_step_seconds, (True,)), pool.apply(_step_seconds, (False,))) for _ in range(TIMES)]
    ratio = statistics.median(other / ours for ours, other in pairs)
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "processor time of a training step where freed memory is given back, times that where it is kept"
    return [Row("memory_kept", what, ratio, ">= 1.1", f"{ours:.2f} s", f"{other:.2f} s")]


def busy() -> list[Row]:
    """Steps that use every core, in processes of their own: alone and beside a busy one, with threads that wait
    passively, as all of Frostline's do, and without that setting."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        rounds = [
            {(passive, beside): _beside(pool, passive, beside) for beside in (False, True) for passive in (True, False)}
            for _ in range(TIMES)
        ]
    alone, beside = ({p: statistics.median(r[p, b] for r in rounds) for p in (True, False)} for b in (False, True))
    slower = statistics.median(r[True, True] / r[True, False] for r in rounds)
    idle = statistics.median(r[True, False] / r[False, False] for r in rounds)
    return [
        Row(
            "busy",
            "a training step that uses every core, beside one busy process, times the step alone",
            slower,
            "<= 2.5",
            f"{beside[True]:.2f} s beside, {alone[True]:.2f} s alone",
            f"without OMP_WAIT_POLICY=passive {beside[False]:.2f} s beside, {alone[False]:.2f} s alone",
        ),
        Row(
            "busy_idle",
            "the same step on an idle machine, times the step without OMP_WAIT_POLICY=passive",
            idle,
            "<= 1.03",
            f"{alone[True]:.3f} s",
            f"{alone[False]:.3f} s",
        ),
    ]


def _beside(pool: Pool, passive: bool, beside: bool) -> float:
    other = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    if beside:
        other.start()
    try:
        return float(pool.apply(_wall_seconds, (passive,)))
    finally:
        if beside:
            other.terminate()
            other.join()


def _spin() -> None:
    while True:
        pass


def _wall_seconds(passive: bool) -> float:
    """Seconds of a step of a classification; torch, which reads the setting, loads here."""
    import os

    import frostline  # noqa: F401  its settings are made

    os.environ["OMP_WAIT_POLICY"] = "passive"
    if not passive:
        del os.environ["OMP_WAIT_POLICY"]
    import torch

    from frostline.config import compose
    from frostline.runs.build import build_task
    from frostline.runs.provenance import cores

    torch.manual_seed(0)
    torch.set_num_threads(cores())
    task = build_task(compose(["schedule=full"]), tuple("abc")).train()
    image, label = torch.randint(0, 256, (32, 3, 128, 128), dtype=torch.uint8), torch.arange(32) % 3
    seconds = []
    for _ in range(1 + BUSY_STEPS):
        start = time.perf_counter()
        task.zero_grad()
        torch.nn.functional.cross_entropy(task(image), label).backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _step_seconds(kept: bool) -> float:
    import torch

    from frostline.config import compose
    from frostline.runs.build import build_task
    from frostline.runs.process import keep_memory

    if kept:
        keep_memory()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    task = build_task(compose(["task=segmentation", "schedule=full", "image_size=256"]), tuple("abc")).train()
    batch = {"mask": torch.randint(0, 3, (8, 256, 256)), "id": list("abcdefgh")}
    image = torch.randint(0, 256, (8, 3, 256, 256), dtype=torch.uint8)
    seconds = []
    for _ in range(STEPS):
        start = time.process_time()
        task.zero_grad()
        torch.stack(list(task.criterion(task(image), batch).values())).sum().backward()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


MEASURES: dict[str, Callable[[], list[Row]]] = {"memory_kept": memory_kept, "busy": busy}
