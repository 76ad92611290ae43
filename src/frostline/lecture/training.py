"""Short trainings for the lecture: the project's own, on a few pictures of a dataset, in a folder that nobody keeps."""

import copy
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torchvision import tv_tensors

from frostline.checking.prepare import prepare
from frostline.config import compose
from frostline.freezing.groups import keeps_statistics
from frostline.lecture.page import Lacking
from frostline.loading.items import SceneItems
from frostline.models.backbone import Backbone
from frostline.runs.build import Built, build_run
from frostline.runs.fit import fit
from frostline.runs.timing import Stopwatch
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import serving
from frostline.scenes.scene import SPLITS, Scene
from frostline.sources.prepared import Prepared
from frostline.tasks.examples import spread
from frostline.tracking.journal import Journal

MOST = {"train": 160, "val": 60, "test": 160}  # pictures of a short training
LEAST = {"train": 8, "val": 2, "test": 4}
# What a minute has room for, and what makes each number the same again; whatever else was asked for.
SHORT = [
    "backbone=efficientnet_lite0",
    "augment/mix=none",
    "optimizer=adamw",
    "trainer=cpu",
    "trainer.batch_size=16",
    "tracking=none",
]
IN_WORDS = {"label": "labels", "boxes": "boxes", "mask": "masks"}


class Few(Prepared):
    """At most so many scenes of each split of a prepared dataset, spread over those that have what is needed."""

    def __init__(self, dataset: Dataset, needs: Collection[str], most: Mapping[str, int]) -> None:
        super().__init__(dataset.path)
        self.chosen = {}
        for split in SPLITS:
            there = np.flatnonzero(serving(self.dataset.scenes(split), needs))
            self.chosen[split] = there[spread(most[split], len(there))].tolist()

    def scenes(self) -> Iterator[Scene]:
        for split, chosen in self.chosen.items():
            scenes = self.dataset.scenes(split)
            for index in chosen:
                yield replace(scenes[index], scaled=True)


def few(dataset: Dataset, needs: Collection[str], folder: Path, most: Mapping[str, int] = MOST) -> Dataset:
    """A dataset of a few of the scenes, in `folder`, where there are more. Raises Lacking where there are too few."""
    if needs == {"label"} and len(dataset.classes.labels or ()) == 1:
        raise Lacking(
            f"This part tells classes apart, and {dataset.name} has one: add another, or run it with dataset=meadow."
        )
    source = Few(dataset, needs, most)
    for split, least in LEAST.items():
        if (found := len(source.chosen[split])) < least:
            what = " and ".join(IN_WORDS[need] for need in sorted(needs))
            raise Lacking(
                f"This part trains on pictures with {what}, and {dataset.name} has {found} of them in its split "
                f"'{split}' where {least} are the least: annotate some, or run it with dataset=meadow."
            )
    if all(len(dataset.scenes(split)) <= most[split] for split in SPLITS):
        return dataset
    return prepare(
        source, folder / "few", name=dataset.name, split={"given": True}, on_fault="skip", duplicates="ignore"
    )


@dataclass(frozen=True, eq=False)
class Trained:
    """A run that has ended. built: what it was made of; its task is as it was tested, at its best epoch. epochs: what
    was logged of each. metrics: of the test split."""

    built: Built
    epochs: list[dict[str, float]]
    metrics: dict[str, float]

    def curve(self, name: str) -> list[float]:
        """What was logged by this name, of each epoch."""
        return [epoch[name] for epoch in self.epochs]

    @cached_property
    def thawed(self) -> int:
        """The first epoch in which nothing is frozen; as many as there are epochs where there is none."""
        return next((n for n, depth in enumerate(self.curve("frost_depth")) if depth == 0), len(self.epochs))


def trained(
    dataset: Dataset, overrides: Sequence[str], folder: Path, name: str, watching: Sequence[pl.Callback] = ()
) -> Trained:
    """Train and test one run, as `frostline train` does it, in `folder`; runs in it share what lies below the line.

    watching: what looks on, or meddles, ahead of all that Frostline does at a batch.
    """
    own = folder / name
    own.mkdir(parents=True)
    config = compose([*SHORT, *overrides, f"cache.folder={folder / 'cache'}"])
    with redirect_stdout(io.StringIO()):  # a line an epoch
        built = build_run(config, dataset, name)
        try:
            fitted = fit(built, own, Stopwatch(), watching, [Journal(own / "epochs.jsonl")])
        finally:
            built.data.teardown()
    epochs = [json.loads(line) for line in (own / "epochs.jsonl").read_text().splitlines()]
    return Trained(built, epochs, fitted.metrics)


class NormsRunning(pl.Callback):
    """Lets the batch norms of a frozen backbone go on gathering statistics, which Frostline does not."""

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        pl_module.model.folds = False  # a copy whose norms are folded has none that could go on

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        for module in pl_module.model.backbone.modules():
            if keeps_statistics(module):
                module.train()


class Drift(pl.Callback):
    """How far the answers of a backbone to the same pictures have moved since training began.

    pictures: (n, 3, S, S). shares: after each epoch, the length of the difference by that of the first answer.
    """

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures
        self.shares: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._before = self._answer(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.shares.append(apart(self._answer(pl_module), self._before))

    def _answer(self, pl_module: Any) -> Tensor:
        return answer(copy.deepcopy(pl_module.model.backbone).eval(), self.pictures)


@torch.no_grad()
def answer(backbone: Backbone, pictures: Tensor) -> Tensor:
    """The embeddings (n, E) of these pictures, in the mode that the backbone is in. Nothing of it moves."""
    embedding: Tensor | None = copy.deepcopy(backbone)(pictures)[1]
    assert embedding is not None
    return embedding


def apart(found: Tensor, before: Tensor) -> float:
    """The length of their difference, as a share of that of the second."""
    return float((found - before).norm() / before.norm())


def annotated(dataset: Dataset, side: int, position: int = 0) -> dict[str, Any]:
    """A training picture as augmentation takes it, at this side, with its boxes and its mask, as far as it has some."""
    scenes = dataset.scenes("train")
    has = {"boxes": scenes.boxes_annotated, "mask": scenes.masks_annotated}
    needs = {kind for kind, there in has.items() if there.any()}
    if not needs or not serving(scenes, needs).any():
        needs = {"label"}
    items = SceneItems(dataset, "train", needs, side)
    item = items.plain(position % len(items))
    if "boxes" in item:
        item["boxes"] = tv_tensors.BoundingBoxes(item["boxes"], format="XYXY", canvas_size=(side, side))
    return item
