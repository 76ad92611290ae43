"""What a run will cost, from a few training steps on this machine."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from frostline.config import Config, build
from frostline.tasks.base import Task

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


class Estimator:
    """Seconds of training, by timing steps once for each model, size and frost line that the runs share."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Any, ...], float] = {}
        self._scenes: dict[str, int] = {}

    def __call__(self, config: Config) -> float:
        name = config["dataset"]["name"]
        if name not in self._scenes:
            self._scenes[name] = train_scenes(config["dataset"])
        task = self._task(config)
        per_image = 0.0
        for epoch in range(task.epochs):
            frozen = tuple(group for group, scale in task.state_at(epoch).items() if scale is None)
            per_image += self._per_image(config, task, frozen)
        return START_SECONDS + per_image * self._scenes[name]

    def _task(self, config: Config) -> Task:
        from frostline.studies.run import build_task

        return build_task(config, tuple(f"class {i}" for i in range(5)))

    def _per_image(self, config: Config, task: Task, frozen: tuple[str, ...]) -> float:
        batch_size = config["trainer"]["batch_size"]
        key = (config["task"]["name"], str(config["backbone"]), str(config["head"]), config["image_size"], frozen)
        if key not in self._seconds:
            task.freeze(frozen)
            task.train()
            size = config["image_size"]
            box = torch.tensor([[size * 0.2, size * 0.2, size * 0.8, size * 0.8]])
            batch = {
                "image": torch.rand(batch_size, 3, size, size),
                "label": torch.zeros(batch_size, dtype=torch.long),
                "boxes": [box] * batch_size,
                "box_labels": [torch.zeros(1, dtype=torch.long)] * batch_size,
                "mask": torch.zeros(batch_size, size, size, dtype=torch.long),
            }
            times = []
            for _ in range(STEPS):
                start = time.perf_counter()
                torch.stack(list(task.criterion(task(batch["image"]), batch).values())).sum().backward()
                times.append(time.perf_counter() - start)
            self._seconds[key] = min(times) / batch_size
        return self._seconds[key]
