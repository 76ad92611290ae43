"""A model small enough to be trained a hundred times, and how it is trained."""

from functools import cache, partial

import pytest
import pytorch_lightning as pl
import timm
import torch
from timm.layers import GroupNorm, LayerNorm2d
from torch import nn
from torch.utils.data import DataLoader, Dataset

from frostline.config import build, compose, conf_dir
from frostline.freezing.callback import FrostLine
from frostline.loading.batch import made_up
from frostline.models.backbones import chain_of
from frostline.models.heads.classification import LinearHead
from frostline.tasks.classification import Classification

CLASSES = ("a", "b", "c")
WIDTH = 4
NORMS = {"batch": nn.BatchNorm2d, "group": partial(nn.GroupNorm, 2), "layer": LayerNorm2d}
# timm's own small models: 64 px take a few milliseconds.
SMALL = {
    "batch": ("test_efficientnet", {}),
    "group": ("test_resnet", {"norm_layer": partial(GroupNorm, num_groups=8)}),
    "layer": ("test_convnext", {}),
}


def shipped(group):
    """Names of the files in conf/`group`."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@cache
def option(group, name, *overrides):
    """One file of conf/, resolved."""
    return compose([f"{group}={name}", *overrides])[group]


class Tiny(nn.Module):
    """Built as timm's models are, with one layer a stage."""

    def __init__(self, stages, norm):
        super().__init__()
        self.stem = self.layer(3, norm, 4)
        self.blocks = nn.Sequential(*(self.layer(WIDTH, norm, 1) for _ in range(stages)))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.feature_info = [{"module": f"blocks.{i}", "num_chs": WIDTH, "reduction": 4} for i in range(stages)]
        self.num_features = WIDTH

    @staticmethod
    def layer(channels, norm, stride):
        return nn.Sequential(nn.Conv2d(channels, WIDTH, 3, stride, 1), NORMS[norm](WIDTH), nn.SiLU())

    def forward(self, image):
        return self.pool(self.blocks(self.stem(image)))


def tiny_backbone(stages=5, norm="batch"):
    """Groups stem, stage1 … ; pictures of 8 px are enough."""
    return chain_of("tiny", Tiny(stages, norm), with_embedding=True)


def small_backbone(norm, drop=0.0):
    """One of timm's, with these norms. drop: chance that a block is left out in training mode."""
    name, options = SMALL[norm]
    model = timm.create_model(name, pretrained=False, num_classes=0, drop_path_rate=drop, **options)
    return chain_of(name, model, with_embedding=True)


def make_task(
    schedule,
    epochs,
    backbone=tiny_backbone,
    rate="constant",
    optimizer="adamw",
    kind=Classification,
    classes=CLASSES,
    **options,
):
    """A classification. schedule: a name in conf/schedule, or a list of phases; options: of the optimizer."""
    torch.manual_seed(0)
    backbone = backbone()
    config = option("optimizer", optimizer) | options
    return kind(
        backbone,
        LinearHead(backbone, len(classes)),
        classes,
        schedule=option("schedule", schedule) if isinstance(schedule, str) else {"name": "s", "phases": schedule},
        epochs=epochs,
        optimizer=partial(build, config, without=["name"]),
        weight_decay=config["weight_decay"],
        rate=partial(build, option("rate", rate), without=["name"]),
    )


class FlatTask(Classification):
    """Its validation loss never changes, so that every plateau is met as early as it can be."""

    def criterion(self, outputs, batch):
        losses = super().criterion(outputs, batch)
        return losses if self.training else {"class": torch.ones(())}


class Batches(Dataset):
    """The same few batches in each epoch, each different from the others."""

    def __init__(self, steps, size):
        self.batches = [made_up(3, size, 3, seed=step) for step in range(steps)]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def fit(task, epochs, steps=2, size=8, data=None, callbacks=(), ckpt_path=None, **options):
    """Train under the callback that moves the line; returns the trainer. data: a DataModule in place of `Batches`."""
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[FrostLine(task.model), *callbacks],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **{"enable_checkpointing": False, **options},
    )
    loaders = [DataLoader(Batches(count, size), batch_size=None) for count in (steps, 1)] if data is None else [data]
    trainer.fit(task, *loaders, ckpt_path=ckpt_path, weights_only=True)
    return trainer


@pytest.fixture
def tiny():
    """The functions and classes of this file."""
    from types import SimpleNamespace

    return SimpleNamespace(
        make=make_task, fit=fit, backbone=tiny_backbone, small=small_backbone, Flat=FlatTask, option=option
    )
