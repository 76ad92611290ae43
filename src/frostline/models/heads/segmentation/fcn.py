"""Fully convolutional networks (Long, Shelhamer & Darrell 2015, arXiv:1411.4038) on our backbones."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head, maps_at

STRIDES = (8, 16, 32)


class FcnHead(Head):
    """Class scores by 1 x 1 convolutions on maps, from coarse to fine, each doubled and added to the next.

    finest: 32 reads the last map alone (FCN-32s), 16 adds the one at 1/16 (FCN-16s), 8 that at 1/8 (FCN-8s).
    As in the paper, the scores start from zero, the doublings are transposed convolutions that start as bilinear
    interpolation and learn, and the last enlargement is bilinear and learns nothing. The paper's convolutions 6 and 7,
    of which VGG's dense layers were made, are the backbone's last stages here.
    """

    gives = "pixels"
    reads_embedding = False

    def __init__(self, backbone: Backbone, classes: int, finest: int = 8) -> None:
        super().__init__()
        if finest not in STRIDES:
            raise FrostlineError(f"head.finest is {finest}; an FCN has 8, 16 or 32.")
        self.maps = maps_at(backbone, f"fcn{finest}s", STRIDES[STRIDES.index(finest) :])
        self.scores = nn.ModuleList([nn.Conv2d(backbone.channels[i], classes, 1) for i in reversed(self.maps)])
        for score in self.scores:
            nn.init.zeros_(cast(Tensor, score.weight))
            nn.init.zeros_(cast(Tensor, score.bias))
        self.doublings = nn.ModuleList([enlargement(classes, 2) for _ in self.maps[1:]])
        self.finest = finest

    def forward(self, features: list[Tensor]) -> Tensor:
        maps = [features[i] for i in reversed(self.maps)]  # from the coarsest
        scores = self.scores[0](maps[0])
        for double, score, finer in zip(self.doublings, list(self.scores)[1:], maps[1:], strict=True):
            scores = double(scores) + score(finer)
        # No layer with fixed weights, as a schedule decides about every parameter that there is.
        return F.interpolate(scores, scale_factor=self.finest, mode="bilinear", align_corners=False)


def enlargement(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution that starts as bilinear interpolation by this even factor, each channel on its own."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    place = (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    kernel = (1 - place)[:, None] * (1 - place)[None]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = kernel
    return layer
