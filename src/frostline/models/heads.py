"""Heads: what a task puts on a backbone. Each is one nn.Module and the last group of its model.

A head is built with the backbone it stands on and the number of classes, and is called with the backbone's feature
maps, finest first; where `reads_embedding` is set, also with the embedding of the last map. `maps` are the numbers of
the feature maps that it reads; the others may be None. `gives` names the kind of its output, so that a task can refuse
a head that answers another question.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from frostline.errors import FrostlineError
from frostline.models.backbones import Backbone


class LinearHead(nn.Module):
    """Embedding (B, E) -> class scores (B, classes), before softmax."""

    gives: ClassVar[str] = "scores"
    reads_embedding: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.maps: list[int] = []
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.embedding_size, classes)

    def forward(self, features: list[Tensor], embedding: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.dropout(embedding)))


class BoxHead(nn.Module):
    """Class scores (B, classes), and one box (B, 4) as centre x, centre y, width, height, each in 0..1 of the picture.

    Global pooling forgets where things are, so the box is read by spatial softmax (Levine et al. 2016,
    arXiv:1504.00702; Nibali et al. 2018, arXiv:1801.07372): a map of attention, whose mean position is the centre,
    and the mean, under the same attention, of a predicted width and height. No 3 x 3 convolutions: on kept activations
    they would take several times what all the rest of an epoch does, and boxes come out as well without.
    """

    gives: ClassVar[str] = "scores and box"
    reads_embedding: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.embedding_size, classes)
        self.maps = list(range(len(backbone.channels)))[-2:]
        self.lateral = nn.ModuleList([nn.Conv2d(backbone.channels[i], width, 1) for i in self.maps])
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, 3, 1)  # attention, width, height

    def forward(self, features: list[Tensor], embedding: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.linear(self.dropout(embedding))
        fine, coarse = (lateral(features[i]) for lateral, i in zip(self.lateral, self.maps, strict=True))
        fine = fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        out = self.out(F.relu(self.norm(fine)))
        height, width = out.shape[-2:]
        attention = out[:, 0].flatten(1).softmax(1)
        xs = (torch.arange(width, device=out.device) + 0.5) / width
        ys = (torch.arange(height, device=out.device) + 0.5) / height
        grid = torch.stack([xs.repeat(height), ys.repeat_interleave(width)])  # (2, height * width)
        centre = attention @ grid.T
        size = (out[:, 1:].flatten(2).sigmoid() * attention[:, None]).sum(2)
        return scores, torch.cat([centre, size], 1)


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


class UnetHead(nn.Module):
    """Class scores (B, classes, H, W) for every pixel, by the U-Net decoder of segmentation-models-pytorch.

    decoder_channels: of each of its blocks, from 1/16 of the resolution up; with four, the last one is at 1/2.
    """

    gives: ClassVar[str] = "pixels"
    reads_embedding: ClassVar[bool] = False

    def __init__(
        self, backbone: Backbone, classes: int, decoder_channels: Sequence[int] = (256, 128, 64, 32, 16)
    ) -> None:
        super().__init__()
        by_stride = dict(zip(backbone.strides, backbone.channels, strict=True))
        if len(by_stride) < len(backbone.strides) or 32 not in by_stride or not set(by_stride) <= {1, 2, 4, 8, 16, 32}:
            raise FrostlineError(
                f"The unet head needs one feature map for each halving of the picture down to 1/32, and "
                f"{backbone.name} has maps at strides {backbone.strides}: choose another backbone or head."
            )
        self.strides = backbone.strides
        self.maps = list(range(len(backbone.channels)))
        # A stride the backbone skips is a skip connection without channels, as smp itself does for timm's encoders.
        encoder = [3, *(by_stride.get(stride, 0) for stride in (2, 4, 8, 16, 32))]
        self.decoder = UnetDecoder(encoder, list(decoder_channels), n_blocks=len(decoder_channels))
        # Each block doubles the resolution, from 1/32 up; what is left is interpolated.
        self.out = SegmentationHead(decoder_channels[-1], classes, upsampling=2 ** (5 - len(decoder_channels)))

    def forward(self, features: list[Tensor]) -> Tensor:
        have = dict(zip(self.strides, features, strict=True))
        last = features[-1]
        batch, _, height, width = last.shape
        ladder = [
            have[s] if s in have else last.new_empty(batch, 0, height * 32 // s, width * 32 // s)
            for s in (2, 4, 8, 16, 32)
        ]
        whole = last.new_empty(batch, 0, height * 32, width * 32)  # only its shape is read
        return cast(Tensor, self.out(self.decoder([whole, *ladder])))
