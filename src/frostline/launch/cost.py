"""What a study will cost, from a few training steps on this machine."""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from pytorch_lightning.utilities import move_data_to_device

from frostline.config import Config
from frostline.launch.local import places
from frostline.loading.batch import made_up
from frostline.runs.provenance import cores
from frostline.scenes.scene import SPLITS
from frostline.scenes.splits import Split
from frostline.sources.configured import configured
from frostline.tasks.base import Task

STEPS = 3
EVALUATED = 2  # scenes that are predicted together
START_SECONDS = 12.0  # imports, reading the pictures, pictures of predictions


def scenes_of(dataset: Mapping[str, Any]) -> dict[str, int]:
    """How many scenes each split of a dataset will have, before anything is prepared."""
    source, split = configured(dataset)[0], Split(**dataset["split"])
    if source.counts is not None:
        return dict(source.counts)
    given = Counter(scene.split for scene in source.scenes())
    if split.given and given["train"]:  # what the source lacks is drawn out of that
        return {name: given[name] for name in SPLITS}
    return {name: round(given.total() * split.shares[name] / sum(split.shares.values())) for name in SPLITS}


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
        self._scenes: dict[str, dict[str, int]] = {}

    def __call__(self, config: Config) -> float:
        from frostline.runs.build import TrainerSettings, build_task

        name = config["dataset"]["name"]
        if name not in self._scenes:
            self._scenes[name] = scenes_of(config["dataset"])
        scenes = self._scenes[name]
        task = build_task(
            config, tuple(f"class {i}" for i in range(5)), TrainerSettings(**config["trainer"]).budget(scenes["train"])
        )
        if config["trainer"]["accelerator"] != "cpu" and torch.accelerator.is_available():
            task.to(torch.accelerator.current_accelerator())
        epochs = task.model.planned.epochs
        trained = sum(self._train(config, task, epoch) for epoch in range(epochs)) * scenes["train"]
        evaluated = self._evaluate(config, task) * (epochs * scenes["val"] + scenes["test"])
        return START_SECONDS + trained + evaluated

    def _train(self, config: Config, task: Task, epoch: int) -> float:
        """Seconds that a scene takes in this epoch."""
        side = config["augment"].get("side") or config["image_size"]

        def step() -> None:
            torch.stack(list(task.criterion(task.answers(batch), batch).values())).sum().backward()

        frozen = tuple(part for part, scale in task.model.move_line(epoch).items() if scale is None)
        batch = move_data_to_device(made_up(config["trainer"]["batch_size"], side), task.device)
        return self._timed(config, task.device, (side, frozen), step) / len(batch["id"])

    def _evaluate(self, config: Config, task: Task) -> float:
        """Seconds that it takes to predict a scene."""

        def step() -> None:
            with torch.no_grad():
                task.predict(task(batch["image"]), batch)

        task.eval()
        batch = move_data_to_device(made_up(EVALUATED, config["image_size"]), task.device)
        return self._timed(config, task.device, ("evaluated",), step) / EVALUATED

    def _timed(self, config: Config, device: torch.device, what: tuple[Any, ...], step: Callable[[], None]) -> float:
        """Seconds of a step, the least of some, with the threads that the run will have."""
        trainer, threads = config["trainer"], config["trainer"]["threads"] or cores()
        model = (config["task"]["name"], str(config["backbone"]), str(config["head"]), config["image_size"])
        key = (*model, trainer["batch_size"], threads, device.type, *what)
        if key not in self._seconds:
            times = []
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            for _ in range(STEPS):
                start = time.perf_counter()
                step()
                if device.type != "cpu":  # it computes while we go on
                    torch.accelerator.synchronize(device)
                times.append(time.perf_counter() - start)
            torch.set_num_threads(before)
            self._seconds[key] = min(times)
        return self._seconds[key]
