"""LeNet-5 as published."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frostline.models.backbone import in_floats
from frostline.models.chain import ChainBackbone

INK = (-0.1, 1.175)  # what no ink and full ink become; for digits of ink on nothing, about mean 0 and variance 1
GREY = (0.299, 0.587, 0.114)  # of red, green and blue
# Which maps of S2 each map of C3 sees (table I of the paper): three in a row, four in a row, four in two pairs, all.
SEEN = [
    *([(k + i) % 6 for i in range(3)] for k in range(6)),
    *([(k + i) % 6 for i in range(4)] for k in range(6)),
    *([(k + i) % 6 for i in (0, 1, 3, 4)] for k in range(3)),
    list(range(6)),
]


class LeNet5(ChainBackbone):
    """LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document recognition).

    Takes pictures of 32 px, and of 28 px with two rows of zeros around; colours become grey. As published: halvings
    with a coefficient and a bias that are learnt, C3 that sees six maps in part, 1.7159 tanh(2x / 3) throughout, and
    the initial weights. C1 to F6 have 60,000 parameters. The published output, distances to drawn letters, is left to
    the head. The embedding (B, 84) is what F6 gives. Of 32 px the maps have 14 and 5 cells, so none lies upon the
    picture cell by cell, and none leaves. Trained from scratch.
    """

    input_size = 32
    sides = (28, 32)

    def __init__(self, name: str = "lenet5", with_embedding: bool = False, image_size: int | None = None) -> None:
        low, high = INK
        std = 1 / (high - low)
        stages = {
            "stem": nn.Sequential(nn.Conv2d(1, 6, 5), Squash(), Halving(6), Squash()),  # C1, S2
            "stage1": nn.Sequential(PartialConvolution(), Squash(), Halving(16), Squash()),  # C3, S4
            "stage2": nn.Sequential(nn.Conv2d(16, 120, 5), Squash(), nn.Flatten(), nn.Linear(120, 84), Squash()),
        }  # C5, F6
        super().__init__(name, [-low * std] * 3, [std] * 3, stages, {}, nn.Identity() if with_embedding else None, 84)
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1), persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                for parameter in layer.parameters():
                    parameter.data = _start(parameter.shape, layer.weight[0].numel())

    def normalise(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, 28, 28) or (B, 3, 32, 32) -> (B, 1, 32, 32)."""
        margin = (self.input_size - image.shape[-1]) // 2
        padded = F.pad(in_floats(image), [margin] * 4)
        return (super().normalise(padded) * cast(Tensor, self.grey)).sum(1, keepdim=True)


class Squash(nn.Module):
    """1.7159 tanh(2x / 3), which is 1 at 1 and -1 at -1."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Halving(nn.Module):
    """(B, C, H, W) -> (B, C, H / 2, W / 2): the sum of 2 x 2 cells, by a coefficient and a bias for each map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_start((channels, 1, 1), 4))
        self.bias = nn.Parameter(_start((channels,), 4))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * F.avg_pool2d(x, 2) * self.weight + self.bias[:, None, None]


class PartialConvolution(nn.Module):
    """C3, (B, 6, H, W) -> (B, 16, H - 4, W - 4), each map from those it sees; weight: (60, 5, 5), a kernel for each."""

    def __init__(self) -> None:
        super().__init__()
        pairs = torch.tensor([(out, into) for out, seen in enumerate(SEEN) for into in seen]).T
        inputs = 25 * torch.tensor([len(seen) for seen in SEEN])  # of a unit of each map
        self.weight = nn.Parameter(_start((pairs.shape[1], 5, 5), inputs[pairs[0], None, None]))
        self.bias = nn.Parameter(_start((len(SEEN),), inputs))
        self.register_buffer("pairs", pairs, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out, into = cast(Tensor, self.pairs)
        whole = self.weight.new_zeros(len(SEEN), 6, 5, 5).index_put((out, into), self.weight)
        return F.conv2d(x, whole, self.bias)


def _start(shape: Sequence[int], inputs: int | Tensor) -> Tensor:
    """Even between ±2.4 / inputs, the number of inputs of a unit, as in the paper's appendix A."""
    return (2 * torch.rand(*shape) - 1) * 2.4 / inputs
