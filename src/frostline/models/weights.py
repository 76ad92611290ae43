"""A user's own weights put into a backbone, by the names of its tensors."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.weight_files import read_weights

# Of the parameters of the stages, what a file has to fill. A deeper model's blocks are its shallower brother's and some
# more: ResNet-18's file fills 0.53 of ResNet-34, ResNet-101's 0.73 of ResNet-152, EfficientNet-Lite0's 0.79 of Lite1.
# What a right file may lack is far less: a first convolution of another number of channels, 0.001 of a ResNet-18. The
# layers before the classifier do not count, as files of features lack them: 0.39 of MobileNetV3-Small.
NEEDED = 0.9
TAIL = "tail."  # of a chain: how the names of those begin
NAMED = 3  # names that are told of each kind


@dataclass(frozen=True)
class Match:
    """Which of a file's tensors go where.

    prefix: what the file's names have before the backbone's. tensors: those that fit, by the backbone's own names, of
    `wanted` that could. unused: names of the file's others. shapes: name -> its shape there and here, where they
    differ. absent: names of what is not in the file. share: of the parameters of the stages that are filled.
    """

    prefix: str
    tensors: Mapping[str, Tensor]
    wanted: int
    unused: list[str]
    shapes: Mapping[str, tuple[list[int], list[int]]]
    absent: list[str]
    share: float

    def __str__(self) -> str:
        """For one line of a log."""
        shapes = [f"{name} (there {there}, here {here})" for name, (there, here) in self.shapes.items()]
        filled = f"{len(self.tensors)} of {self.wanted} tensors filled"
        return (
            f"{filled}, {_percent(self.share)} of the parameters of its stages"
            + (f", names without '{self.prefix}'" if self.prefix else "")
            + f"; not used of the file: {_some(self.unused)}"
            + (f"; of another shape, so random: {_some(shapes)}" if shapes else "")
            + f"; not in the file, so random: {_some(self.absent)}"
        )


def fill(backbone: Backbone, path: Path) -> str:
    """Put the tensors of a file (see `read_weights`) into a backbone; returns what went where, for one line of a log.

    Names are those of the model as published (timm's, torchvision's), or of this package, as a run's model.safetensors
    has them, behind any prefix. Raises FrostlineError where the file cannot be read, holds values that are no finite
    numbers, or fills less than NEEDED.
    """
    match = best_match(backbone, read_weights(path))
    if match.share < NEEDED:
        raise FrostlineError(
            f"backbone.weights: {path} is of another architecture than {backbone.name}, or of another depth or width: "
            f"{match}; {NEEDED:.0%} are needed."
        )
    state = backbone.state_dict()
    for name, tensor in match.tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise FrostlineError(f"backbone.weights: {path} holds values in {name} that are no finite numbers.")
        state[name].copy_(tensor)
    return str(match)


def best_match(backbone: Backbone, weights: Mapping[str, Tensor]) -> Match:
    """What of a file's tensors fits the backbone, by its published names or its own, whichever fills more."""
    own = {name: name for name in backbone.state_dict()}
    published = _match(backbone, weights, backbone.published) if backbone.published else None
    named_ours = _match(backbone, weights, own)
    return named_ours if published is None or named_ours.share > published.share else published


def _match(backbone: Backbone, weights: Mapping[str, Tensor], names: Mapping[str, str]) -> Match:
    """names: what a tensor is called in the file, but for a prefix -> what it is called here."""
    here = backbone.state_dict()
    prefix = _prefix(weights, {name: here[ours].shape for name, ours in names.items()})
    inside = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}
    outside = [key for key in weights if not key.startswith(prefix)]
    given = backbone.adapted(inside) if names is backbone.published else inside
    fitting = {n: given[n] for n, ours in names.items() if n in given and given[n].shape == here[ours].shape}
    parameters = {name: p.numel() for name, p in backbone.named_parameters() if not name.startswith(TAIL)}
    filled = sum(parameters.get(names[name], 0) for name in fitting)
    # Counters of batches and the like, which are no numbers that were learnt, may be there or not.
    learnt = [name for name, ours in names.items() if here[ours].is_floating_point()]
    return Match(
        prefix,
        {names[name]: tensor for name, tensor in fitting.items()},
        len(names),
        [*(prefix + name for name in given if name not in names), *outside],
        {n: (list(given[n].shape), list(here[names[n]].shape)) for n in learnt if n in given and n not in fitting},
        [name for name in learnt if name not in given],
        filled / max(1, sum(parameters.values())),
    )


def _prefix(weights: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> str:
    """What stands before the wanted names in a file, such as `module.`: what most numbers fit behind."""
    fits: Counter[str] = Counter()
    for key, tensor in weights.items():
        for start in (0, *(i + 1 for i, letter in enumerate(key) if letter == ".")):
            if (shape := wanted.get(key[start:])) is not None:
                fits[key[:start]] += max(1, math.prod(shape)) if shape == tensor.shape else 1
    return max(fits, key=lambda prefix: fits[prefix], default="")  # of equals the first in the file


def _percent(share: float) -> str:
    return "100 %" if share == 1 else f"{min(share, 0.999):.1%}".replace("%", " %")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - NAMED
    return (", ".join(islice(names, NAMED)) + (f" and {more} more" if more > 0 else "")) or "nothing"
