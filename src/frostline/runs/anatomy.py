"""What a backbone is made of, and which heads stand on it: found by building them, without values."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from frostline.config import Config, build, conf_files
from frostline.errors import FrostlineError
from frostline.freezing.groups import count
from frostline.models.backbone import Backbone
from frostline.runs.build import UNBUILT, class_of
from frostline.runs.catalogue import Entry, keep_shipped, node_of, shipped

CLASSES = 5  # that heads are built for; they change nothing of what is possible


def entry(name: str) -> Entry:
    """One row of the table. Raises FrostlineError for an unknown name, or a model that cannot be a backbone."""
    backbone: Backbone = build(node_of(name), with_embedding=True, without=UNBUILT)
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
    heads = conf_files("head")
    for task, node in conf_files("task").items():
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


if __name__ == "__main__":
    keep_shipped([entry(name) for name in shipped()])
