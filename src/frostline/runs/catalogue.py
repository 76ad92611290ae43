"""Which backbones there are, what each costs, and which tasks and heads take it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import timm
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from frostline.config import Config, build, conf_dir
from frostline.errors import FrostlineError
from frostline.freezing.groups import count
from frostline.models.backbone import Backbone
from frostline.runs.build import class_of

if TYPE_CHECKING:
    from rich.table import Table

CLASSES = 5  # that heads are built for; they change nothing of what is possible
ANY = "timm"  # the file that takes a name of timm's


@dataclass(frozen=True)
class Entry:
    """What the table says of one backbone.

    name: as written after `backbone=`. parameters: without any classifier. multiply_adds: for one picture of its own
    input size, in px. weights: where pretrained ones come from. heads: by task.
    """

    name: str
    parameters: int
    multiply_adds: int
    input_size: int
    strides: list[int]
    groups: list[str]
    weights: str
    heads: dict[str, list[str]]


def files(group: str) -> dict[str, Config]:
    """What stands in conf/GROUP/, by file: plain values, as nothing is composed."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((conf_dir() / group).glob("*.yaml"))}


def shipped() -> list[str]:
    """Every file of conf/backbone/ that is one architecture."""
    return [name for name in files("backbone") if name != ANY]


def node_of(name: str) -> Config:
    """The configuration of a backbone, without weights: a file of conf/backbone/, or a name of timm's."""
    known = files("backbone")
    if name == ANY or (name not in known and not timm.is_model(name.split(".")[0])):
        near = difflib.get_close_matches(name, [*known, *timm.list_models()], n=4)
        hint = f"; names like it: {', '.join(near)}" if near else ""
        raise FrostlineError(f"'{name}' is neither a file in conf/backbone/ nor a model of timm{hint}.")
    node = known.get(name) or known[ANY] | {"name": name}
    return node | {"pretrained": False} if "pretrained" in node else node


def entry(name: str) -> Entry:
    """One row of the table. Raises FrostlineError for an unknown name, or a model that cannot be a backbone."""
    backbone: Backbone = build(node_of(name), with_embedding=True, without=["sides"])
    return Entry(
        name,
        count(backbone.parameters()),
        multiply_adds(backbone),
        backbone.input_size,
        backbone.strides,
        list(backbone.groups),
        backbone.weights,
        heads_on(backbone),
    )


def multiply_adds(backbone: Backbone) -> int:
    """Of convolutions and matrix products on one picture of its own input size; leaves the backbone without values."""
    picture = torch.empty(1, 3, backbone.input_size, backbone.input_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.to("meta").eval()(picture)
    return int(counter.get_total_flops()) // 2


def heads_on(backbone: Backbone) -> dict[str, list[str]]:
    """The heads of conf/head/ that can be built on a backbone, by the task of conf/task/ that reads what they give.

    Tasks without any are left out.
    """
    possible: dict[str, list[str]] = {}
    heads = files("head")
    for task, node in files("task").items():
        reads = class_of(node["task"]["_target_"]).reads
        fitting = [h for h, n in heads.items() if class_of(n["_target_"]).gives == reads and _stands(n, backbone)]
        if fitting:
            possible[task] = fitting
    return possible


def _stands(head: Config, backbone: Backbone) -> bool:
    try:
        with torch.device("meta"):
            build(head, backbone, CLASSES, without=["name"])
    except FrostlineError as refusal:
        if refusal.__cause__ is not None:  # no refusal, but a file that is wrong
            raise
        return False
    return True


def tables(entries: Sequence[Entry]) -> "list[Table]":
    """Two tables of rich: what each backbone is; and which tasks and heads take it, in one row where they are alike."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    what = Table(
        *(Column(title, no_wrap=True) for title in ("backbone", "params", "mult-adds", "px", "strides", "groups")),
        Column("weights", overflow="fold"),  # the only one that gives way where the window is narrow
        box=SIMPLE,
        padding=0,
    )
    alike: dict[str, list[str]] = {}
    for one in entries:
        what.add_row(
            one.name,
            _short(one.parameters),
            _short(one.multiply_adds),
            str(one.input_size),
            " ".join(map(str, one.strides)) or "-",
            f"to {one.groups[-1]}",
            one.weights,
        )
        takers = "\n".join(f"{task}: {', '.join(heads)}" for task, heads in one.heads.items())
        alike.setdefault(takers, []).append(one.name)
    which = Table("backbone", "tasks and heads that take it", box=SIMPLE, padding=0, show_lines=True)
    for takers, names in alike.items():
        which.add_row("\n".join(names), takers)
    return [what, which]


def _short(number: int) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return str(number)
