"""A backbone and its head, of which a schedule freezes some groups and trains the others: what moves the frost line."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from frostline.freezing.groups import Groups, check_partition, count, keeps_statistics, labelled
from frostline.freezing.phases import parse_schedule
from frostline.freezing.rates import BASE
from frostline.freezing.schedule import Norms, Schedule, State, depth_of, ended, frozen_groups, phase_at, state_at
from frostline.models.backbone import Backbone
from frostline.models.by_onnxruntime import ByOnnxruntime
from frostline.models.folding import TRANSPOSED, Pair, folded, folded_in_passing, folds, pairs
from frostline.models.heads.base import Head
from frostline.models.layout import channels_last


class Frosted(nn.Module):
    """The whole network, its parameters in ordered groups, and the schedule that says which of them train when.

    schedule: a schedule file's content. epochs: the whole budget.
    groups: from the stem to the head; every parameter lies in exactly one. parts: the parameters of each part of the
    schedule. ended: phase (from 0) -> epoch at which it ended on its plateau; all else follows from the epoch's number.
    folds: whether batch norms that keep their statistics are folded into convolutions, see `models.folding`: below the
        line in a copy, above it anew in each pass, as what is there trains.
    below_by: what computes that copy, where the backbone is a chain of pieces.
    Raises FrostlineError as `parse_schedule`.
    """

    def __init__(self, backbone: Backbone, head: Head, schedule: Mapping[str, Any], epochs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.groups: Groups = {**backbone.groups, "head": [head]}
        check_partition(self, self.groups)
        labels = labelled(self, self.groups)
        self.planned: Schedule = parse_schedule(schedule, epochs, list(labels))
        self.parts = {part: [labels[label] for label in members] for part, members in self.planned.parts.items()}
        self.ended: dict[int, int] = {}
        self.folds = True
        self.below_by: Literal["torch", "onnxruntime"] = "torch"
        self._frozen: list[str] = []
        self._norms: Norms = "train"
        self._depth = 0  # of the line, while there is one
        # Pieces below the line -> the same, folded, by `below_by`. In a dict, so that nobody finds weights here: no
        # checkpoint, no optimizer and no other process.
        self._twins: dict[nn.Module, nn.Module] = {}
        self._pairs_above: list[Pair] = []
        self.register_load_state_dict_post_hook(_other_weights)
        channels_last(self)

    @property
    def schedule(self) -> Schedule:
        """As planned, but for the phases that have ended on their plateau."""
        schedule = self.planned
        for number, epoch in self.ended.items():
            schedule = ended(schedule, number, epoch)
        return schedule

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def folding(self) -> bool:
        """Whether what lies below the line is computed with its batch norms folded: while there is a line."""
        return self.folds and self._depth > 0

    # Freezing.

    def state_at(self, epoch: float) -> State:
        """The schedule's word on every part at this point of training (epochs since the start)."""
        return state_at(self.schedule, epoch)

    def move_line(self, epoch: int) -> State:
        """Freeze and thaw what the schedule says for this epoch, and return its word.

        Frozen means: no gradient, and evaluation mode for groups of which nothing trains.
        """
        state = self.state_at(epoch)
        for part, parameters in self.parts.items():
            for parameter in parameters:
                parameter.requires_grad_(state[part] is not None)
                if state[part] is None:
                    parameter.grad = None  # one left over from before would still move it
        self._frozen, self._norms = frozen_groups(state), phase_at(self.schedule, epoch)[1].norms
        self._depth = depth_of(state)
        below = self.backbone.pieces(self._depth)
        self._twins = {piece: twin for piece, twin in self._twins.items() if piece in below}  # the others train
        # What was frozen until now is still in evaluation mode, and Lightning would keep it there: after a validation
        # it gives each module the mode it had before.
        self.train(self.training)
        self._pairs_above = self._find_pairs_above()
        return state

    def forget_line(self) -> None:
        """From now on compute the network by its own weights alone, as whoever loads them will."""
        self._depth = 0
        self._twins, self._pairs_above = {}, []

    def train(self, mode: bool = True) -> Self:
        """As nn.Module.train, but frozen groups stay in evaluation mode: no statistic below the frost line moves.

        So do the backbone's batch norms above the line where the schedule keeps their statistics.
        """
        super().train(mode)
        if self._norms == "keep":
            for module in self.backbone.modules():
                if keeps_statistics(module):
                    module.eval()
        for group in self._frozen:
            for module in self.groups[group]:
                module.eval()
        return self

    def trainable_at(self, epoch: int) -> int:
        """Number of parameters that train in this epoch."""
        return sum(count(self.parts[part]) for part, scale in self.state_at(epoch).items() if scale is not None)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """What one optimizer holds from the first step: every part, frozen ones included (they have no gradient).

        So its state never changes shape, whatever the schedule does. The first group, `base`, is for the base rate, see
        `rates`. Weights decay; decay pulls towards zero, which for biases and norms means nothing.
        """
        groups: list[dict[str, Any]] = [{"params": [], "name": BASE}]
        for part, parameters in self.parts.items():
            weights = [parameter for parameter in parameters if parameter.ndim > 1]
            others = [parameter for parameter in parameters if parameter.ndim <= 1]
            for members, decay in ((weights, weight_decay), (others, 0.0)):
                if members:
                    groups.append({"params": members, "weight_decay": decay, "name": part})
        return groups

    def set_rates(self, optimizer: Optimizer, epoch: float) -> None:
        """Give each part its rate at this point of training (epochs since the start); 0 where it is frozen."""
        base, *groups = optimizer.param_groups
        state = self.state_at(epoch)
        for group in groups:
            group["lr"] = (state[group["name"]] or 0.0) * base["lr"]

    # The network, whole and in two steps.

    def forward(self, image: Tensor) -> Any:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> the head's outputs."""
        names = self.activations(self._depth) if self.folding else None
        if names:  # as where these come from the cache, to the last bit
            return self.above(self.below(image, names), self._depth)
        with self._folding_above():
            features, embedding = self.backbone(image.contiguous(memory_format=torch.channels_last))
        return self._answer(features, embedding)

    def activations(self, depth: int) -> list[str] | None:
        """What the head and the other groups need of the lowest `depth` groups, by name; None: no cut is possible."""
        return self.backbone.activations(depth, self.head.maps, self.head.reads_embedding)

    @torch.no_grad()
    def below(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W), uint8 or floats in 0..1 -> these activations, without a gradient."""
        found = self.backbone.below(image.contiguous(memory_format=torch.channels_last), names, self._twins_below())
        return {name: _channels_last(values) for name, values in found.items()}

    def above(self, activations: Mapping[str, Tensor], depth: int) -> Any:
        """What `below` gave of the lowest `depth` groups -> the head's outputs."""
        with self._folding_above():
            features, embedding = self.backbone.above(activations, depth)
        return self._answer(features, embedding)

    def _twins_below(self) -> dict[nn.Module, nn.Module]:
        """What computes in place of the pieces below the line; made once they are needed, kept while they freeze."""
        if self.folds:
            for piece in self.backbone.pieces(self._depth):
                if piece not in self._twins and (self.below_by == "onnxruntime" or folds(piece)):
                    with torch.inference_mode(False):  # else it would be of no use in training
                        twin = folded(piece).network
                        self._twins[piece] = ByOnnxruntime(twin) if self.below_by == "onnxruntime" else twin
        return self._twins

    def _find_pairs_above(self) -> list[Pair]:
        """Of the groups above the line, the convolutions whose norms keep their statistics, and these."""
        above = {
            module
            for group in list(self.groups)[self._depth :]
            for top in self.groups[group]
            for module in top.modules()
            if keeps_statistics(module) and not module.training
        }
        if not self.folds or not above:
            return []
        found = pairs(self.backbone).values()
        return [pair for pair in found if pair[1] in above and not isinstance(pair[0], TRANSPOSED)]

    def _folding_above(self) -> AbstractContextManager[None]:
        return folded_in_passing(pair for pair in self._pairs_above if not pair[1].training)

    def _answer(self, features: Sequence[Tensor | None], embedding: Tensor | None) -> Any:
        head = cast(Any, self.head)
        return head(features, embedding) if self.head.reads_embedding else head(features)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def _other_weights(model: Frosted, _: object) -> None:
    model._twins = {}
