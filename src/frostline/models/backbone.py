"""The contract of a backbone: a feature extractor whose parameters lie in ordered, named groups."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError

EMBEDDING = "embedding"  # name of that activation; the others are named after the stages that give them
STEP = 32  # px; sides of pictures are multiples of it where no feature map says otherwise
FROM_SCRATCH = "none, from scratch"


class Backbone(nn.Module):
    """What every head relies on.

    Takes pictures (B, 3, H, W), uint8 or floats in 0..1, and normalises them itself, so the statistics that the weights
    were trained with cannot be forgotten.

    channels, strides: of the feature maps, finest first; none where they do not lie upon the picture cell by cell.
    embedding_size: length of the embedding, the vector that the pretrained classifier stood on.
    groups: group name -> its modules, in order from the picture upwards; disjoint and complete.
    input_size: px, the side of the pictures that it was published with. weights: where pretrained ones come from.
    published: name of a tensor in the model that it was made of -> its name here; none where that is the same.
    filled: what a user's own file of weights gave it, in words; empty where there was none.
    sides: px, those of the pictures it takes; where there are none, multiples of `step` from `smallest` up.
    """

    channels: list[int]
    strides: list[int]
    embedding_size: int
    groups: dict[str, list[nn.Module]]
    input_size: int
    weights: str = FROM_SCRATCH
    published: Mapping[str, str] = {}
    filled: str = ""
    sides: tuple[int, ...] = ()
    smallest: int = 1

    def __init__(self, name: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.name = name
        # Not persistent: they belong to the weights' recipe, and a checkpoint holds only what was learnt.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        return (in_floats(image) - cast(Tensor, self.mean)) / cast(Tensor, self.std)

    @property
    def step(self) -> int:
        """px; sides of pictures are multiples of it, so that every map lies upon the picture."""
        return max(self.strides, default=1 if self.sides else STEP)

    @property
    def has(self) -> str:
        """Which feature maps there are, for a sentence of a head that cannot stand on them."""
        maps = f"maps at {self.strides}" if self.strides else "no feature maps that lie upon the picture"
        return f"{self.name} has {maps}"

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Pictures (B, 3, H, W) -> feature maps and embedding.

        The maps are [(B, channels[i], H / strides[i], W / strides[i])], finest first; the embedding (B, embedding_size)
        is None in a backbone built without it.
        """
        raise NotImplementedError

    # The same in two steps, so that what lies below a frost line can be computed once and kept.

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        """Names of the activations from which `above` can go on, if the lowest `depth` groups are left out.

        maps: which feature maps the head reads. embedding: whether it reads the embedding.
        None where the model cannot be cut at this depth.
        """
        raise NotImplementedError

    def below(
        self, image: Tensor, names: Sequence[str], twins: Mapping[nn.Module, nn.Module] | None = None
    ) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) -> these activations, each (B, …); nothing above them is computed.

        twins: what computes in place of some of `pieces`.
        """
        raise NotImplementedError

    def pieces(self, depth: int) -> list[nn.Module]:
        """Of the lowest `depth` groups, the modules that `below` runs whole, each from what the one before it gives.

        None in a model of which nobody knows what it takes from where.
        """
        return []

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        """What `below` gave -> feature maps, finest first, None where not to be had, and the embedding if it was given.

        Runs all but the lowest `depth` groups.
        """
        raise NotImplementedError

    def modules_below(self, name: str) -> list[nn.Module]:
        """All modules that decide this activation, the backbone's normalisation apart."""
        raise NotImplementedError

    def adapted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights under their published names, as this model takes them, which may be built for another size."""
        return weights

    def named_as(self, model: nn.Module) -> dict[str, str]:
        """`published`, where the model is what this was made of, so that both hold the same tensors."""
        ours = {id(tensor): name for name, tensor in self.state_dict(keep_vars=True).items()}
        theirs = model.state_dict(keep_vars=True).items()
        return {name: ours[id(tensor)] for name, tensor in theirs if id(tensor) in ours}


def in_floats(image: Tensor) -> Tensor:
    """Pictures of bytes as floats in 0..1; floats as they are."""
    # In place: new memory costs more than the division.
    return image.float().div_(255) if image.dtype == torch.uint8 else image


# What builders of backbones say.


def fetched(name: str, error: Exception) -> FrostlineError:
    """What to say where pretrained weights can neither be found nor be fetched."""
    return FrostlineError(
        f"The pretrained weights of '{name}' are not in the local cache and cannot be fetched ({first_line(error)}): "
        "run once with a network, or set backbone.pretrained=false, "
        "or take backbone=efficientnet_lite0, whose weights are installed."
    )


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def check_name(name: str, *own: str) -> None:
    """A name alone makes no other model of a backbone that is one model, or a few; raises FrostlineError."""
    if name not in own:
        raise FrostlineError(f"backbone.name is '{name}', but this is {own[0]}: write backbone=timm as well.")
