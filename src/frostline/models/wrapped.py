"""Backbones that are no chain of modules, such as vision transformers: timm's own forward pass, grouped."""

import sys
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from frostline.models.backbone import EMBEDDING, Backbone
from frostline.models.grouping import groups_by_name
from frostline.models.timm_facts import facts_of

QUARTERS = 4  # feature maps of a model whose blocks all keep one stride
PYRAMID = [4.0, 2.0, 1.0, 0.5]  # by how much they are enlarged: of patches of 16 px, maps at 1/4 … 1/32


class WrappedBackbone(Backbone):
    """A model of timm that is no chain: timm's own forward pass, grouped by the stage that each parameter serves.

    Where all blocks keep one stride (a plain vision transformer), four feature maps leave, after each quarter of the
    blocks, enlarged and halved into a pyramid, as is usual where such models are used for boxes and masks (Bao et al.
    2022, arXiv:2106.08254; but bilinearly, without weights that nobody pretrained).
    with_embedding: keep the layers between the last feature map and the classifier; they belong to the last stage.
    """

    def __init__(self, name: str, model: nn.Module, with_embedding: bool) -> None:
        facts = facts_of(model)
        super().__init__(name, facts.mean, facts.std)
        count = len(facts.maps)
        columnar = count > QUARTERS and len({stride for _, stride in facts.maps.values()}) == 1
        chosen = [(k + 1) * count // QUARTERS - 1 for k in range(QUARTERS)] if columnar else list(range(count))
        cast(Any, model).prune_intermediate_layers(chosen, prune_norm=not with_embedding, prune_head=not with_embedding)
        self.model, self.chosen, self.with_embedding = model, chosen, with_embedding
        self.kept = [True] * len(chosen)  # does the map leave?
        ends = [list(facts.maps)[i] for i in chosen]
        self.channels = [facts.maps[end][0] for end in ends]
        strides = [facts.maps[end][1] for end in ends]
        self.scales = PYRAMID if columnar and strides[0] % PYRAMID[0] == 0 else [1.0] * len(chosen)
        self.strides = [int(stride / scale) for stride, scale in zip(strides, self.scales, strict=True)]
        self.embedding_size, self.input_size, self.weights = facts.embedding_size, facts.input_size, facts.weights
        self.groups, self.published = groups_by_name(model, ends), self.named_as(model)

    def keep_maps(self, kept: Sequence[bool]) -> None:
        """Let only these of the feature maps leave: those that lie upon the picture cell by cell."""
        self.kept = list(kept)
        self.channels, self.strides = list(compress(self.channels, kept)), list(compress(self.strides, kept))
        self.scales = list(compress(self.scales, kept))

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        features, embedding = self._own(image)
        return [scaled(feature, scale) for feature, scale in zip(features, self.scales, strict=True)], embedding

    def _own(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The maps that leave, as large as timm's model has them, and the embedding."""
        model, x = cast(Any, self.model), self.normalise(image)
        if not self.with_embedding:
            features = model.forward_intermediates(x, indices=self.chosen, intermediates_only=True)
            return list(compress(features, self.kept)), None
        last, features = model.forward_intermediates(x, indices=self.chosen)
        return list(compress(features, self.kept)), model.forward_head(last, pre_logits=True).flatten(1)

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        if depth < len(self.groups):
            return None
        return [*(f"map{i}" for i in maps), *([EMBEDDING] if embedding else [])]

    def below(
        self, image: Tensor, names: Sequence[str], twins: Mapping[nn.Module, nn.Module] | None = None
    ) -> dict[str, Tensor]:
        features, embedding = self._own(image)  # enlarged ones would take many times the room
        known: dict[str, Any] = {f"map{i}": feature for i, feature in enumerate(features)} | {EMBEDDING: embedding}
        return {name: known[name] for name in names}

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        features = [activations.get(f"map{i}") for i in range(len(self.channels))]
        maps = [m if m is None else scaled(m, scale) for m, scale in zip(features, self.scales, strict=True)]
        return maps, activations.get(EMBEDDING)

    def modules_below(self, name: str) -> list[nn.Module]:
        return [self.model]

    def adapted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        # What timm does to all that it fetches: position embeddings and tables are resampled to the size of pictures.
        convert = getattr(sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None)
        try:
            return weights if convert is None else cast(Mapping[str, Tensor], convert(dict(weights), self.model))
        except (KeyError, AttributeError, IndexError, ValueError, TypeError, RuntimeError, AssertionError):
            return weights  # of another model: they will not match either


def scaled(feature: Tensor, scale: float) -> Tensor:
    """A feature map (B, C, h, w) so many times as large, cell upon cell."""
    if scale < 1:
        return F.max_pool2d(feature, round(1 / scale))
    return feature if scale == 1 else F.interpolate(feature, scale_factor=scale, mode="bilinear")
