"""Architectures that timm lacks, or has but not as a chain, cut where their maps leave: torchvision's, and our own."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torchvision
from torch import nn

from frostline.errors import FrostlineError
from frostline.models.backbones import ChainBackbone, create
from frostline.models.resnet import ResNet34

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Cut:
    """How a model is cut.

    layers: of a built model, its layers in the order in which they run, by name, the classifier left out.
    ends: the last layer of each stage, all of which give a map; channels, strides: of the maps. embedding_size: of what
    the layers after them give. normalisation: mean and standard deviation that its weights were trained with.
    weights, input_size, aligned: see `Backbone`.
    """

    layers: Callable[[Any], dict[str, nn.Module]]
    ends: Sequence[str]
    channels: Sequence[int]
    strides: Sequence[int]
    embedding_size: int
    weights: str
    normalisation: tuple[Sequence[float], Sequence[float]] = IMAGENET
    input_size: int = 224
    aligned: bool = True


def _children(*left_out: str) -> Callable[[nn.Module], dict[str, nn.Module]]:
    return lambda model: {name: layer for name, layer in model.named_children() if name not in left_out}


def _layers_of_alexnet(model: Any) -> dict[str, nn.Module]:
    features = {f"features_{name}": layer for name, layer in model.features.named_children()}
    hidden = {f"classifier_{name}": layer for name, layer in list(model.classifier.named_children())[:-1]}
    return {**features, "avgpool": model.avgpool, "flatten": nn.Flatten(), **hidden}


CUTS = {
    # Of its maps each has a row less than its stride goes into the picture, or one and a half.
    "alexnet": Cut(
        _layers_of_alexnet,
        ["features_1", "features_4", "features_11"],
        [64, 192, 256],
        [4, 8, 16],
        4096,
        "torchvision",
        aligned=False,
    ),
    # torchvision's weights came from TensorFlow, where pictures were scaled to ± 1.
    "googlenet": Cut(
        _children("dropout", "fc"),
        ["conv1", "conv3", "inception3b", "inception4e", "inception5b"],
        [64, 192, 480, 832, 1024],
        [2, 4, 8, 16, 32],
        1024,
        "torchvision",
        HALF,
    ),
    # Its first convolutions are not padded.
    "xception": Cut(
        _children("fc"),
        ["act2", "block1", "block2", "block11", "act4"],
        [64, 128, 256, 728, 2048],
        [2, 4, 8, 16, 32],
        2048,
        "timm: legacy_xception.tf_in1k",
        HALF,
        299,
        aligned=False,
    ),
    "resnet34": Cut(
        _children("fc"),
        ["relu", "layer1", "layer2", "layer3", "layer4"],
        [64, 64, 128, 256, 512],
        [2, 4, 8, 16, 32],
        512,
        "torchvision",
    ),
}


def torchvision_backbone(
    name: str, pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """`alexnet` (Krizhevsky 2014, arXiv:1404.5997) or `googlenet` (Szegedy et al. 2015, arXiv:1409.4842).

    Raises FrostlineError where the weights are neither here nor to be had.
    """
    options = {"aux_logits": False, "transform_input": False, "init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, **options)
    if pretrained:
        state = _fetched(name, name)
        model.load_state_dict({key: value for key, value in state.items() if not key.startswith("aux")})
    return _cut(name, model, CUTS[name], with_embedding)


def plain_resnet34(
    name: str = "resnet34_plain", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """Our own `ResNet34`, with torchvision's weights. Raises FrostlineError where they are not to be had."""
    model = ResNet34()
    if pretrained:
        model.load_state_dict(_fetched("resnet34", name))
    return _cut(name, model, CUTS["resnet34"], with_embedding)


def xception(
    name: str = "xception", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """Xception as published (Chollet 2017, arXiv:1610.02357): timm's `legacy_xception`, which is no chain there.

    Raises FrostlineError where the weights are neither here nor to be had.
    """
    model = create("legacy_xception", pretrained, None)
    return _cut(name, model, CUTS["xception"], with_embedding)


def _fetched(weights_of: str, name: str) -> dict[str, Any]:
    weights = torchvision.models.get_model_weights(weights_of).DEFAULT
    try:
        return cast(dict[str, Any], weights.get_state_dict(progress=True, check_hash=True))
    except OSError as error:
        raise FrostlineError(
            f"The pretrained weights of '{name}' are not in the local cache and cannot be fetched ({error}): "
            "run once with a network, or set backbone.pretrained=false, "
            "or take backbone=efficientnet_lite0, whose weights are installed."
        ) from error


def _cut(name: str, model: nn.Module, cut: Cut, with_embedding: bool) -> ChainBackbone:
    layers = list(cut.layers(model).items())
    names = [layer for layer, _ in layers]
    bounds = [0, *(names.index(end) + 1 for end in cut.ends)]
    stages = {
        "stem" if k == 0 else f"stage{k}": nn.Sequential(OrderedDict(layers[bounds[k] : bounds[k + 1]]))
        for k in range(len(cut.ends))
    }
    tail = nn.Sequential(OrderedDict(layers[bounds[-1] :])) if with_embedding else None
    backbone = ChainBackbone(
        name,
        *cut.normalisation,
        stages,
        [True] * len(stages),
        cut.channels,
        cut.strides,
        tail,
        cut.embedding_size,
    )
    backbone.aligned, backbone.input_size, backbone.weights = cut.aligned, cut.input_size, cut.weights
    return backbone
