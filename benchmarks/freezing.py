"""What the frost line saves: activations from the cache, no graph below the line, little overhead above it.

All on meadow, 480 pictures, on every core; at 160 px in batches of 16 where a row does not say otherwise. Both sides of
a row are timed in one process, and each figure is the median of several epochs.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import timm
import torch
from pytorch_lightning.callbacks import BackboneFinetuning
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.row import Row
from frostline.checking.prepare import prepare_from_config
from frostline.config import compose
from frostline.freezing.activations import CacheBelow
from frostline.freezing.callback import FrostLine
from frostline.freezing.schedule import depth_of
from frostline.models.folding import folded
from frostline.runs.build import Built, build_run
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS
from frostline.store.rows import Store
from frostline.tasks.base import Task

SCENES, SIZE, BATCH = 480, 160, 16
NATIVE = ["image_size=224", "trainer.batch_size=32"]  # what the weights were trained at, and the batches shipped
# With a line that stands inside the network. thaw_top's first phase ends on a plateau, and here it has a fixed end.
STANDING = {
    "thaw_top": "schedule.phases=[{line: head, until: {share: 0.3}}, {line: -3, scale: 0.3, norms: keep}]",
    "gradual": "schedule=gradual",
}
SCRATCH = tempfile.TemporaryDirectory()
SETTINGS = [
    "dataset.source.size=224",
    f"dataset.source.train={SCENES}",
    "dataset.source.val=32",
    "dataset.source.test=32",
    f"image_size={SIZE}",
    f"trainer.batch_size={BATCH}",
    "augment.views=1",
    f"cache.folder={SCRATCH.name}/cache",
]


def cached_epoch() -> list[Row]:
    """A frozen epoch read from the cache against the same epoch computed: tasks that read the last maps only."""
    rows = []
    for task in ("classification", "localization"):
        overrides = [f"task={task}", "schedule=frozen", *NATIVE]
        uncached = statistics.median(epochs_of(overrides, 4)[1:])
        cached = statistics.median(epochs_of(overrides, 12, cached=True)[1:])
        what = f"{task} at 224 px: a frozen epoch from the cache, times faster than the same epoch computed"
        rows.append(
            Row(f"cache_{task}", what, uncached / cached, ">= 50", f"{cached:.3f} s", f"{uncached:.2f} s"),
        )
    return rows


def cached_dense_epoch() -> list[Row]:
    """The same where the head itself costs most: how near to the bound that its own cost sets."""
    rows = []
    for task in ("detection", "segmentation"):
        overrides = [f"task={task}", "schedule=frozen"]
        below, above = below_and_above(overrides)
        uncached = statistics.median(epochs_of(overrides, 4)[1:])
        cached = statistics.median(epochs_of(overrides, 5, cached=True)[1:])
        bound, reached = (below + above) / above, uncached / cached
        what = f"{task}: speed-up of a cached frozen epoch, as a share of the bound (below + above) / above"
        ours = f"{uncached:.2f} s to {cached:.2f} s, {reached:.2f} times"
        other = f"bound {bound:.2f}: below {below:.2f} s, above {above:.2f} s"
        rows.append(Row(f"cache_{task}", what, reached / bound, ">= 0.9", ours, other))
    return rows


def standing_lines() -> list[Row]:
    """Epochs above a line that stands inside the network, whose activations were kept on the way to the head.

    The bound is the work above the line as a share of the whole; so both are taken of the same whole epoch.
    """
    rows = []
    for name, schedule in STANDING.items():
        overrides, epochs = ["task=classification", schedule], 10
        seconds = epochs_of(overrides, epochs, cached=True)
        model = build(overrides, epochs).model
        depths = [depth_of(model.state_at(epoch)) for epoch in range(epochs)]
        lines = {depth: epoch for epoch, depth in enumerate(depths) if 0 < depth < depths[0]}
        above = {depth: below_and_above(overrides, epochs, epoch)[1] for depth, epoch in lines.items()}
        whole = below_and_above(["task=classification", "schedule=full"])[1]
        measured = sum(seconds[epoch] for epoch, depth in enumerate(depths) if depth in above)
        bound, count = sum(above[depth] for depth in depths if depth in above), sum(depth in above for depth in depths)
        what = f"{name}: epochs above a standing line, read from the cache, times the bound that their own work sets"
        ours = f"{measured / count / whole:.2f} of a whole epoch of {whole:.2f} s"
        rows.append(Row(f"standing_{name}", what, measured / bound, "<= 1.15", ours, f"{bound / count / whole:.2f}"))
    return rows


def below() -> list[Row]:
    """What lies below the head by onnxruntime and by torch, norms folded in both: the same batch, in turn."""
    image = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    times: dict[str, float] = {}
    told = []
    for backbone in ("efficientnet_lite0", "mobilenetv3_large", "resnet18", "resnet50"):
        sides = {}
        for engine in ("torch", "onnxruntime"):
            overrides = ["task=classification", "schedule=frozen", f"backbone={backbone}", "backbone.pretrained=false"]
            model = build([*overrides, f"trainer.below={engine}"], 1).model.eval()
            model.move_line(0)
            names = model.activations(len(model.backbone.groups))
            assert names
            sides[engine] = partial(model.below, image, names)
        found = _medians(sides)
        times[backbone] = found["torch"] / found["onnxruntime"]
        told.append(f"{backbone} {BATCH / found['onnxruntime']:.0f} against {BATCH / found['torch']:.0f}")
    value = times["efficientnet_lite0"]
    what = (
        "pictures/s below the head by onnxruntime against torch, norms folded in both: times faster, EfficientNet-Lite0"
    )
    others = ", ".join(f"{name} {ratio:.2f}" for name, ratio in times.items())
    return [Row("below_line", what, value, ">= 1.5", ", ".join(told), f"times: {others}")]


def ten_epochs() -> list[Row]:
    """Ten frozen epochs from nothing, cache included, against Lightning's BackboneFinetuning and a usual DataLoader.

    Both sides start from picture files and end with a trained model, which is the same and lies alike in memory.
    """
    dataset()
    overrides = ["task=classification", "schedule=frozen"]
    ours, others = [], []
    for _ in range(3):
        ours.append(_seconds(lambda: epochs_of(overrides, 10, cached=True, decoded=False)))
        others.append(_seconds(stock_ten_epochs))
    mine, other = statistics.median(ours), statistics.median(others)
    what = "ten frozen epochs and filling the cache, times faster than Lightning's BackboneFinetuning"
    return [Row("ten_epochs", what, other / mine, ">= 8", f"{mine:.1f} s", f"{other:.1f} s")]


def overhead() -> list[Row]:
    """An unfrozen epoch against a bare PyTorch loop over the same batches: epochs of both sides in turn."""
    overrides = ["task=classification", "schedule=full", "image_size=96"]  # small: what is added weighs the more
    with data_and_task(overrides, epochs=1) as (data, task):
        optimizer = torch.optim.AdamW(task.parameters(), lr=1e-3)
        loader = data.train_dataloader()

        def bare() -> float:
            start = time.perf_counter()
            task.train()
            for batch in loader:
                optimizer.zero_grad()
                loss = torch.stack(list(task.criterion(task(batch["image"]), batch).values())).sum()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
                optimizer.step()
            return time.perf_counter() - start

        bare()
        pairs = []
        for _ in range(6):
            (ours,) = fit(data, build(overrides, 1), [])
            pairs.append((ours, bare()))
    ratio = statistics.median(ours / other for ours, other in pairs)
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "an unfrozen epoch, times the time of a bare PyTorch loop on the same model and batches"
    return [Row("overhead", what, ratio, "<= 1.05", f"{ours:.2f} s", f"{other:.2f} s")]


def lines() -> list[Row]:
    """The line at each group in turn, nothing cached: its step against a full one, and what its work would make it.

    The work: each group's forward pass without a graph where it is below the line, forward and backward where above.
    """
    with data_and_task(["task=classification", "schedule=full"], epochs=1) as (data, task):
        batch = next(iter(data.train_dataloader()))
        names = list(task.model.groups)
        steps = {name: _step(batch, name) for name in names}
        groups = {(name, trains): _alone(task, batch, name, trains) for name in names for trains in (False, True)}
        measured, alone = _medians(steps), _medians(groups)
    whole, work = measured[names[0]], sum(alone[name, True] for name in names)
    share = {name: measured[name] / whole for name in names}
    expected = {name: sum(alone[n, n in names[names.index(name) :]] for n in names) / work for name in names}
    worst = max(abs(share[name] - expected[name]) for name in names)
    what = "a step with the line at each group, as a share of a full one: furthest from the share of its work"
    ours = ", ".join(f"{name} {share[name]:.2f}" for name in names)
    other = ", ".join(f"{name} {expected[name]:.2f}" for name in names)
    return [Row("lines", what, worst, "<= 0.1", ours, f"work: {other}")]


@cache
def dataset() -> Dataset:
    """Drawn once for all rows."""
    return prepare_from_config(compose(SETTINGS)["dataset"], Path(SCRATCH.name) / "meadow")


def build(overrides: list[str], epochs: int) -> Task:
    return _built(overrides, epochs).task


def _built(overrides: list[str], epochs: int) -> Built:
    return build_run(compose([*SETTINGS, *overrides, f"trainer.epochs={epochs}"]), dataset(), "run")


@contextmanager
def data_and_task(overrides: list[str], epochs: int, decoded: bool = True) -> Iterator[tuple[Any, Task]]:
    built = _built(overrides, epochs)
    task, data = built.task, built.data
    for split in SPLITS[:2] if decoded else ():
        data.items(split).open()  # decoded now: the same for both sides
    yield data, task


def epochs_of(overrides: list[str], epochs: int, cached: bool = False, decoded: bool = True) -> list[float]:
    """Seconds of each epoch of training; the first one from an empty cache. decoded: pictures are, before the clock."""
    with (
        tempfile.TemporaryDirectory() as folder,
        data_and_task([*overrides, *([] if decoded else [f"cache.folder={folder}"])], epochs, decoded) as (data, task),
    ):
        extra = [CacheBelow(task.model, Store(Path(folder), int(2e10)), data, {"augment": "light"})] if cached else []
        return fit(data, task, extra)


class Watch(pl.Callback):
    """Seconds of each epoch, from its start to that of the next."""

    def __init__(self) -> None:
        self.at: list[float] = []

    @property
    def seconds(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.at)]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.at.append(time.perf_counter())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.at.append(time.perf_counter())


def fit(data: Any, task: Task, extra: list[pl.Callback]) -> list[float]:
    watch = Watch()
    trainer = pl.Trainer(
        max_epochs=task.model.planned.epochs,
        callbacks=[watch, FrostLine(task.model), *extra],
        gradient_clip_val=5.0,
        **QUIET,
    )
    trainer.fit(task, data)
    return watch.seconds


QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "limit_val_batches": 0,
}


def below_and_above(overrides: list[str], epochs: int = 1, epoch: int = 0) -> tuple[float, float]:
    """Seconds an epoch of what caching takes away, and of what it leaves, in a bare loop; medians of three.

    epoch: of so many, whose line it is.
    """
    with data_and_task(overrides, epochs) as (data, task):
        state = task.model.move_line(epoch)
        task.train()
        depth = depth_of(state)
        names = task.model.activations(depth)
        assert names is not None
        optimizer = task.make_optimizer([{"params": [p for p in task.parameters() if p.requires_grad]}])
        belows, aboves = [], []
        for _ in range(3):
            below = above = 0.0
            iterator = iter(data.train_dataloader())
            while True:
                start = time.perf_counter()
                batch = next(iterator, None)
                if batch is None:
                    break
                kept = task.model.below(batch["image"], names) if names else {}
                middle = time.perf_counter()
                optimizer.zero_grad()
                outputs = task.answers({"activations": kept, "depth": depth} if names else batch)
                torch.stack(list(task.criterion(outputs, batch).values())).sum().backward()
                optimizer.step()
                below += middle - start
                above += time.perf_counter() - middle
            belows.append(below)
            aboves.append(above)
    return statistics.median(belows), statistics.median(aboves)


class Stock(pl.LightningModule):
    """What a template does: timm's model, a new classifier, Adam."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
        self.head = torch.nn.Linear(self.backbone.num_features, classes)
        self.to(memory_format=torch.channels_last)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        pictures, labels = batch
        loss = F.cross_entropy(self.head(self.backbone(pictures.contiguous(memory_format=torch.channels_last))), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam((p for p in self.parameters() if p.requires_grad), lr=1e-3)


def stock_ten_epochs() -> None:
    """Ten frozen epochs by Lightning's callback, pictures read from disk by two workers."""
    with tempfile.TemporaryDirectory() as folder:
        for scene in dataset().scenes("train"):
            place = Path(folder) / str(scene.label)
            place.mkdir(exist_ok=True)
            (place / Path(scene.image).name).symlink_to(Path(scene.image).resolve())
        steps = [transforms.Resize((SIZE, SIZE)), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        pictures = ImageFolder(folder, transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.5] * 3)]))
        loader = DataLoader(pictures, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
        finetuning = BackboneFinetuning(unfreeze_backbone_at_epoch=100, verbose=False)
        trainer = pl.Trainer(max_epochs=10, callbacks=[finetuning], **QUIET)
        trainer.fit(Stock(len(pictures.classes)), loader)


def _step(batch: dict[str, Any], line: str) -> Callable[[], None]:
    """A forward and backward pass with a schedule's line at this group."""
    task = build(["task=classification", f"schedule.phases=[{{line: {line}}}]"], 1)
    task.train()
    task.model.move_line(0)

    def step() -> None:
        task.zero_grad()
        torch.stack(list(task.criterion(task(batch["image"]), batch).values())).sum().backward()

    return step


def _alone(whole: Task, batch: dict[str, Any], name: str, trains: bool) -> Callable[[], None]:
    """This group's own forward pass in evaluation, or its forward and backward pass in training."""
    task = deepcopy(whole)  # each has modes and gradients of its own, as they run in turn
    backbone: Any = task.model.backbone
    x = backbone.normalise(batch["image"].contiguous(memory_format=torch.channels_last))
    modules, tail = {**backbone.stages, "head": None}, backbone.tail
    task.train(False)
    with torch.no_grad():
        for stage, module in modules.items():
            if stage == name:
                break
            x = module(x)
        else:
            raise AssertionError(name)
        if name == "head":
            x = tail(x).flatten(1)
        elif not trains:  # as it is computed below a line
            modules[name], tail = folded(modules[name]).network, folded(tail).network
    x.requires_grad_(trains and name != next(iter(backbone.stages)))  # pictures need no gradient
    task.train(trains)
    for parameter in task.parameters():
        parameter.requires_grad_(trains)
    last = name == list(backbone.stages)[-1]

    def run() -> None:
        if name == "head":
            total = torch.stack(list(task.criterion(task.model.head([], x), batch).values())).sum()
        else:
            y = modules[name](x)
            total = (tail(y) if last else y).sum()
        if trains:
            total.backward()

    return torch.set_grad_enabled(trains)(run)


def _medians(actions: Mapping[Any, Callable[[], object]], rounds: int = 15) -> dict[Any, float]:
    """Seconds of each action, the median over rounds of all of them: what slows the machine for a while slows all."""
    for action in actions.values():
        action()
    found = [{name: _seconds(action) for name, action in actions.items()} for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in found) for name in actions}


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "cached_epoch": cached_epoch,
    "cached_dense_epoch": cached_dense_epoch,
    "below": below,
    "ten_epochs": ten_epochs,
    "standing_lines": standing_lines,
    "overhead": overhead,
    "lines": lines,
}
