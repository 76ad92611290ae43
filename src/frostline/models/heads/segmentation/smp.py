"""The decoders of segmentation-models-pytorch on our backbones.

They come slimmer than the library's defaults: on a processor its widths cost several times what the backbone does. Maps
are enlarged cell upon cell (`align_corners=False`), within the decoders, too. The library lays corner upon corner in
many places, which is right for sides of 32 n + 1 px, and would move what lies near the border of ours by nearly half a
cell of the enlarged map: 14 px from 1/32, and elsewhere in a crop than in the whole picture.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch.nn.functional as F
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import Conv3x3GNReLU, FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.pan.decoder import PANDecoder
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head

STRIDES = (2, 4, 8, 16, 32)  # of the ladder of maps that the decoders climb


class SmpHead(Head):
    """A decoder of the library, and a convolution from its channels to classes; what is left is interpolated.

    settings: of the decoder, as `make` takes them.
    reads: strides of the maps that the decoder reads. needs: those that there must be, all of them if not given.
    kernel: of the convolution.
    """

    gives = "pixels"
    reads_embedding = False
    reads: Sequence[int] = STRIDES[1:]
    needs: Sequence[int] | None = None
    kernel = 1

    def __init__(self, backbone: Backbone, classes: int, **settings: Any) -> None:
        super().__init__()
        needs = self.reads if self.needs is None else self.needs
        by_stride = dict(zip(backbone.strides, backbone.channels, strict=True))
        if len(by_stride) < len(backbone.strides) or not set(needs) <= set(by_stride) <= set(STRIDES):
            raise FrostlineError(
                f"The {self.name} head needs one feature map at each of the strides {', '.join(map(str, needs))}, at "
                f"most one at each halving of the picture and none beyond 1/32, and {backbone.has}: "
                "choose another backbone or head."
            )
        self.maps = [i for i, stride in enumerate(backbone.strides) if stride in self.reads]
        self.strides = [backbone.strides[i] for i in self.maps]
        # A stride the backbone skips is a skip connection without channels, as smp itself does for timm's encoders.
        encoder = [3, *(by_stride[s] if s in self.strides else 0 for s in STRIDES)]
        self.decoder, width = self.make(encoder, **settings)
        _enlarge_by_cells(self.decoder)
        self.out = nn.Conv2d(width, classes, self.kernel, padding=self.kernel // 2)
        initialize_decoder(self.decoder)
        initialize_head(self.out)

    def make(self, encoder: list[int], *args: Any, **settings: Any) -> tuple[nn.Module, int]:
        """The decoder, and how many channels it gives.

        encoder: channels of the picture and of the maps at STRIDES, 0 where none is read.
        """
        raise NotImplementedError

    @property
    def name(self) -> str:
        return type(self).__name__.removesuffix("Head").lower()

    def forward(self, features: list[Tensor]) -> Tensor:
        have = {stride: features[i] for stride, i in zip(self.strides, self.maps, strict=True)}
        last = have[STRIDES[-1]]
        batch, _, height, width = last.shape
        ladder = [
            have[s] if s in have else last.new_empty(batch, 0, height * 32 // s, width * 32 // s) for s in STRIDES
        ]
        whole = last.new_empty(batch, 0, height * 32, width * 32)  # only its shape is read
        scores = cast(Tensor, self.out(self.decoder([whole, *ladder])))
        if scores.shape[-2:] == whole.shape[-2:]:
            return scores
        return F.interpolate(scores, whole.shape[-2:], mode="bilinear", align_corners=False)


def _enlarge_by_cells(decoder: nn.Module) -> None:
    """Set the enlargements within a decoder of the library right, as far as they can be reached."""
    for module in decoder.modules():
        if getattr(module, "align_corners", False):
            module.align_corners = False  # type: ignore[assignment]
        if isinstance(module, Conv3x3GNReLU) and module.upsample:
            module.upsample = False
            module.block.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))


class UnetHead(SmpHead):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

    decoder_channels: of each of its blocks, from 1/16 of the resolution up; with four, the last one is at 1/2.
    """

    needs = (32,)
    kernel = 3

    def __init__(
        self, backbone: Backbone, classes: int, decoder_channels: Sequence[int] = (128, 64, 48, 32, 16)
    ) -> None:
        self.reads = STRIDES[max(0, 4 - len(decoder_channels)) :]
        super().__init__(backbone, classes, blocks=list(decoder_channels))

    def make(self, encoder: list[int], blocks: list[int]) -> tuple[nn.Module, int]:
        return UnetDecoder(encoder, blocks, n_blocks=len(blocks)), blocks[-1]


class UnetPlusPlusHead(SmpHead):
    """U-Net++ (Zhou et al. 2018, arXiv:1807.10165). decoder_channels: of its five blocks, from 1/16 up."""

    reads = STRIDES
    kernel = 3

    def make(self, encoder: list[int], decoder_channels: Sequence[int] = (96, 64, 48, 32, 16)) -> tuple[nn.Module, int]:
        return UnetPlusPlusDecoder(encoder, list(decoder_channels)), decoder_channels[-1]


class FpnHead(SmpHead):
    """Feature pyramid (Kirillov et al. 2019, arXiv:1901.02446). pyramid_channels, segmentation_channels: its widths."""

    def make(
        self,
        encoder: list[int],
        pyramid_channels: int = 128,
        segmentation_channels: int = 64,
        dropout: float = 0.2,
    ) -> tuple[nn.Module, int]:
        return FPNDecoder(encoder, 5, pyramid_channels, segmentation_channels, dropout), segmentation_channels


class PspNetHead(SmpHead):
    """Pyramid pooling (Zhao et al. 2017, arXiv:1612.01105).

    It pools the last map, and gives classes at that map's resolution: 1/32, as our backbones are not dilated, where the
    paper has 1/8. So fine things are lost. What it pooled is enlarged corner upon corner, as in the paper's own code.
    """

    reads = (32,)
    kernel = 3

    def make(self, encoder: list[int], out_channels: int = 128, dropout: float = 0.2) -> tuple[nn.Module, int]:
        return PSPDecoder(encoder, out_channels=out_channels, dropout=dropout), out_channels


class DeepLabV3PlusHead(SmpHead):
    """Atrous pyramid pooling, refined at 1/4 (Chen et al. 2018, arXiv:1802.02611).

    The paper pools at 1/16 with rates 6, 12 and 18, and at 1/8 with twice these; our backbones are not dilated, so it
    is 1/32 here, and half of them: the same reach in the picture. Where a rate reaches beyond the map from everywhere,
    its outer weights see nothing but padding, and learn nothing: `learns_from`.
    """

    reads = (4, 32)

    def make(
        self, encoder: list[int], out_channels: int = 96, rates: Sequence[int] = (3, 6, 9), dropout: float = 0.2
    ) -> tuple[nn.Module, int]:
        self.learns_from = 32 * (max(rates) + 1)
        decoder = DeepLabV3PlusDecoder(encoder, 5, out_channels, tuple(rates), 16, True, dropout)
        # From 1/32 to 1/4; the library knows 1/16 and 1/8 alone.
        decoder.up = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=False)
        return decoder, out_channels


class PanHead(SmpHead):
    """Pyramid attention (Li et al. 2018, arXiv:1805.10180). It halves the last map three times.

    Its 3 x 3 convolution on the last of them needs 2 x 2 cells for all its weights to learn: `learns_from`.
    """

    smallest = 256
    learns_from = 512
    kernel = 3

    def make(self, encoder: list[int], decoder_channels: int = 48) -> tuple[nn.Module, int]:
        return PANDecoder(encoder, 5, decoder_channels), decoder_channels


class LinknetHead(SmpHead):
    """LinkNet (Chaurasia & Culurciello 2017, arXiv:1707.03718): skips are added. width: of its last block."""

    reads = STRIDES

    def make(self, encoder: list[int], width: int = 32) -> tuple[nn.Module, int]:
        return LinknetDecoder(encoder, width), width


class UperNetHead(SmpHead):
    """UPerNet (Xiao et al. 2018, arXiv:1807.10221): pyramid pooling on top of a feature pyramid."""

    def make(self, encoder: list[int], decoder_channels: int = 64) -> tuple[nn.Module, int]:
        return UPerNetDecoder(encoder, 5, decoder_channels), decoder_channels


class SegformerHead(SmpHead):
    """The all-MLP decoder of SegFormer (Xie et al. 2021, arXiv:2105.15203)."""

    def make(self, encoder: list[int], segmentation_channels: int = 96) -> tuple[nn.Module, int]:
        return SegformerDecoder(encoder, 5, segmentation_channels), segmentation_channels
