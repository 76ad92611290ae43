"""What a study will cost, from a few training steps on this machine."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning.utilities import move_data_to_device

from frostline.config import Config, to_yaml
from frostline.environment import keep_memory
from frostline.freezing.schedule import depth_of, lines_ahead
from frostline.launch.local import places
from frostline.loading.batch import Activations, Batch, Pictures, made_up
from frostline.models.backbone import FROM_SCRATCH
from frostline.parallel import threads
from frostline.runs.build import TrainerSettings, build_task, task_class
from frostline.runs.process import precision_of
from frostline.runs.timing import now
from frostline.scenes.needs import class_names, lacks
from frostline.scenes.scene import SPLITS
from frostline.scenes.splits import Split
from frostline.sources.base import Source
from frostline.sources.configured import configured
from frostline.tasks.base import Task

STEPS = 3
PROCESS_SECONDS = 8.0  # to start a process, which then trains many runs
RUN_SECONDS = 3.0  # of each run: reading the pictures, drawing predictions, writing it all down
SAME = ("seed", "arm", "study", "tracking")  # what changes no second of a run
DTYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}

Step = Callable[[], object]
# All that decides what is computed once and kept -> seconds to compute it, and on the way to what else it is, if any.
Fills = dict[Hashable, tuple[float, Hashable | None]]


def timed(step: Step, device: torch.device) -> float:
    """Seconds of a step, the least of some."""
    times = []
    for _ in range(STEPS):
        start = now(device)
        step()
        times.append(now(device) - start)
    return min(times)


def repro_seconds(seconds: Collection[float], configs: Collection[Config]) -> float:
    """Seconds until all of these runs are trained as `make repro` does it, several at a time.

    seconds: of each run, in the order of `configs`. A place that is free takes the next run.
    """
    if not configs:
        return 0.0
    busy_until = [PROCESS_SECONDS] * places(configs)[0]
    for length in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + length)
    return max(busy_until)


def scenes_of(dataset: Mapping[str, Any], needs: Collection[str]) -> dict[str, int]:
    """How many scenes of each split have what a task needs, before anything is prepared: some may be faulty."""
    source, split = configured(dataset)[0], Split(**dataset["split"])
    serving: Counter[str | None] = Counter(source.counts)  # where the source knows them, and has no faulty ones
    if source.counts is None:
        serving = Counter(str(scene.split) for scene in source.scenes() if lacks(scene, needs, source.classes) is None)
    if split.given and serving["train"]:  # what the source lacks is drawn out of that
        return {name: serving[name] for name in SPLITS}
    return {name: round(serving.total() * split.shares[name] / sum(split.shares.values())) for name in SPLITS}


def seconds_of(fills: Fills) -> float:
    """To compute all of them: what lies on the way to another one costs nothing more."""
    return sum(seconds for seconds, beyond in fills.values() if beyond not in fills)


class Estimator:
    """Seconds of each run of a study, by timing steps once for each network, size and frost line that runs share.

    Asked of the runs in their order: activations that an earlier one keeps, a later one only reads. What the cache
    holds already is not known. seconds: of a step, on a device.
    """

    def __init__(self, seconds: Callable[[Step, torch.device], float] = timed) -> None:
        keep_memory()  # as runs do
        self._seconds = seconds
        self._steps: dict[Hashable, float] = {}
        self._costs: dict[str, tuple[float, Fills]] = {}
        self._scenes: dict[Hashable, dict[str, int]] = {}
        self._kept: Fills = {}

    def __call__(self, config: Config) -> float:
        same = to_yaml({key: value for key, value in config.items() if key not in SAME})
        if same not in self._costs:
            dataset, needs = config["dataset"], task_class(config).needs
            here = (str(dataset), needs)
            if here not in self._scenes:
                self._scenes[here] = scenes_of(dataset, needs)
            self._costs[same] = _Run(config, self._scenes[here], self._timed).cost()
        seconds, fills = self._costs[same]
        new = {key: fill for key, fill in fills.items() if key not in self._kept}
        self._kept |= new
        return seconds + seconds_of(new)

    def _timed(self, key: Hashable, own_threads: int | None, device: torch.device, step: Step) -> float:
        """Seconds of a step, with the threads that the run will have."""
        wanted, before = own_threads or threads(), torch.get_num_threads()
        if (key, wanted) not in self._steps:
            torch.set_num_threads(wanted)
            self._steps[key, wanted] = self._seconds(step, device)
            torch.set_num_threads(before)
        return self._steps[key, wanted]


class _Run:
    """The steps of one run."""

    def __init__(self, config: Config, scenes: Mapping[str, int], clock: Callable[..., float]) -> None:
        self.config, self.scenes, self.clock = config, scenes, clock
        self.trainer = TrainerSettings.of(config["trainer"])
        source: Source = configured(config["dataset"])[0]
        classes = class_names(source.classes, task_class(config).needs)
        self.task: Task = build_task(config, classes, self.trainer.budget(scenes["train"]))
        self.task.model.below_by = self.trainer.below
        if self.trainer.accelerator != "cpu" and torch.accelerator.is_available():
            self.task.to(torch.accelerator.current_accelerator())
        augment, cached = config["augment"], config["cache"]
        identity = str(augment["transform"].get("_target_")).endswith(".Identity")
        self.augmented = not identity or augment.get("mix") is not None
        self.views = augment["views"] if self.augmented else 1
        self.recipe = {key: augment.get(key) for key in ("transform", "mix")}  # as in the keys of the cache
        self.keeps = cached["enabled"] and cached["size_gb"] > 0 and self.task.keeps_activations
        # Whether the seed decides the backbone's first weights.
        chosen, weights = config["backbone"], self.task.model.backbone.weights
        self.drawn = weights == FROM_SCRATCH or (not chosen.get("weights") and chosen.get("pretrained") is False)
        self.network = (config["task"]["name"], *(to_yaml(config[group]) for group in ("backbone", "head")))

    def cost(self) -> tuple[float, Fills]:
        """Seconds, and those of what it keeps for others to read, besides."""
        model, seconds = self.task.model, RUN_SECONDS
        config, size = self.config, self.config["image_size"]
        trained: set[str] = set()  # groups that have moved so far
        own: Fills = {}
        shared: Fills = {}
        beyond: dict[Hashable, Hashable] = {}  # of a lower line to come, what is filled on whose way it lies
        for epoch in range(model.planned.epochs):
            state = model.move_line(epoch)
            frozen = tuple(part for part, scale in state.items() if scale is None)
            depth = depth_of(state)
            names = model.activations(depth) if self.keeps and depth else None
            moved = tuple(sorted(trained & set(list(model.groups)[:depth])))
            for split, side in (("train", int(config["augment"].get("side") or size)), ("val", size)):
                view = 0 if split == "val" else None if self.views is None else epoch % self.views
                read = names if view is not None else None
                seconds += self.scenes[split] * self._step(split, side, frozen, depth, read)
                if read:
                    by = self.recipe if split == "train" and self.augmented else {}
                    # What it has trained itself, or drawn by its seed, no other run reads.
                    fills = own if self.drawn or moved else shared
                    key = (self._kept(read), split, view, side, to_yaml(by), moved)
                    below = partial(model.below, self._batch(side)["image"], read)
                    fill = self.scenes[split] * self._clocked(("below", side, *read), below, train=False)
                    if key not in fills:
                        fills[key] = fill, beyond.get((depth, split, view))
                        for line in lines_ahead(model.schedule, epoch):
                            beyond.setdefault((line, split, view), key)
            trained |= {part.partition("/")[0] for part, scale in state.items() if scale is not None}
        model.forget_line()
        seconds += self.scenes["test"] * self._step("test", size, (), 0, None)
        return seconds + seconds_of(own), shared

    def _kept(self, names: Sequence[str]) -> Hashable:
        """What, beside the pictures, decides activations."""
        config = self.config
        pictures = (str(config["dataset"]), config["image_size"], config["fit"])
        return (
            to_yaml(config["backbone"]),
            tuple(names),
            *pictures,
            self.trainer.precision,
            self.trainer.threads,
            self.trainer.below,
        )

    def _step(self, split: str, side: int, frozen: tuple[str, ...], depth: int, read: Sequence[str] | None) -> float:
        """Seconds that a scene takes in an epoch. read: activations that stand in place of its picture."""
        train = split == "train"
        pictures: Any = self._batch(side)
        batch: Batch = pictures
        if read:
            with torch.no_grad():
                found = self.task.model.below(pictures.pop("image"), read)
            batch = cast(Activations, pictures | {"activations": found, "depth": depth})

        def step() -> None:
            outputs = self.task.answers(batch)
            loss = torch.stack(list(self.task.criterion(outputs, batch).values())).sum()
            if train:
                loss.backward()  # type: ignore[no-untyped-call]
            else:
                self.task.predict(outputs, batch)

        key = (train, side, frozen if train else (), depth if read else 0)
        return self._clocked(key, step, train)

    def _clocked(self, key: tuple[Any, ...], step: Step, train: bool) -> float:
        device = self.task.device
        dtype = DTYPES.get(precision_of(self.trainer.precision, device.type))
        self.task.train(train)

        def within() -> None:
            with torch.set_grad_enabled(train), torch.autocast(device.type, dtype, enabled=dtype is not None):
                step()

        computing = (self.trainer.precision, self.trainer.compile, self.trainer.below, device.type)
        named = (*self.network, self.trainer.batch_size, *computing, *key)
        return self.clock(named, self.trainer.threads, device, within) / self.trainer.batch_size

    def _batch(self, side: int) -> Pictures:
        batch = made_up(self.trainer.batch_size, side, len(self.task.classes))
        return cast(Pictures, move_data_to_device(batch, self.task.device))
