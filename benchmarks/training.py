"""What a training step costs the processor."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.pool import Pool

from benchmarks.row import Row

STEPS, TIMES = 6, 3
PAIRS, BUSY_PAIRS = 60, 5
READY: list[Callable[[], None]] = []  # the step, in a process that takes some


def memory_kept() -> list[Row]:
    """Steps of a segmentation, in processes of their own with freed memory kept and given back, in turn."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pairs = [(pool.apply(_step_seconds, (True,)), pool.apply(_step_seconds, (False,))) for _ in range(TIMES)]
    ratio = statistics.median(other / ours for ours, other in pairs)
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "processor time of a training step where freed memory is given back, times that where it is kept"
    return [Row("memory_kept", what, ratio, ">= 1.1", f"{ours:.2f} s", f"{other:.2f} s")]


def busy() -> list[Row]:
    """Steps that use every core, in two processes that take turns, with the threads of Frostline and with those that
    torch has where nothing is set: alone, and beside a busy process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, _begin, (True,)) as ours, context.Pool(1, _begin, (False,)) as unset:
        alone = [_turns(ours, unset, even) for even in range(PAIRS)]
        other = context.Process(target=_spin, daemon=True)
        other.start()
        try:
            beside = [_turns(ours, unset, even) for even in range(BUSY_PAIRS)]
        finally:
            other.terminate()
            other.join()
    one, unset_one = (statistics.median(side) for side in zip(*alone, strict=True))
    two, unset_two = (statistics.median(side) for side in zip(*beside, strict=True))
    return [
        Row(
            "busy",
            "a training step that uses every core, beside one busy process, times the step alone",
            two / one,
            "<= 2.5",
            f"{two:.2f} s beside, {one:.2f} s alone",
            f"with torch's own threads {unset_two:.2f} s beside, {unset_one:.2f} s alone",
        ),
        Row(
            "busy_idle",
            "the same step on an idle machine, times the step with torch's own threads",
            statistics.median(first / second for first, second in alone),
            "<= 1.03",
            f"{one:.3f} s",
            f"{unset_one:.3f} s",
        ),
    ]


def _turns(ours: Pool, unset: Pool, turn: int) -> tuple[float, float]:
    """Seconds of one step each. Who goes first changes from turn to turn."""
    found = {}
    for pool in (ours, unset) if turn % 2 else (unset, ours):
        time.sleep(0.02)  # the other's threads spin no more
        found[pool] = float(pool.apply(_wall_seconds))
    return found[ours], found[unset]


def _spin() -> None:
    while True:
        pass


def _begin(ours: bool) -> None:
    """A classification's step is made ready; torch, which reads what is set, loads here."""
    import os

    from frostline.environment import THREADS  # importing it has set them

    for name, value in THREADS.items():
        os.environ[name] = value
        if not ours:
            del os.environ[name]
    import torch

    from frostline.config import compose
    from frostline.parallel import cores
    from frostline.runs.build import build_task

    torch.manual_seed(0)
    torch.set_num_threads(cores())
    task = build_task(compose(["schedule=full"]), tuple("abc")).train()
    image, label = torch.randint(0, 256, (32, 3, 128, 128), dtype=torch.uint8), torch.arange(32) % 3

    def step() -> None:
        task.zero_grad()
        torch.nn.functional.cross_entropy(task(image), label).backward()

    READY.append(step)
    step()


def _wall_seconds() -> float:
    start = time.perf_counter()
    READY[0]()
    return time.perf_counter() - start


def _step_seconds(kept: bool) -> float:
    import torch

    from frostline.config import compose
    from frostline.environment import keep_memory
    from frostline.runs.build import build_task

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
