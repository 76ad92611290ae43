"""A one-stage detector of the YOLO family, in the form that the field has settled on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, complete_box_iou_loss

from frostline.models.backbones import Backbone
from frostline.models.heads.detection.cells import Cells, cells_of, found_in, maps_at

BINS = 16  # a distance from a cell to a side is a distribution over 0 … 15 strides
SURE, EXACT = 0.5, 6.0  # how much the score and the IoU count where cells are chosen
CHOSEN = 10  # cells that answer for a box, at most


class YoloHead(nn.Module):
    """Objectness, class and box for every cell of a pyramid; no anchors, and cells are chosen by how well they do.

    Neck: top-down, then bottom-up (PANet, Liu et al. 2018, arXiv:1803.01534). Two towers, one for the class, one for
    box and objectness (YOLOX, Ge et al. 2021, arXiv:2107.08430). A box's sides are distributions over distances, of
    which the mean counts (generalised focal loss, Li et al. 2020, arXiv:2006.04388). For each true box those cells
    inside it answer whose class score and IoU together are highest (TOOD, Feng et al. 2021, arXiv:2108.07755).
    """

    gives: ClassVar[str] = "boxes"
    reads_embedding: ClassVar[bool] = False
    wanted_strides: ClassVar[tuple[int, ...]] = (8, 16, 32)

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.maps = maps_at(backbone, "yolo", self.wanted_strides)
        self.strides = list(self.wanted_strides)
        levels = range(len(self.maps))
        self.lateral = nn.ModuleList([_conv(backbone.channels[i], width, 1) for i in self.maps])
        self.merge_down = nn.ModuleList([_conv(2 * width, width) for _ in levels[1:]])
        self.reduce = nn.ModuleList([_conv(width, width, stride=2) for _ in levels[1:]])
        self.merge_up = nn.ModuleList([_conv(2 * width, width) for _ in levels[1:]])
        # Towers are shared by the levels, as a small set of pictures has few boxes for each.
        self.class_tower = nn.Sequential(*(_conv(width, width) for _ in range(depth)))
        self.box_tower = nn.Sequential(*(_conv(width, width) for _ in range(depth)))
        self.class_out = nn.Conv2d(width, classes, 1)
        self.box_out = nn.Conv2d(width, 1 + 4 * BINS, 1)
        self.register_buffer("distances", torch.arange(float(BINS)), persistent=False)
        with torch.no_grad():
            bias = cast(Tensor, self.box_out.bias)
            # Nearly every cell is empty: start from objectness 0.01 (Lin et al. 2017, arXiv:1708.02002).
            bias[0] = -math.log((1 - 0.01) / 0.01)
            # And from boxes of some three strides: even distributions would make fifteen, which cover no small object.
            bias[1:] = -cast(Tensor, self.distances).repeat(4) / 2

    def forward(self, features: list[Tensor]) -> "YoloCells":
        maps = [lateral(features[i]) for lateral, i in zip(self.lateral, self.maps, strict=True)]
        for level in reversed(range(len(maps) - 1)):
            coarse = F.interpolate(maps[level + 1], size=maps[level].shape[-2:], mode="nearest")
            maps[level] = self.merge_down[level](torch.cat([maps[level], coarse], 1))
        for level in range(1, len(maps)):
            fine = self.reduce[level - 1](maps[level - 1])
            maps[level] = self.merge_up[level - 1](torch.cat([maps[level], fine], 1))
        centres, strides = cells_of(maps, self.strides)
        classes = torch.cat([self.class_out(self.class_tower(m)).flatten(2) for m in maps], 2).mT  # (B, N, C)
        rest = torch.cat([self.box_out(self.box_tower(m)).flatten(2) for m in maps], 2).mT
        sides = rest[..., 1:].unflatten(-1, (4, BINS))
        reach = sides.softmax(-1) @ cast(Tensor, self.distances) * strides[:, None]
        boxes = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)
        return YoloCells(rest[..., 0], classes, boxes, centres, strides, sides)

    def losses(self, outputs: "YoloCells", boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Objectness over all cells; class, box and its sides over those that answer, each by its rank.

        TOOD weighs all by the IoU as well. Here only objectness does, as else small objects, whose IoU is small for
        long, are hardly learnt.
        """
        scenes, cells, truths, classes, rank, quality = _answering(outputs, boxes, labels)
        sure = torch.zeros_like(outputs.objectness)
        sure[scenes, cells] = (rank * quality).to(sure.dtype)
        total = rank.sum().clamp(min=1)
        predicted = outputs.boxes[scenes, cells]
        class_loss = F.cross_entropy(outputs.classes[scenes, cells], classes, reduction="none")
        box_loss = complete_box_iou_loss(predicted, truths, reduction="none")
        centres, strides = outputs.centres[cells], outputs.strides[cells, None]
        reach = torch.cat([centres - truths[:, :2], truths[:, 2:] - centres], 1) / strides
        side_loss = _between_bins(outputs.sides[scenes, cells], reach)
        return {
            "objectness": F.binary_cross_entropy_with_logits(outputs.objectness, sure, reduction="sum") / total,
            "class": (class_loss * rank).sum() / total,
            "box": 2 * (box_loss * rank).sum() / total,
            "sides": 0.5 * (side_loss * rank).sum() / total,
        }

    def found(self, outputs: "YoloCells") -> list[dict[str, Tensor]]:
        return found_in(outputs)


@dataclass(frozen=True)
class YoloCells(Cells):
    """Cells, and the distributions (B, N, 4, BINS), before softmax, of which their boxes are made."""

    sides: Tensor


@torch.no_grad()
def _answering(outputs: Cells, true_boxes: Sequence[Tensor], true_labels: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Which cells answer for which box: scenes (n,), cells (n,), boxes (n, 4), labels (n,), ranks (n,), qualities (n,).

    The rank is 1 for a box's best cell, and for the others less, as their score and IoU are. The quality is the IoU of
    the box's best one.
    """
    found: list[list[Tensor]] = [[], [], [], [], [], []]
    centres = outputs.centres
    for scene, (boxes, labels) in enumerate(zip(true_boxes, true_labels, strict=True)):
        if not len(boxes):
            continue
        reach = torch.cat([centres[:, None] - boxes[:, :2], boxes[:, 2:] - centres[:, None]], 2)  # (N, n, 4)
        inside = (reach > 0).all(2)
        # A box between the centres of all cells has the nearest one of the finest level.
        distance = torch.cdist(centres, (boxes[:, :2] + boxes[:, 2:]) / 2)
        inside |= torch.zeros_like(inside).scatter_(0, distance.argmin(0, keepdim=True), True) & ~inside.any(0)
        iou = box_iou(outputs.boxes[scene].float(), boxes)
        score = (
            outputs.objectness[scene].float().sigmoid()[:, None] * outputs.classes[scene].float().softmax(1)[:, labels]
        )
        fitness = torch.where(inside, score.pow(SURE) * iou.clamp(min=1e-3).pow(EXACT), 0)
        best, rows = fitness.topk(min(CHOSEN, len(centres)), dim=0)
        chosen = torch.zeros_like(inside).scatter_(0, rows, best > 0)
        # Where two boxes choose one cell, it answers for the one that it covers better.
        covered, box = torch.where(chosen, iou, -1).max(1)
        cells = (covered >= 0).nonzero()[:, 0]
        box = box[cells]
        kept = torch.zeros_like(fitness)
        kept[cells, box] = fitness[cells, box]
        most = kept.amax(0)
        best_iou = torch.where(kept > 0, iou, 0).amax(0)
        found[0].append(torch.full_like(cells, scene))
        found[1].append(cells)
        found[2].append(boxes[box])
        found[3].append(labels[box])
        found[4].append(fitness[cells, box] / most[box])
        found[5].append(best_iou[box])
    if not found[0]:
        none = torch.zeros(0, dtype=torch.long, device=centres.device)
        return none, none, centres.new_zeros(0, 4), none, centres.new_zeros(0), centres.new_zeros(0)
    return tuple(torch.cat(column) for column in found)


def _between_bins(sides: Tensor, reach: Tensor) -> Tensor:
    """(n, 4, BINS) distributions and (n, 4) true distances in bins -> (n,) cross-entropies with the two bins around."""
    reach = reach.clamp(0, BINS - 1 - 1e-3)
    low = reach.long()
    share = reach - low
    logits = sides.float().flatten(0, 1)
    below = F.cross_entropy(logits, low.flatten(), reduction="none").view_as(reach)
    above = F.cross_entropy(logits, low.flatten() + 1, reduction="none").view_as(reach)
    return (below * (1 - share) + above * share).mean(1)


def _conv(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    # Group norm, as batches of large pictures are small.
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False), nn.GroupNorm(8, width), nn.SiLU()
    )
