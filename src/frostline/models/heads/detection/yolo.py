"""A one-stage detector of the YOLO family, in the form that the field has settled on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, complete_box_iou_loss

from frostline.models.backbone import Backbone
from frostline.models.heads.base import maps_at, precise
from frostline.models.heads.detection.cells import (
    EMPTY,
    STRIDES,
    Cells,
    CellsHead,
    assign_batch,
    cells_of,
    convolution,
    judged,
    nearest,
)
from frostline.shares import divisor

BINS = 16  # a distance from a cell to a side is a distribution over 0 … 15 strides
SURE, EXACT = 0.5, 6.0  # how much the score and the IoU count where cells are assigned
CHOSEN = 10  # cells that are assigned to a box, at most


class YoloHead(CellsHead["YoloCells"]):
    """Objectness, class and box for every cell of a pyramid; no anchors, and cells are assigned by how well they do.

    Neck: top-down, then bottom-up (PANet, Liu et al. 2018, arXiv:1803.01534). Two towers, one for the class, one for
    box and objectness (YOLOX, Ge et al. 2021, arXiv:2107.08430). A box's sides are distributions over distances, of
    which the mean counts (generalised focal loss, Li et al. 2020, arXiv:2006.04388). To each true box those cells
    inside it are assigned whose class score and IoU together are highest (TOOD, Feng et al. 2021, arXiv:2108.07755).
    """

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.maps = maps_at(backbone, "yolo", STRIDES)
        levels = range(len(self.maps))
        self.lateral = nn.ModuleList([convolution(backbone.channels[i], width, 1) for i in self.maps])
        self.merge_down = nn.ModuleList([convolution(2 * width, width) for _ in levels[1:]])
        self.reduce = nn.ModuleList([convolution(width, width, stride=2) for _ in levels[1:]])
        self.merge_up = nn.ModuleList([convolution(2 * width, width) for _ in levels[1:]])
        # Towers are shared by the levels, as a small set of pictures has few boxes for each.
        self.class_tower = nn.Sequential(*(convolution(width, width) for _ in range(depth)))
        self.box_tower = nn.Sequential(*(convolution(width, width) for _ in range(depth)))
        self.class_out = nn.Conv2d(width, classes, 1)
        self.box_out = nn.Conv2d(width, 1 + 4 * BINS, 1)
        self.register_buffer("distances", torch.arange(float(BINS)), persistent=False)
        with torch.no_grad():
            bias = cast(Tensor, self.box_out.bias)
            bias[0] = EMPTY
            # Boxes of some three strides: even distributions would make fifteen, which cover no small object.
            bias[1:] = -cast(Tensor, self.distances).repeat(4) / 2

    def forward(self, features: list[Tensor]) -> "YoloCells":
        maps = [lateral(features[i]) for lateral, i in zip(self.lateral, self.maps, strict=True)]
        for level in reversed(range(len(maps) - 1)):
            coarse = F.interpolate(maps[level + 1], size=maps[level].shape[-2:], mode="nearest")
            maps[level] = self.merge_down[level](torch.cat([maps[level], coarse], 1))
        for level in range(1, len(maps)):
            fine = self.reduce[level - 1](maps[level - 1])
            maps[level] = self.merge_up[level - 1](torch.cat([maps[level], fine], 1))
        centres, strides = cells_of(maps, STRIDES)
        classes = precise(torch.cat([self.class_out(self.class_tower(m)).flatten(2) for m in maps], 2).mT)  # (B, N, C)
        rest = precise(torch.cat([self.box_out(self.box_tower(m)).flatten(2) for m in maps], 2).mT)
        sides = rest[..., 1:].unflatten(-1, (4, BINS))
        reach = (sides.softmax(-1) * cast(Tensor, self.distances)).sum(-1) * strides[:, None]
        boxes = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)
        return YoloCells(rest[..., 0], classes, boxes, centres, strides, maps[0].shape[-1] * STRIDES[0], sides)

    def losses(
        self, outputs: "YoloCells", boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Objectness over all cells; class, box and its sides over those that are assigned, each by its rank.

        TOOD weighs all by the IoU as well. Here only objectness does, as else small objects, whose IoU is small for
        long, are hardly learnt.
        """
        found = assign_batch(partial(assign, outputs), boxes, labels, more=2)
        scenes, cells, truths, classes, rank, quality = found
        sure = torch.zeros_like(outputs.objectness)
        sure[scenes, cells] = (rank * quality).to(sure.dtype)
        total = divisor(rank.sum(), rank)
        predicted = outputs.boxes[scenes, cells]
        class_loss = F.cross_entropy(outputs.classes[scenes, cells], classes, self.class_weights, reduction="none")
        box_loss = complete_box_iou_loss(predicted, truths, reduction="none")
        centres, strides = outputs.centres[cells], outputs.strides[cells, None]
        reach = torch.cat([centres - truths[:, :2], truths[:, 2:] - centres], 1) / strides
        side_loss = distribution_focal_loss(outputs.sides[scenes, cells], reach)
        weight = judged(outputs.centres, sure, ignored)
        objectness = F.binary_cross_entropy_with_logits(outputs.objectness, sure, weight, reduction="sum")
        return {
            "objectness": objectness / total,
            "class": (class_loss * rank).sum() / total,
            "box": 2 * (box_loss * rank).sum() / total,
            "sides": 0.5 * (side_loss * rank).sum() / total,
        }


@dataclass(frozen=True)
class YoloCells(Cells):
    """Cells, and the distributions (B, N, 4, BINS), before softmax, of which their boxes are made."""

    of_scenes: ClassVar[tuple[str, ...]] = (*Cells.of_scenes, "sides")
    sides: Tensor


@torch.no_grad()
def assign(outputs: Cells, scene: int, boxes: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The cells (k,) of a scene that are assigned to a box, to which of them, their ranks and their qualities.

    The rank is 1 for a box's best cell, and for the others less, as their score and IoU are. The quality is the IoU of
    the box's best one.
    """
    centres = outputs.centres
    reach = torch.cat([centres[:, None] - boxes[:, :2], boxes[:, 2:] - centres[:, None]], 2)  # (N, n, 4)
    inside = (reach > 0).all(2)
    # A box between the centres of all cells of the finest level has the nearest one of these.
    finest = (outputs.strides == outputs.strides.min())[:, None]
    between = ~(inside & finest).any(0)
    inside |= nearest(centres, (boxes[:, :2] + boxes[:, 2:]) / 2, finest) & between
    iou = box_iou(outputs.boxes[scene].float(), boxes)
    sure, likely = outputs.objectness[scene].float().sigmoid(), outputs.classes[scene].float().softmax(1)
    score = sure[:, None] * likely[:, labels]
    fitness = torch.where(inside, score.pow(SURE) * iou.clamp(min=1e-3).pow(EXACT), 0)
    best, rows = fitness.topk(min(CHOSEN, len(centres)), dim=0)
    chosen = torch.zeros_like(inside).scatter_(0, rows, best > 0)
    # Where two boxes choose one cell, it is assigned to the one that it covers better.
    covered, box = torch.where(chosen, iou, -1).max(1)
    cells = (covered >= 0).nonzero()[:, 0]
    box = box[cells]
    kept = torch.zeros_like(fitness)
    kept[cells, box] = fitness[cells, box]
    best_iou = torch.where(kept > 0, iou, 0).amax(0)
    return cells, box, fitness[cells, box] / kept.amax(0)[box], best_iou[box]


def distribution_focal_loss(sides: Tensor, reach: Tensor) -> Tensor:
    """(n, 4, BINS) distributions and (n, 4) true distances in bins -> (n,) cross-entropies with the two bins around,
    the distribution focal loss of Li et al. 2020 (arXiv:2006.04388)."""
    reach = reach.clamp(0, BINS - 1 - 1e-3)
    low = reach.long()
    share = reach - low
    logits = sides.float().flatten(0, 1)
    below = F.cross_entropy(logits, low.flatten(), reduction="none").view_as(reach)
    above = F.cross_entropy(logits, low.flatten() + 1, reduction="none").view_as(reach)
    return (below * (1 - share) + above * share).mean(1)
