"""Outputs of heads that look for objects in every cell of a feature pyramid."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from frostline.models.heads.base import DetectionHead

STRIDES = (8, 16, 32)  # of the maps that a pyramid is made of
CANDIDATES = 1000  # boxes that are looked at, the best first: of a scene, or of each level of a pyramid
EMPTY = -math.log((1 - 0.01) / 0.01)  # bias to start from: nearly every cell is empty (Lin et al., arXiv:1708.02002)


@dataclass(frozen=True)
class Cells:
    """Outputs for N cells over all levels.

    objectness: (B, N) and classes: (B, N, C), before sigmoid and softmax. boxes: (B, N, 4), x0 y0 x1 y1 in pixels of
    the picture. centres: (N, 2), x y in pixels. strides: (N,), pixels. size: of the picture, pixels.
    of_scenes: names of those that have a row for each scene.
    """

    of_scenes: ClassVar[tuple[str, ...]] = ("objectness", "classes", "boxes")
    objectness: Tensor
    classes: Tensor
    boxes: Tensor
    centres: Tensor
    strides: Tensor
    size: int


AnyCells = TypeVar("AnyCells", bound=Cells)


def cells_of(maps: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Centres (N, 2), x y in pixels, and strides (N,) of the cells of these maps (B, C, h, w), row by row."""
    centres, sides = [], []
    for feature, stride in zip(maps, strides, strict=True):
        height, width = feature.shape[-2:]
        ys, xs = torch.meshgrid(
            torch.arange(height, device=feature.device), torch.arange(width, device=feature.device), indexing="ij"
        )
        centres.append((torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5) * stride)
        sides.append(torch.full((height * width,), float(stride), device=feature.device))
    return torch.cat(centres), torch.cat(sides)


def rows_at(values: Tensor, places: Tensor) -> Tensor:
    """Of values (B, N, n) those at places (B, k) of each scene: (B, k, n)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))


class CellsHead(DetectionHead[AnyCells]):
    """A head whose outputs are cells."""

    def only(self, outputs: AnyCells, scene: int) -> AnyCells:
        own = {name: getattr(outputs, name)[scene : scene + 1] for name in outputs.of_scenes}
        return replace(outputs, **own)

    def decode(self, outputs: AnyCells) -> dict[str, Tensor]:
        """The boxes of the best cells of each scene, each with its likeliest class; scores are objectness x class."""
        scores = outputs.objectness.sigmoid()[..., None] * outputs.classes.softmax(-1)
        likeliest, labels = scores.max(-1)
        best, places = likeliest.topk(min(CANDIDATES, likeliest.shape[1]))
        boxes = rows_at(outputs.boxes, places).clamp(0, outputs.size)
        return {"boxes": boxes, "scores": best, "labels": labels.gather(1, places)}


def assign_batch(
    assign: Callable[[int, Tensor, Tensor], tuple[Tensor, ...]],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    more: int = 0,
) -> tuple[Tensor, ...]:
    """Cells that are assigned to a box, in all scenes: scenes (n,), cells (n,), boxes (n, 4), labels (n,), and `more`.

    assign: from the number of a scene that has boxes, these and their labels, to its cells that are assigned to one, to
    which of the boxes each is, and `more` further columns (n,), floats.
    """
    columns: list[tuple[Tensor, ...]] = []
    for scene, (own, kinds) in enumerate(zip(boxes, labels, strict=True)):
        if len(own):
            cells, box, *further = assign(scene, own, kinds)
            columns.append((torch.full_like(cells, scene), cells, own[box], kinds[box], *further))
    if not columns:
        none = torch.zeros(0, dtype=torch.long, device=boxes[0].device)
        return none, none, boxes[0].new_zeros(0, 4), none, *(boxes[0].new_zeros(0) for _ in range(more))
    return tuple(torch.cat(column) for column in zip(*columns, strict=True))


def within(centres: Tensor, boxes: Tensor) -> Tensor:
    """(N,) bool: which of the points (N, 2), x y, lie in any of the boxes (n, 4)."""
    inside = (centres[:, None] > boxes[:, :2]) & (centres[:, None] < boxes[:, 2:])
    return inside.all(2).any(1)


def judged(centres: Tensor, there: Tensor, ignored: Sequence[Tensor]) -> Tensor | None:
    """(B, N) how much the objectness of each cell counts: 0 where its centre lies in an ignored box and no object is
    assigned to it, else 1; None where all count.

    centres: (N, 2), or (B, N, 2) where each scene has its own. there: (B, N) the objectness that is right, 0 for none.
    """
    if not any(map(len, ignored)):
        return None
    own = centres.expand(len(there), -1, -1)
    return torch.stack([~(within(*pair) & (right == 0)) for *pair, right in zip(own, ignored, there, strict=True)]).to(
        there
    )


def nearest(centres: Tensor, middle: Tensor, fits: Tensor) -> Tensor:
    """(N, n) bool: which cell has its centre (N, 2) nearest to that of each box, `middle` (n, 2).

    fits: (N, n) or (N, 1) bool, the cells that come into question.
    """
    distance = torch.where(fits, torch.cdist(centres, middle), torch.inf)
    return torch.zeros_like(distance, dtype=torch.bool).scatter_(0, distance.argmin(0, keepdim=True), True)


def convolution(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """With a norm and an activation; the norm is by groups, as batches of large pictures are small."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False), nn.GroupNorm(8, width), nn.SiLU()
    )


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each of (n, 4) boxes with its partner; torchvision's `box_iou` would compare all n × n."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared).clamp(min=1e-9)
