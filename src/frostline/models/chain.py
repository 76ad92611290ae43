"""Backbones that are a plain chain of modules, as nearly every convolutional one is: cut into consecutive pieces."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from frostline.models.backbone import EMBEDDING, Backbone
from frostline.models.grouping import units_of

# Where a stage ends: its last module -> channels and stride of the feature map that leaves there, None where none does.
Ends = Mapping[str, tuple[int, int] | None]


PICTURE = "picture"  # normalised: from which all stages can run


class ChainBackbone(Backbone):
    """Stages that run one after another.

    stages: `stem, stage1 … stageN`. maps: stage -> channels and stride of the feature map that leaves after it, finest
    first.
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
        self.ends = list(maps)  # stages after which a feature map leaves
        self.channels = [channels for channels, _ in maps.values()]
        self.strides = [stride for _, stride in maps.values()]
        self.embedding_size = embedding_size
        self.groups = {group: [stage] for group, stage in self.stages.items()}
        if tail is not None:
            self.groups[list(stages)[-1]].append(tail)

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        features, embedding = self.above({PICTURE: self.normalise(image)}, 0)
        return cast(list[Tensor], features), embedding

    def _embed(self, last: Tensor) -> Tensor | None:
        return None if self.tail is None else cast(Tensor, self.tail(last)).flatten(1)

    def pieces(self, depth: int) -> list[nn.Module]:
        stages = list(self.stages.values())
        return [*stages[:depth], self.tail] if self.tail is not None and depth == len(stages) else stages[:depth]

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        stages = list(self.stages)
        needed = {self.ends[i] for i in maps}
        if depth < len(stages):  # the next stage goes on from the last one left out
            needed.add(stages[depth - 1])
        kept = [stage for stage in stages[:depth] if stage in needed]
        return [*kept, EMBEDDING] if embedding and depth == len(stages) else kept

    def below(
        self, image: Tensor, names: Sequence[str], twins: Mapping[nn.Module, nn.Module] | None = None
    ) -> dict[str, Tensor]:
        twins = twins or {}
        x = self.normalise(image)
        found: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            if found.keys() >= set(names):
                break
            x = twins.get(stage, stage)(x)
            if name in names:
                found[name] = x
        if EMBEDDING in names:
            assert self.tail is not None, "built without its embedding"
            found[EMBEDDING] = twins.get(self.tail, self.tail)(x).flatten(1)
        return found

    def above(self, activations: Mapping[str, Tensor], depth: int) -> tuple[list[Tensor | None], Tensor | None]:
        x = activations.get(PICTURE)
        features: list[Tensor | None] = []
        for k, (name, stage) in enumerate(self.stages.items()):
            x = activations.get(name) if k < depth else stage(x)
            if name in self.ends:
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
    stages: dict[str, nn.Module] = {}
    maps: dict[str, tuple[int, int]] = {}
    piece: OrderedDict[str, nn.Module] = OrderedDict()
    for unit_name, unit in units_of(model, list(ends)):
        piece[unit_name.replace(".", "_")] = unit
        if unit_name in ends:
            stage = f"stage{len(stages)}" if stages else "stem"
            stages[stage] = nn.Sequential(piece)
            if (leaving := ends[unit_name]) is not None:
                maps[stage] = leaving
            piece = OrderedDict()
    tail = nn.Sequential(piece) if with_embedding else None
    backbone = ChainBackbone(name, *statistics, stages, maps, tail, embedding_size)
    backbone.published = backbone.named_as(model)
    return backbone
