"""One run: train, choose the best epoch on the validation split, evaluate it on the test split, write it all down."""

import ctypes
import json
import logging
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from safetensors.torch import save_file

from frostline.config import Config, build, to_yaml
from frostline.draw.curves import confusion_picture, precision_recall_picture
from frostline.draw.predictions import error_sheet, prediction_sheet
from frostline.draw.schedule import write_picture
from frostline.errors import FrostlineError
from frostline.freezing.activations import CacheBelow
from frostline.freezing.callback import FrostLine
from frostline.freezing.groups import count
from frostline.loading.batch import collate
from frostline.loading.module import SceneDataModule
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head
from frostline.runs import provenance
from frostline.runs.checkpoints import WholeCheckpoints, resume_from
from frostline.runs.timing import HoldStill
from frostline.runs.workplace import Workplace
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import check_serves
from frostline.scenes.scene import SPLITS
from frostline.store.rows import Store
from frostline.tasks.base import Task
from frostline.tasks.examples import examples, spread
from frostline.tracking import mlflow_run
from frostline.tracking.journal import Journal, Stopwatch

SHOWN, WORST = 12, 6  # scenes whose predictions are drawn
TIMED, PATIENCE = 20, 5.0  # pictures whose prediction is timed, and after how many seconds that is enough


def train(config: Config, dataset: Dataset, workplace: Workplace, name: str, command: str) -> dict[str, Any]:
    """Train and evaluate one run, and leave its results in the workplace; returns what `result.json` holds.

    A killed run goes on from the last epoch that the workplace has. command: what trains this run again, to record.
    Raises FrostlineError before any training where the run cannot work.
    """
    _quieten()
    pl.seed_everything(config["seed"], verbose=False)
    torch.set_num_threads(config["trainer"]["threads"] or provenance.threads())
    keep_memory()
    _check_accelerator(config["trainer"]["accelerator"])
    task, data = assemble(config, dataset)
    below = []
    if data.store is not None and config["cache"]["enabled"] and task.keeps_activations:
        recipe = {key: config["augment"].get(key) for key in ("transform", "mix")}
        below.append(CacheBelow(task.model, data.store, data, recipe))
    try:
        with dataset.held(), HoldStill(workplace.folder.parent, Stopwatch()) as others:
            return _train(config, task, data, below, workplace, name, command, others)
    finally:  # what is held cannot make room for others, and this process may train more runs
        data.teardown()
        for cache in below:
            cache.close()


def _train(
    config: Config,
    task: Task,
    data: SceneDataModule,
    below: list[CacheBelow],
    workplace: Workplace,
    name: str,
    command: str,
    others: HoldStill,
) -> dict[str, Any]:
    work, dataset, stopwatch = workplace.folder, data.dataset, others.stopwatch
    commit, dirty = provenance.commit()
    if any(data.left_out.values()):
        counts = ", ".join(f"{number} of {split}" for split, number in data.left_out.items())
        print(f"{name}: left out scenes without {' and '.join(sorted(task.needs))}: {counts}", flush=True)
    tags = {key: config[key]["name"] for key in ("task", "dataset", "backbone", "head", "schedule")}
    tags |= {"seed": str(config["seed"]), "data_hash": dataset.data_hash, "mlflow.source.git.commit": commit}
    run_id_file = work / "mlflow_run_id"
    run_id = run_id_file.read_text().strip() if run_id_file.exists() else None
    logger = mlflow_run.start(config, name, tags, run_id)
    run_id_file.write_text(str(logger.run_id))

    settings = config["trainer"]
    epochs = task.model.planned.epochs
    best = ModelCheckpoint(
        work, filename="best", monitor=f"val_{task.primary}", mode="max", enable_version_counter=False
    )
    # ModelCheckpoint's own `save_last` saves only epochs that were the best so far.
    newest = ModelCheckpoint(work, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    bar = [TQDMProgressBar(leave=False)] if sys.stderr.isatty() else []
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator=settings["accelerator"],
        devices=settings["devices"],
        precision=settings["precision"],
        gradient_clip_val=settings["clip_norm"],
        logger=logger,
        callbacks=[
            others,
            stopwatch,  # before the cache, as filling that is part of what training costs
            FrostLine(task.model),
            *below,
            _EpochSeed(config["seed"]),
            Journal(work / "epochs.jsonl"),
            best,
            newest,
            *bar,
        ],
        deterministic="warn",
        use_distributed_sampler=False,  # ours neither pads nor repeats
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=bool(bar),
        default_root_dir=work,
        plugins=[WholeCheckpoints()],
    )
    with mlflow_run.system_metrics(logger, config["tracking"]["system_metrics"]):
        last = resume_from(work / "last.ckpt", best, work / "best.ckpt")
        trainer.fit(task, data, ckpt_path=last, weights_only=True)
        # Before the test: it loads the best checkpoint, and the stopwatch with it.
        images_seen, train_seconds = stopwatch.images_seen, stopwatch.train_seconds
        measured = trainer.test(task, data, ckpt_path=best.best_model_path, weights_only=True, verbose=False)[0]

    dataset.check_same()  # DVC clears what a stage has made before it makes it anew, whoever reads it
    task.to(trainer.strategy.root_device)
    with others.alone(), trainer.precision_plugin.forward_context():
        milliseconds = predict_ms(task, data)
    result = {
        "study": config["study"],
        "run": name,
        **{key: config[key]["name"] for key in ("task", "dataset", "backbone", "head", "schedule")},
        "seed": config["seed"],
        "metrics": {key.removeprefix("test_"): value for key, value in sorted(measured.items()) if key != "step"},
        "by_class": task.tested.by_class,
        "confusion": task.tested.confusion,
        "primary": task.primary,
        "epochs": epochs,
        "best_epoch": torch.load(best.best_model_path, map_location="cpu", weights_only=True)["epoch"],
        "images_seen": images_seen,
        "train_seconds": round(train_seconds, 3),
        "images_per_second": round(images_seen / train_seconds, 2),
        "predict_ms": round(milliseconds, 3),
        "params_total": count(task.parameters()),
        "params_trainable_last": task.model.trainable_at(epochs - 1),
        "image_size": config["image_size"],
        "scenes": {split: len(data.items(split)) for split in SPLITS},
        "scenes_left_out": data.left_out,
        "commit": commit,
        "dirty": dirty,
        "data_hash": dataset.data_hash,
        "machine": provenance.machine(),
        "command": command,
        "versions": provenance.versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with others.busy():
        _write(workplace, config, task, data, result, logger)
    return result


def predict_ms(task: Task, data: SceneDataModule) -> float:
    """Milliseconds to predict one picture: the median over TIMED of the test split, or fewer where that takes long."""
    items, seconds = data.items("test"), []
    task.eval()
    with torch.no_grad():
        for position in range(min(len(items), 1 + TIMED)):
            batch = collate([items.plain(position)])
            picture = batch["image"].to(task.device)
            start = _now(task.device)
            task.predict(task(picture), batch)
            seconds.append(_now(task.device) - start)
            if sum(seconds) > PATIENCE:
                break
    return 1e3 * statistics.median(seconds[1:] or seconds)  # the first one also allocates


def _now(device: torch.device) -> float:
    if device.type != "cpu":  # it computes while we go on
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def summary(result: Mapping[str, Any]) -> str:
    """One line on how a run went."""
    figures = "  ".join(f"{key} {'—' if value == -1 else f'{value:.4f}'}" for key, value in result["metrics"].items())
    return f"{result['run']}: {figures}  ({result['train_seconds']:.0f} s of training)"


def assemble(config: Config, dataset: Dataset) -> tuple[Task, SceneDataModule]:
    """The task and its data, built from a resolved configuration. Raises FrostlineError where they do not fit."""
    data = assemble_data(config, dataset)
    scenes = len(dataset.scenes("train")) - data.left_out["train"]
    return build_task(config, data.classes, epochs_of(config, scenes)), data


def assemble_data(config: Config, dataset: Dataset) -> SceneDataModule:
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
        store=Store(Path(cache["folder"]), int(cache["size_gb"] * 1e9)) if cache["size_gb"] else None,
        mix=None if mix is None else build(mix, dataset, needs),
        fit=config["fit"],
    )


def epochs_of(config: Config, scenes: int) -> int:
    """The budget in epochs, where an epoch shows this many scenes: stated as epochs, or as images, rounded up."""
    epochs, images = config["trainer"]["epochs"], config["trainer"]["images"]
    return int(epochs if images is None else -(-images // scenes))


def build_task(config: Config, classes: tuple[str, ...], epochs: int | None = None) -> Task:
    """The backbone, the head on it, and the task over both. Raises FrostlineError for a head of another task.

    epochs: the budget, where it is not trainer.epochs.
    """
    head_class, reads = class_of(config["head"]["_target_"]), task_class(config).reads
    if head_class.gives != reads:
        raise FrostlineError(
            f"head={config['head']['name']} gives {head_class.gives}, and task={config['task']['name']} reads {reads}: "
            "leave the head out, and the task takes its own."
        )
    backbone: Backbone = build(
        config["backbone"],
        with_embedding=head_class.reads_embedding,
        image_size=config["image_size"],
        without=["sides"],
    )
    return task_on(config, backbone, classes, epochs)


def task_on(config: Config, backbone: Backbone, classes: tuple[str, ...], epochs: int | None = None) -> Task:
    """The head and the task of a configuration on this backbone. Raises FrostlineError where it cannot feed the head.

    epochs: the budget, where it is not trainer.epochs.
    """
    head = build(config["head"], backbone, len(classes), without=["name"])
    _check_size(config, backbone, head)
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
        without=["name"],
    )
    return task


def smallest_side(backbone: Backbone, head: Head | type[Head]) -> int:
    """px; of the pictures that both take."""
    return max(head.smallest, backbone.smallest, backbone.step, min(backbone.sides, default=1))


def _check_size(config: Config, backbone: Backbone, head: Head) -> None:
    """All feature maps must lie upon the picture and upon each other, and some decoders halve the last one again."""
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


def keep_memory() -> None:
    """Have glibc keep the memory of freed tensors, as the next step wants as much again.

    Otherwise large ones are given back to the system and fetched anew, page by page, at every step: a sixth of the
    processor time of a training (see benchmarks/, `memory_kept`).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # M_MMAP_THRESHOLD: what is smaller comes from the heap. Some versions take no more than 32 MB.
    if mallopt is not None and (mallopt(-3, 1 << 30) or mallopt(-3, 32 << 20)):
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: of which so much may lie idle


def _check_accelerator(name: str) -> None:
    mps = torch.backends.mps.is_available()
    if (name == "mps" and not mps) or (name == "gpu" and not mps and not torch.cuda.is_available()):
        raise FrostlineError(f"trainer.accelerator is '{name}', and this machine has none: set it to cpu or auto.")


class _EpochSeed(pl.Callback):
    """Dropout draws in epoch n are a function of (seed, n), so that a resumed run draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)


def class_of(target: str) -> Any:
    from hydra.utils import get_class

    try:
        return get_class(target)
    except Exception as error:
        raise FrostlineError(f"'{target}' (a _target_ in conf/) names no class: {error}.") from error


def _write(
    workplace: Workplace, config: Config, task: Task, data: SceneDataModule, result: Mapping[str, Any], logger: Any
) -> None:
    folder, items = workplace.results, data.items("test")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    epochs = [json.loads(line) for line in (workplace.folder / "epochs.jsonl").read_text().splitlines()]
    write_picture(task.model, [epoch["lr_base"] for epoch in epochs], folder / "schedule.png")
    task.cpu()
    prediction_sheet(examples(task, items, spread(SHOWN, len(items))), folder / "predictions.png")
    worst = [items.indices.index(index) for index in task.tested.worst[:WORST]]
    error_sheet(examples(task, items, worst), len(task.tested.worst), len(items), folder / "errors.png")
    if task.tested.confusion is not None:
        confusion_picture(task.tested.confusion, task.classes, folder / "confusion.png")
    if task.tested.curve is not None:
        average, of = task.curves
        areas = [task.tested.by_class[average][name] for name in task.classes]
        precision_recall_picture(task.tested.curve, areas, task.classes, of, folder / "precision_recall.png")
    weights = {name: tensor.contiguous() for name, tensor in task.model.state_dict().items()}
    told = {"run": str(result["run"]), "classes": json.dumps(task.classes)}
    save_file(weights, folder / "model.safetensors", told)
    (folder / "config.yaml").write_text(to_yaml(config))
    shutil.copy(workplace.folder / "epochs.jsonl", folder)
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    # Last and at once, because it tells that the rest is whole, with the tracker, too.
    aside = workplace.folder / "result.json"
    aside.write_text(text)
    mlflow_run.file_artifacts(logger, [*sorted(folder.iterdir()), aside])
    aside.rename(folder / "result.json")


def _quieten() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*is deprecated.*", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
