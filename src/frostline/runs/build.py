"""From a resolved configuration to everything that one run is made of: past this file, nothing reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from frostline.config import Config, build, flat, to_yaml
from frostline.errors import FrostlineError
from frostline.loading.epochs import epochs_in
from frostline.loading.module import SceneDataModule
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head
from frostline.models.weights import fill
from frostline.runs.preflight import check_head
from frostline.runs.process import check_accelerator, check_below, settle
from frostline.runs.result import GROUPS
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import check_serves
from frostline.store.nearby import cache_folder
from frostline.store.rows import Store
from frostline.tasks.base import Task
from frostline.tracking.base import Tracker


@dataclass(frozen=True)
class TrainerSettings:
    """The content of conf/trainer/, which says what each means. What older versions lacked has a default."""

    epochs: int
    images: int | None
    batch_size: int
    clip_norm: float
    accelerator: str
    devices: int
    precision: str
    workers: int
    threads: int | None
    sampler: str = "shuffle"
    num_nodes: int = 1
    strategy: Any = "auto"
    sync_batchnorm: bool = True
    accumulate_grad_batches: int = 1
    compile: bool = False
    below: Literal["torch", "onnxruntime"] = "torch"
    target: str = "pytorch_lightning.Trainer"

    @classmethod
    def of(cls, node: Config) -> Self:
        values = {key: value for key, value in node.items() if key != TARGET}
        return cls(**values, **({"target": node[TARGET]} if TARGET in node else {}))

    def budget(self, scenes: int) -> int:
        """In epochs, where there are this many scenes to train on: stated as epochs, or as images, rounded up."""
        return self.epochs if self.images is None else epochs_in(self.images, scenes, self.batch_size)


TARGET = "_target_"
UNBUILT = ("sides", "weights", "weights_sha256")  # of a backbone's keys, those that its builder does not take


@dataclass(frozen=True, eq=False)
class Built:
    """One run, ready to be trained.

    arm, names: as in RunResult. recipe: of the augmentation, which tells kept activations apart; None keeps none.
    weights: as in RunResult. text: the configuration, as config.yaml has it. params: all its keys in one flat mapping,
    to be shown.
    """

    study: str
    name: str
    arm: Mapping[str, str]
    names: Mapping[str, str]
    seed: int
    task: Task
    data: SceneDataModule
    trainer: TrainerSettings
    recipe: Mapping[str, Any] | None
    weights: Mapping[str, str]
    tracker: Tracker
    text: str
    params: Mapping[str, str]


def build_run(config: Config, dataset: Dataset, name: str, backbone: Backbone | None = None) -> Built:
    """A run on a prepared dataset. Raises FrostlineError where it cannot work.

    backbone: the network below the head, where it is built already.
    Sets the random numbers and threads of this process to the run's, as the head's first weights are drawn here.
    """
    trainer, cache = TrainerSettings.of(config["trainer"]), config["cache"]
    settle(config["seed"], trainer.threads)
    check_accelerator(trainer.accelerator, trainer.devices)
    data = build_data(config, dataset)
    scenes = len(dataset.scenes("train")) - data.left_out["train"]
    names = {group: str(config[group]["name"]) for group in GROUPS}
    task = build_task(config, data.classes, trainer.budget(scenes), backbone)
    check_below(trainer.below, trainer.accelerator, task.model.backbone)
    task.model.below_by = trainer.below
    if task.balances:
        task.weigh(data.occurrences.by_class(len(data.classes)))
    tracker: Tracker = build(config["tracking"])
    tracker.check()
    keeps = data.store is not None and cache["enabled"] and task.keeps_activations
    return Built(
        study=config["study"],
        name=name,
        arm=config.get("arm", names),
        names=names,
        seed=config["seed"],
        task=task,
        data=data,
        trainer=trainer,
        recipe={key: config["augment"].get(key) for key in ("transform", "mix")} if keeps else None,
        weights=_own_weights(config, task.model.backbone),
        tracker=tracker,
        text=to_yaml(config),
        params=flat({key: value for key, value in config.items() if key != "arm"}),
    )


def build_data(config: Config, dataset: Dataset) -> SceneDataModule:
    """The batches of a resolved configuration. Raises FrostlineError where dataset, task and mix do not fit."""
    needs, cache = task_class(config).needs, config["cache"]
    check_serves(dataset, config["task"]["name"], needs)
    mix = config["augment"].get("mix")
    return SceneDataModule(
        dataset,
        needs=needs,
        image_size=config["image_size"],
        batch_size=config["trainer"]["batch_size"],
        augment=build(config["augment"]["transform"]),
        views=config["augment"]["views"],
        seed=config["seed"],
        workers=config["trainer"]["workers"],
        store=Store(cache_folder(cache["folder"]), int(cache["size_gb"] * 1e9)) if cache["size_gb"] else None,
        mix=None if mix is None else build(mix, dataset, needs),
        fit=config["fit"],
        balanced=config["trainer"].get("sampler") == "balanced",
        parts=config["trainer"].get("accumulate_grad_batches", 1),
    )


def build_task(
    config: Config, classes: tuple[str, ...], epochs: int | None = None, backbone: Backbone | None = None
) -> Task:
    """The backbone, the head on it, and the task over both.

    epochs, backbone: the budget and the network below the head, where they are not those of the configuration.
    Raises FrostlineError for a head of another task, or one that the backbone cannot feed.
    """
    head_class = class_of(config["head"]["_target_"])
    check_head(config, head_class.gives, task_class(config).reads)
    if backbone is None:
        backbone = build_backbone(config)
    head = build(config["head"], backbone, len(classes), without=["name"])
    check_size(config, backbone, head)
    metric = config.get("metric") or {}  # none in what older versions wrote
    extra = {metric["name"]: build(metric, without=["name"])} if "_target_" in metric else {}
    task: Task = build(
        config["task"],
        backbone,
        head,
        classes,
        schedule=config["schedule"],
        epochs=config["trainer"]["epochs"] if epochs is None else epochs,
        optimizer=partial(build, config["optimizer"], without=["name"]),
        weight_decay=config["optimizer"]["weight_decay"],
        rate=partial(build, config["rate"], without=["name"]),
        extra=extra,
        without=["name"],
    )
    return task


def build_backbone(config: Config) -> Backbone:
    """The network below the head, with its pretrained weights, or with one's own, which take their place entirely.

    Raises FrostlineError where weights cannot be had, or do not fit.
    """
    node, reads_embedding = config["backbone"], class_of(config["head"]["_target_"]).reads_embedding
    own = node.get("weights")
    if own is not None and "pretrained" in node:
        node = node | {"pretrained": False}
    size = config["image_size"]
    backbone: Backbone = build(node, with_embedding=reads_embedding, image_size=size, without=UNBUILT)
    if own is not None:
        backbone.filled, backbone.weights = fill(backbone, Path(own)), own
    return backbone


def _own_weights(config: Config, backbone: Backbone) -> dict[str, str]:
    own = config["backbone"].get("weights")
    return {} if own is None else {"file": own, "sha256": config["backbone"]["weights_sha256"], "told": backbone.filled}


def smallest_side(backbone: Backbone, head: Head | type[Head]) -> int:
    """px; of the pictures that both take."""
    return max(head.smallest, backbone.smallest, backbone.step, min(backbone.sides, default=1))


def check_size(config: Config, backbone: Backbone, head: Head) -> None:
    """Raise FrostlineError where a picture or a part of it has a size that they do not take.

    All feature maps must lie upon the picture and upon each other, and some decoders halve the last one again.
    """
    size, step, smallest = config["image_size"], backbone.step, smallest_side(backbone, head)
    cuts = {"augment.side": config["augment"].get("side"), "task.window": config["task"].get("window")}
    for name, side in {"image_size": size, **cuts}.items():
        if side is not None and backbone.sides and side not in backbone.sides:
            sides = " or ".join(map(str, backbone.sides))
            raise FrostlineError(
                f"{name} is {side}, and {backbone.name} takes pictures of {sides} px: set {name}={backbone.sides[-1]}."
            )
        if side is not None and (side < smallest or side % step):
            raise FrostlineError(
                f"{name} is {side}, and head={config['head']['name']} on {backbone.name} needs a multiple of {step}, "
                f"at least {smallest}: set {name}={max(-(-side // step) * step, smallest)}."
            )
        if side is not None and side > size:
            raise FrostlineError(f"{name} is {side}, more than image_size, which is {size}: it is cut out of that.")
    side, least = cuts["augment.side"], head.learns_from
    if side is not None and side < min(size, least) and cuts["task.window"] != side:
        raise FrostlineError(
            f"augment.side is {side}, and on less than {least} px head={config['head']['name']} leaves weights "
            f"untrained that it uses on pictures of {size} px: set augment.side={min(size, least)} or "
            f"task.window={side}, or, for deeplabv3plus, smaller head.rates."
        )


def task_class(config: Config) -> type[Task]:
    """The LightningModule that a configuration names."""
    found: type[Task] = class_of(config["task"]["_target_"])
    return found


def class_of(target: str) -> Any:
    from hydra.utils import get_class

    try:
        return get_class(target)
    except Exception as error:
        raise FrostlineError(f"'{target}' (a _target_ in conf/) names no class: {error}.") from error
