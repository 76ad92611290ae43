"""Heads for classification."""

from typing import ClassVar, cast

from torch import Tensor, nn

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
