"""ResNet-34 and ResNet-20, written out: what the libraries' general classes come to for the two networks."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from frostline.models.backbone import check_name
from frostline.models.chain import ChainBackbone, Ends, cut
from frostline.models.torchvision import IMAGENET, fetch


class Block(nn.Module):
    """Two 3 x 3 convolutions, and a shortcut around them, by a 1 x 1 convolution where the shape changes."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        shortcut = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.downsample = shortcut if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return cast(Tensor, self.relu(y + self.downsample(x)))


class ResNet34(nn.Sequential):
    """ResNet-34 (He et al. 2016, arXiv:1512.03385): pictures (B, 3, H, W) -> class scores (B, classes).

    Parameters have the names that torchvision gives them, so either's state dict loads into the other.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        add_layers(self, [(64, 3), (128, 4), (256, 6), (512, 3)])
        self.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(512, classes)
        start(self)


class ResNet20(nn.Sequential):
    """ResNet-20 (section 4.2 of the same paper), for pictures of some 32 px: (B, 3, H, W) -> class scores (B, classes).

    A shortcut is a 1 x 1 convolution where the shape changes, as in ResNet-34; the paper pads it with zeros.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        add_layers(self, [(16, 3), (32, 3), (64, 3)])
        self.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(64, classes)
        start(self)


def add_layers(network: nn.Sequential, layers: Sequence[tuple[int, int]]) -> None:
    """As many blocks of each width, named layer1, layer2 …; each layer but the first halves the sides."""
    inside = layers[0][0]
    for number, (width, depth) in enumerate(layers, 1):
        first = Block(inside, width, stride=1 if number == 1 else 2)
        network.add_module(f"layer{number}", nn.Sequential(first, *(Block(width, width, 1) for _ in range(depth - 1))))
        inside = width


def start(network: nn.Module) -> None:
    """First weights, as of He et al. 2015 (arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet34_plain(
    name: str = "resnet34_plain", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """`ResNet34` as a backbone, with torchvision's ImageNet weights where pretrained."""
    check_name(name, "resnet34_plain")
    model = ResNet34()
    if pretrained:
        model.load_state_dict(fetch(name, "resnet34").state_dict())
    del model.fc
    ends: Ends = {"relu": (64, 2), "layer1": (64, 4), "layer2": (128, 8), "layer3": (256, 16), "layer4": (512, 32)}
    backbone = cut(name, model, ends, IMAGENET, 512, with_embedding)
    backbone.input_size, backbone.weights = 224, "torchvision"
    return backbone


def resnet20(name: str = "resnet20", with_embedding: bool = False, image_size: int | None = None) -> ChainBackbone:
    """`ResNet20` as a backbone, trained from scratch. For pictures of some 32 px; larger ones only take longer."""
    model = ResNet20()
    del model.fc
    ends: Ends = {"relu": (16, 1), "layer1": None, "layer2": (32, 2), "layer3": (64, 4)}
    half = (0.5, 0.5, 0.5)
    backbone = cut(name, model, ends, (half, half), 64, with_embedding)
    backbone.input_size = 32
    return backbone
