"""What can be put together: every backbone of conf/, what it is, and the tasks and heads that it can carry."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from frostline.config import build, conf_dir
from frostline.errors import FrostlineError
from frostline.freezing.groups import count
from frostline.models.backbones import Backbone
from frostline.studies.run import class_of


@dataclass(frozen=True)
class Architecture:
    """One file of conf/backbone.

    parameters: of all that a classifier stands on. multiply_adds: of one picture of input_size px on the way there.
    heads: task -> the heads of conf/head that can be put on it; tasks without any are left out.
    """

    name: str
    parameters: int
    multiply_adds: int
    input_size: int
    strides: tuple[int, ...]
    groups: tuple[str, ...]
    weights: str
    heads: dict[str, list[str]]


def names() -> list[str]:
    """The files of conf/backbone, but for the one that stands for all of timm."""
    return sorted(path.stem for path in (conf_dir() / "backbone").glob("*.yaml") if path.stem != "timm")


def architecture(name: str) -> Architecture:
    """What a file of conf/backbone gives; no pretrained weights are looked for."""
    node = _read(conf_dir() / "backbone" / f"{name}.yaml")
    if "pretrained" in node:
        node["pretrained"] = False
    backbone: Backbone = build(node, with_embedding=True, image_size=None, without=["sizes"])
    size = backbone.input_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        backbone.eval()(torch.zeros(1, 3, size, size))
    heads: dict[str, list[str]] = {}
    for task, head, content in _heads():
        if _carries(backbone, content):
            heads.setdefault(task, []).append(head)
    return Architecture(
        name,
        count(backbone.parameters()),
        counter.get_total_flops() // 2,
        size,
        tuple(backbone.strides),
        tuple(backbone.groups),
        backbone.weights,
        heads,
    )


def tasks_known() -> list[str]:
    """The files of conf/task."""
    return sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml"))


@cache
def _heads() -> list[tuple[str, str, dict[str, Any]]]:
    """Every task with every head that gives what it reads, and what the head's file holds."""
    found = []
    heads = {path.stem: _read(path) for path in sorted((conf_dir() / "head").glob("*.yaml"))}
    for task in tasks_known():
        reads = class_of(_read(conf_dir() / "task" / f"{task}.yaml")["task"]["_target_"]).reads
        found += [(task, head, node) for head, node in heads.items() if class_of(node["_target_"]).gives == reads]
    return found


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


def _carries(backbone: Backbone, head: dict[str, Any]) -> bool:
    try:
        with torch.device("meta"):  # without memory, and quickly
            build(head, backbone, 2, without=["name"])
    except FrostlineError:
        return False
    return True
