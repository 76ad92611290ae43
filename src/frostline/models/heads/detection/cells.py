"""What heads say that look for objects in every cell of a feature pyramid."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from frostline.errors import FrostlineError
from frostline.models.backbones import Backbone

CANDIDATES = 1000  # cells of a scene that are looked at, the best first


@dataclass(frozen=True)
class Cells:
    """What a head says of N cells over all levels.

    objectness: (B, N) and classes: (B, N, C), before sigmoid and softmax. boxes: (B, N, 4), x0 y0 x1 y1 in pixels of
    the picture. centres: (N, 2), x y in pixels. strides: (N,), pixels.
    """

    objectness: Tensor
    classes: Tensor
    boxes: Tensor
    centres: Tensor
    strides: Tensor

    @property
    def size(self) -> int:
        """Of the picture, in pixels: where the last cell of any level ends."""
        return int((self.centres + self.strides[:, None] / 2).max())


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


def maps_at(backbone: Backbone, head: str, wanted: Sequence[int]) -> list[int]:
    """Numbers of the backbone's feature maps at these strides; raises FrostlineError where it lacks one."""
    maps = [i for i, stride in enumerate(backbone.strides) if stride in wanted]
    if [backbone.strides[i] for i in maps] != list(wanted):
        raise FrostlineError(
            f"The {head} head needs one feature map at each of the strides {', '.join(map(str, wanted[:-1]))} and "
            f"{wanted[-1]}, and {backbone.name} has maps at {backbone.strides}: choose another backbone or head."
        )
    return maps


def found_in(cells: Cells) -> list[dict[str, Tensor]]:
    """The boxes of the best cells of each scene, each with its likeliest class; scores are objectness x class."""
    scores = cells.objectness.sigmoid()[..., None] * cells.classes.softmax(-1)
    found = []
    for score, boxes in zip(scores, cells.boxes, strict=True):
        best, label = score.max(1)
        best, order = best.topk(min(CANDIDATES, len(best)))
        inside = clip_boxes_to_image(boxes[order], (cells.size, cells.size))
        found.append({"boxes": inside, "scores": best, "labels": label[order]})
    return found


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each of (n, 4) boxes with its partner; torchvision's `box_iou` would compare all n × n."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared).clamp(min=1e-9)
