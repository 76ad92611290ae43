"""What every head gives, and what it needs of its backbone and of the pictures."""

from collections.abc import Sequence
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.words import listed

Outputs = TypeVar("Outputs")


class Head(nn.Module):
    """What a task puts on a backbone: the last group of its model.

    It is built with the backbone that it stands on and the number of classes, and raises FrostlineError where that
    backbone lacks what it reads. It is called with the feature maps, finest first, and, where `reads_embedding`, with
    the embedding.

    gives: the kind of its outputs, so that a task can refuse a head that answers another question.
    sees_pictures: it takes the backbone and the pictures in place of feature maps, see `DetectionHead`.
    smallest: px, how long the side of a picture is at least. learns_from: px; on smaller pictures some of its weights
    learn nothing. maps: numbers of the feature maps that it reads; the others may be None.
    """

    gives: ClassVar[Literal["scores", "scores and box", "boxes", "pixels"]]
    reads_embedding: ClassVar[bool]
    sees_pictures: ClassVar[bool] = False
    smallest: ClassVar[int] = 1
    learns_from: int = 1
    maps: list[int]


def precise(values: Tensor) -> Tensor:
    """In single precision at least: places of sixteen bits are off by pixels."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def maps_at(backbone: Backbone, head: str, wanted: Sequence[int]) -> list[int]:
    """Numbers of the backbone's feature maps at these strides, finest first.

    head: its name, for the error. Raises FrostlineError where there is not just one map at each.
    """
    maps = [i for i, stride in enumerate(backbone.strides) if stride in wanted]
    if [backbone.strides[i] for i in maps] != list(wanted):
        raise FrostlineError(
            f"The {head} head needs one feature map at each of the strides {listed([str(s) for s in wanted])}, and "
            f"{backbone.has}: choose another backbone or head."
        )
    return maps


class DetectionHead(Head, Generic[Outputs]):
    """A head that brings its own losses, and decodes its outputs into boxes."""

    gives = "boxes"
    reads_embedding = False
    class_weights: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", None, persistent=False)

    def weigh(self, weights: Tensor) -> None:
        """How much an object of each class (C,) counts in the loss that tells classes; all alike without.

        Raises FrostlineError where its loss knows no weights.
        """
        self.class_weights = weights

    def losses(
        self, outputs: Outputs, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Losses by name, whose sum is minimised.

        boxes, labels: of each scene, its true boxes (n, 4), x0 y0 x1 y1 in pixels, and their classes (n,). ignored: of
        each its boxes that do not count (m, 4), within which it is no mistake to find something; () where no scene has
        such.
        """
        raise NotImplementedError

    def decode(self, outputs: Outputs) -> dict[str, Tensor]:
        """`boxes` (B, K, 4), x0 y0 x1 y1 in pixels of the square and within it, `scores` (B, K) float32 in 0..1, the
        best first, and `labels` (B, K) int64.

        K depends on the head and the size of the pictures alone; where less is found, scores end in 0. Unlikely and
        overlapping ones are still among them, see `predict.boxes.select`. So that a network can be exported with its
        decoding for any batch, there are only operations whose shapes do not depend on what is found.
        """
        raise NotImplementedError

    def only(self, outputs: Outputs, scene: int) -> Outputs:
        """The part of the outputs for a batch that is of one scene, as for a batch of that alone."""
        raise NotImplementedError

    def set_rule(self, min_score: float, nms_iou: float) -> None:
        """By which rule the task will leave boxes out, for a head whose own stages leave some out before."""

    def detect(self, backbone: Backbone, image: Tensor) -> Outputs:
        """Whole pictures (B, 3, S, S) -> outputs, where the head sees pictures."""
        raise NotImplementedError

    def sample(self, backbone: Backbone, image: Tensor, boxes: Sequence[Tensor]) -> Outputs:
        """Outputs to train on, where the head sees pictures: of parts of them, drawn from torch's random stream."""
        raise NotImplementedError
