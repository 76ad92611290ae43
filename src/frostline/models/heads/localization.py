"""Heads for localization: one class and one box."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head, precise


class BoxHead(Head):
    """Class scores (B, classes), and one box (B, 4) as centre x, centre y, width, height, each in 0..1 of the picture.

    Global pooling forgets where things are, so the box is read by spatial softmax (Levine et al. 2016,
    arXiv:1504.00702; Nibali et al. 2018, arXiv:1801.07372): a map of attention, whose mean position is the centre,
    and the mean, under the same attention, of a predicted width and height. No 3 x 3 convolutions: on kept activations
    they would take several times what all the rest of an epoch does, and boxes come out as well without.
    """

    gives = "scores and box"
    reads_embedding = True

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.embedding_size, classes)
        if len(backbone.channels) < 2:
            raise FrostlineError(
                f"The box head needs two feature maps, and {backbone.has}: take head=pooled_box, or another backbone."
            )
        self.maps = list(range(len(backbone.channels)))[-2:]
        self.lateral = nn.ModuleList([nn.Conv2d(backbone.channels[i], width, 1) for i in self.maps])
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, 3, 1)  # attention, width, height

    def forward(self, features: list[Tensor], embedding: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.linear(self.dropout(embedding))
        fine, coarse = (lateral(features[i]) for lateral, i in zip(self.lateral, self.maps, strict=True))
        fine = fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        out = precise(self.out(F.relu(self.norm(fine))))
        height, width = out.shape[-2:]
        attention = out[:, 0].flatten(1).softmax(1)
        xs = (torch.arange(width, device=out.device) + 0.5) / width
        ys = (torch.arange(height, device=out.device) + 0.5) / height
        grid = torch.stack([xs.repeat(height), ys.repeat_interleave(width)])  # (2, height * width)
        centre = (attention[:, None] * grid).sum(2)  # no product of matrices, which autocast would round
        size = (out[:, 1:].flatten(2).sigmoid() * attention[:, None]).sum(2)
        return scores, torch.cat([centre, size], 1)


class PooledBoxHead(Head):
    """Class scores (B, classes) and one box (B, 4), as `BoxHead` gives them, both by a linear layer on the embedding.

    The head of the textbooks. Pooling has averaged over all places, so what tells where the object lies must have come
    into the channels before: it learns boxes as far as the backbone trains, and hardly on a frozen one.
    """

    gives = "scores and box"
    reads_embedding = True

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.maps = []
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.embedding_size, classes)
        self.box = nn.Linear(backbone.embedding_size, 4)

    def forward(self, features: list[Tensor], embedding: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.dropout(embedding)
        return self.linear(pooled), precise(self.box(pooled)).sigmoid()
