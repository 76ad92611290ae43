"""What a training step costs the processor."""

import multiprocessing
import statistics
import time
from collections.abc import Callable

from benchmarks.row import Row

STEPS, TIMES = 6, 3


def memory_kept() -> list[Row]:
    """Steps of a segmentation, in processes of their own with freed memory kept and given back, in turn."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pairs = [(pool.apply(_step_seconds, (True,)), pool.apply(_step_seconds, (False,))) for _ in range(TIMES)]
    ratio = statistics.median(other / ours for ours, other in pairs)
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "processor time of a training step where freed memory is given back, times that where it is kept"
    return [Row("memory_kept", what, ratio, ">= 1.1", f"{ours:.2f} s", f"{other:.2f} s")]


def _step_seconds(kept: bool) -> float:
    import torch

    from frostline.config import compose
    from frostline.runs.train import build_task, keep_memory

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


MEASURES: dict[str, Callable[[], list[Row]]] = {"memory_kept": memory_kept}
