"""One plain dense stage, after FCOS."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, generalized_box_iou_loss

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
    paired_iou,
)
from frostline.shares import divisor

CENTRE_RADIUS = 1.5  # cells; a cell this near to the centre of a box is assigned to it (FCOS's centre sampling)
REACH = 6  # a level has the boxes whose longer side is at most this many of its strides


class DenseHead(CellsHead[Cells]):
    """Objectness, class and box for every cell of a feature pyramid; no anchors.

    A cell predicts its distances to the four sides of the box, as in FCOS (Tian et al. 2019, arXiv:1904.01355).
    """

    def __init__(self, backbone: Backbone, classes: int, width: int = 96, depth: int = 2) -> None:
        super().__init__()
        self.maps = maps_at(backbone, "dense", STRIDES)
        self.pyramid = FeaturePyramidNetwork([backbone.channels[i] for i in self.maps], width)
        self.tower = nn.Sequential(*(layer for _ in range(depth) for layer in convolution(width, width)))
        self.out = nn.Conv2d(width, 1 + classes + 4, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(len(self.maps)))  # of the distances, one a level
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.out.bias))
        with torch.no_grad():
            cast(Tensor, self.out.bias)[0] = EMPTY

    def forward(self, features: list[Tensor]) -> Cells:
        pyramid = self.pyramid({str(i): features[i] for i in self.maps})
        size = features[self.maps[0]].shape[-1] * STRIDES[0]
        objectness, classes, boxes = [], [], []
        centres, strides = cells_of(list(pyramid.values()), STRIDES)
        for level, (stride, feature) in enumerate(zip(STRIDES, pyramid.values(), strict=True)):
            out = precise(self.out(self.tower(feature)).permute(0, 2, 3, 1).flatten(1, 2))  # (B, h * w, 1 + C + 4)
            # exp keeps distances above zero; at the start a box spans about four cells
            reach = (out[..., -4:] + self.log_scale[level]).clamp(max=6).exp() * (2 * stride)
            centre = centres[strides == stride]
            objectness.append(out[..., 0])
            classes.append(out[..., 1:-4])
            boxes.append(torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], -1))
        return Cells(torch.cat(objectness, 1), torch.cat(classes, 1), torch.cat(boxes, 1), centres, strides, size)

    def losses(
        self, outputs: Cells, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Binary cross-entropy of objectness over all cells; class and GIoU over those assigned to a box."""
        scenes, cells, truths, classes = assign_batch(partial(_assign, outputs), boxes, labels)
        count = divisor(len(cells), outputs.boxes)
        predicted, told = outputs.boxes[scenes, cells], outputs.classes[scenes, cells]
        # A cell is as sure as its box is good (as in YOLO, arXiv:1506.02640): so scores rank boxes by quality.
        quality = torch.zeros_like(outputs.objectness)
        quality[scenes, cells] = paired_iou(predicted.detach(), truths).to(quality.dtype)
        weight = judged(outputs.centres, quality, ignored)
        objectness = F.binary_cross_entropy_with_logits(outputs.objectness, quality, weight, reduction="sum")
        return {
            "objectness": objectness / count,
            "class": F.cross_entropy(told, classes, self.class_weights, reduction="sum") / count,
            "box": 2 * generalized_box_iou_loss(predicted, truths, reduction="sum") / count,
        }


def _assign(outputs: Cells, scene: int, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of a scene that are assigned to a box, and to which of them.

    A cell is assigned to a box if its centre lies in the box and near the box's centre, on the level whose stride fits
    the box's size. Of several boxes it takes the smallest, as the larger ones have more cells (but of two
    within one cell, the larger one has none).
    """
    centres, strides = outputs.centres, outputs.strides
    finest, coarsest = strides.min(), strides.max()
    reach = torch.cat([centres[:, None] - boxes[:, :2], boxes[:, 2:] - centres[:, None]], 2)  # (N, n, 4)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((centres[:, None] - middle).abs() < CENTRE_RADIUS * strides[:, None, None]).all(2)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1).values
    fits = (side <= REACH * strides[:, None]) | (strides[:, None] == coarsest)
    fits &= (side > REACH / 2 * strides[:, None]) | (strides[:, None] == finest)
    inside = (reach > 0).all(2) | nearest(centres, middle, fits)  # so that a box smaller than a cell is not lost
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    cost = torch.where(near & inside & fits, area, torch.inf)
    least, box = cost.min(1)
    cells = least.isfinite().nonzero()[:, 0]
    return cells, box[cells]
