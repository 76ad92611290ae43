"""LeNet-5, as published (LeCun et al. 1998, Gradient-based learning applied to document recognition, Proc. IEEE)."""

from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frostline.models.backbones import ChainBackbone, in_floats

SIDE = 32  # px; pictures of 28 are padded to it
# Table I of the paper: the maps of S2 that each map of C3 reads.
READ_BY_C3 = (
    [[k, (k + 1) % 6, (k + 2) % 6] for k in range(6)]
    + [[k, (k + 1) % 6, (k + 2) % 6, (k + 3) % 6] for k in range(6)]
    + [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]
    + [[0, 1, 2, 3, 4, 5]]
)
GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


class LeNet5(ChainBackbone):
    """The layers C1 to F6, 60,000 parameters; the published output layer, distances to drawn digits, is left to a head.

    Takes pictures of 32 px, or of 28 px, which are padded with zeros (black) to 32; colours become grey. Nothing is
    padded inside, so its maps, after S2 (14 x 14) and S4 (5 x 5), do not lie evenly on the picture. Trained from
    scratch.
    """

    aligned, input_size = False, SIDE

    def __init__(self, name: str = "lenet5", with_embedding: bool = False, image_size: int | None = None) -> None:
        stages = {
            "stem": _row(c1=nn.Conv2d(1, 6, 5), c1_squash=Squash(), s2=Subsampling(6), s2_squash=Squash()),
            "stage1": _row(c3=PartlyConnected(), c3_squash=Squash(), s4=Subsampling(16), s4_squash=Squash()),
        }
        tail = _row(
            c5=nn.Conv2d(16, 120, 5), c5_squash=Squash(), flat=nn.Flatten(), f6=nn.Linear(120, 84), out=Squash()
        )
        # As in the paper, black is -0.1 and white 1.175.
        super().__init__(
            name,
            (0.1 / 1.275,),
            (1 / 1.275,),
            stages,
            (True, True),
            (6, 16),
            (2, 4),
            tail if with_embedding else None,
            84,
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = 2.4 / module.weight[0].numel()  # of its inputs
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.zeros_(cast(Tensor, module.bias))

    def normalise(self, image: Tensor) -> Tensor:
        margin = (SIDE - image.shape[-1]) // 2
        grey = torch.tensordot(in_floats(image), image.new_tensor(GREY, dtype=torch.float32), ([1], [0]))[:, None]
        padded = F.pad(grey, (margin, margin, margin, margin))
        return (padded - cast(Tensor, self.mean)) / cast(Tensor, self.std)


class Squash(nn.Module):
    """A scaled hyperbolic tangent, with values of ± 1 at ± 1 (appendix A of the paper)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Subsampling(nn.Module):
    """Of each map (B, C, H, W), the sum over squares of 2 x 2, times a coefficient, plus a bias; both are learnt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))  # at first a mean
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * F.avg_pool2d(x, 2) * self.coefficient + self.bias


class PartlyConnected(nn.Module):
    """C3: 16 maps, each a convolution over some of the six maps of S2, so that they learn different things."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(len(read), 1, 5) for read in READ_BY_C3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([conv(x[:, read]) for conv, read in zip(self.maps, READ_BY_C3, strict=True)], 1)


def _row(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))
