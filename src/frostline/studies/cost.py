"""What a study will cost, from a few training steps on this machine."""

import heapq
import time
from collections.abc import Collection, Mapping
from typing import Any

import torch

from frostline.config import Config, build
from frostline.data.items import collate
from frostline.studies.ahead import places
from frostline.studies.provenance import cores
from frostline.tasks.base import Batch, Task

STEPS = 3
START_SECONDS = 12.0  # imports, reading the pictures, evaluation and pictures of predictions


def train_scenes(dataset: Mapping[str, Any]) -> int:
    """How many scenes the training split of a dataset will have, before anything is prepared."""
    source = build(dataset["source"])
    if counts := getattr(source, "counts", None):  # known without drawing
        return int(counts["train"])
    total = sum(1 for _ in source.scenes())
    split = dataset["split"]
    return round(total * split["train"]) if isinstance(split, Mapping) and "train" in split else total


def repro_seconds(seconds: Collection[float], configs: Collection[Config]) -> float:
    """Seconds until all of these runs are trained as `make repro` does it, several at a time.

    seconds: of each run, in the order of `configs`. A place that is free takes the next run.
    """
    if not configs:
        return 0.0
    busy_until = [0.0] * places(configs)[0]
    for length in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + length)
    return max(busy_until)


class Estimator:
    """Seconds of one run, by timing steps once for each model, size and frost line that the runs share.

    Activations that a run keeps below its frost line are not reckoned with: it may take less.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[Any, ...], float] = {}
        self._scenes: dict[str, int] = {}

    def __call__(self, config: Config) -> float:
        from frostline.studies.run import build_task, epochs_of

        name = config["dataset"]["name"]
        if name not in self._scenes:
            self._scenes[name] = train_scenes(config["dataset"])
        task = build_task(config, tuple(f"class {i}" for i in range(5)), epochs_of(config, self._scenes[name]))
        per_image = sum(self._per_image(config, task, epoch) for epoch in range(task.schedule.epochs))
        return START_SECONDS + per_image * self._scenes[name]

    def _per_image(self, config: Config, task: Task, epoch: int) -> float:
        batch_size, threads = config["trainer"]["batch_size"], config["trainer"]["threads"] or cores()
        model = (config["task"]["name"], str(config["backbone"]), str(config["head"]))
        frozen = tuple(part for part, scale in task.move_line(epoch).items() if scale is None)
        key = (*model, config["image_size"], batch_size, threads, frozen)
        if key not in self._seconds:
            batch = _batch(batch_size, config["image_size"])
            times = []
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            for _ in range(STEPS):
                start = time.perf_counter()
                torch.stack(list(task.criterion(task(batch["image"]), batch).values())).sum().backward()
                times.append(time.perf_counter() - start)
            torch.set_num_threads(before)
            self._seconds[key] = min(times) / batch_size
        return self._seconds[key]


def _batch(scenes: int, size: int) -> Batch:
    """What any task may ask of that many scenes: noise, with one label, one box and a mask of one class."""
    item = {
        "image": torch.randint(0, 256, (3, size, size), dtype=torch.uint8),
        "index": 0,
        "id": "a scene",
        "label": 0,
        "boxes": torch.tensor([[size * 0.2, size * 0.2, size * 0.8, size * 0.8]]),
        "box_labels": torch.zeros(1, dtype=torch.long),
        "mask": torch.zeros(size, size, dtype=torch.uint8),
    }
    return collate([item] * scenes)
