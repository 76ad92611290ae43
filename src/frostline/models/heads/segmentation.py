"""Heads for segmentation."""

from collections.abc import Sequence
from typing import ClassVar, cast

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbones import Backbone


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
