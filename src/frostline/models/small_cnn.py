"""A small convolutional network without any padding, for detectors that look through a window."""

from collections.abc import Sequence

from torch import Tensor, nn

from frostline.models.backbone import Backbone

STRIDE = 8  # pixels of the picture between two neighbours of its map


class SmallCnn(Backbone):
    """Three convolutions, each with a batch norm and a halving.

    Nothing is padded: what it says of a window is the same whether it sees that window alone, or the whole picture and
    the window lies at a multiple of STRIDE. Of a side of 8 k pixels its map has k - 2. Trained from scratch.
    """

    input_size = 64  # a window

    def __init__(
        self,
        name: str = "small_cnn",
        with_embedding: bool = False,
        image_size: int | None = None,
        widths: Sequence[int] = (24, 48, 64),
    ) -> None:
        super().__init__(name, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.stages, self.groups = nn.Sequential(), {}
        channels = 3
        for stage, width, kernel in zip(("stem", "stage1", "stage2"), widths, (5, 3, 3), strict=True):
            convolution = nn.Conv2d(channels, width, kernel, bias=False)
            layers = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2))
            self.stages.add_module(stage, layers)
            self.groups[stage] = [layers]
            channels = width
        self.channels, self.strides, self.embedding_size = [channels], [STRIDE], channels

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor | None]:
        x = self.stages(self.normalise(image))
        return [x], x.mean((2, 3))

    def activations(self, depth: int, maps: Sequence[int], embedding: bool) -> list[str] | None:
        return None  # without pretrained weights, nobody freezes it for long
