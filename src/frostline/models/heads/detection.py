"""Heads for detection."""

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from frostline.errors import FrostlineError
from frostline.models.backbones import Backbone


@dataclass(frozen=True)
class DenseOutput:
    """What `DenseHead` says of N cells over all levels.

    objectness: (B, N) and classes: (B, N, C), before sigmoid and softmax. boxes: (B, N, 4), x0 y0 x1 y1 in pixels of
    the picture. centres: (N, 2), x y in pixels. strides: (N,), pixels.
    """

    objectness: Tensor
    classes: Tensor
    boxes: Tensor
    centres: Tensor
    strides: Tensor


class DenseHead(nn.Module):
    """Objectness, class and box for every cell of a feature pyramid; no anchors.

    A cell predicts its distances to the four sides of the box, as in FCOS (Tian et al. 2019, arXiv:1904.01355).
    """

    gives: ClassVar[str] = "cells"
    reads_embedding: ClassVar[bool] = False
    wanted_strides: ClassVar[tuple[int, ...]] = (8, 16, 32)

    def __init__(self, backbone: Backbone, classes: int, width: int = 96, depth: int = 2) -> None:
        super().__init__()
        self.maps = [i for i, stride in enumerate(backbone.strides) if stride in self.wanted_strides]
        self.strides = [backbone.strides[i] for i in self.maps]
        if self.strides != list(self.wanted_strides):
            raise FrostlineError(
                f"The dense head needs one feature map at each of the strides 8, 16 and 32, and {backbone.name} has "
                f"maps at {backbone.strides}: choose another backbone or head."
            )
        self.pyramid = FeaturePyramidNetwork([backbone.channels[i] for i in self.maps], width)
        tower: list[nn.Module] = []
        for _ in range(depth):
            tower += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.SiLU()]
        self.tower = nn.Sequential(*tower)
        self.out = nn.Conv2d(width, 1 + classes + 4, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(len(self.maps)))  # of the distances, one a level
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.out.bias))
        # Nearly every cell is empty: start from objectness 0.01 (Lin et al. 2017, arXiv:1708.02002).
        with torch.no_grad():
            cast(Tensor, self.out.bias)[0] = -math.log((1 - 0.01) / 0.01)

    def forward(self, features: list[Tensor]) -> DenseOutput:
        pyramid = self.pyramid({str(i): features[i] for i in self.maps})
        objectness, classes, boxes, centres, strides = [], [], [], [], []
        for level, (stride, feature) in enumerate(zip(self.strides, pyramid.values(), strict=True)):
            out = self.out(self.tower(feature)).permute(0, 2, 3, 1)  # (B, h, w, 1 + C + 4)
            _, height, width, _ = out.shape
            ys, xs = torch.meshgrid(
                torch.arange(height, device=out.device), torch.arange(width, device=out.device), indexing="ij"
            )
            centre = (torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5) * stride
            out = out.flatten(1, 2)
            # exp keeps distances above zero; at the start a box spans about four cells
            reach = (out[..., -4:] + self.log_scale[level]).clamp(max=6).exp() * (2 * stride)
            objectness.append(out[..., 0])
            classes.append(out[..., 1:-4])
            boxes.append(torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], -1))
            centres.append(centre)
            strides.append(torch.full((len(centre),), float(stride), device=out.device))
        return DenseOutput(
            torch.cat(objectness, 1), torch.cat(classes, 1), torch.cat(boxes, 1), torch.cat(centres), torch.cat(strides)
        )
