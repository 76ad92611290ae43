"""Heads for classification."""

from typing import cast

from torch import Tensor, nn

from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head


class LinearHead(Head):
    """Embedding (B, E) -> class scores (B, classes), before softmax."""

    gives = "scores"
    reads_embedding = True

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.maps = []
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.embedding_size, classes)

    def forward(self, features: list[Tensor], embedding: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.dropout(embedding)))
