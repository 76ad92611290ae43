"""Every architecture that ships has as many parameters as its publication says."""

import pytest
import yaml
from torch.nn import Linear

from frostline.config import build, conf_dir
from frostline.freezing.groups import count
from frostline.models.resnet import ResNet20

# With a linear classifier of 1000 classes. Published by torchvision beside its weights, but for: Xception, as Keras
# counts its weights (22,910,480 with the statistics of its norms); ViT-S, as DeiT's authors have it, there rounded to
# 22 million; Lite0 to Lite2, 4.7, 5.4 and 6.1 million in their announcement. The papers' own figures are rounded:
# AlexNet's 60 million of 2012 were in two columns that saw each other in part, and GoogLeNet's of 2014 had no batch
# norms.
PUBLISHED = {
    "alexnet": 61_100_840,
    "convnext_tiny": 28_589_128,
    "efficientnet_b0": 5_288_548,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite0_scratch": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnetv2_s": 21_458_488,
    "googlenet": 6_624_904,
    "mobilenetv2": 3_504_872,
    "mobilenetv3_large": 5_483_032,
    "mobilenetv3_small": 2_542_856,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet34_plain": 21_797_672,
    "resnet50": 25_557_032,
    "swin_tiny": 28_288_354,
    "vit_base": 86_567_656,
    "vit_small": 22_050_664,
    "xception": 22_855_952,
}
OWN = {"lenet5", "resnet20", "small_cnn", "timm"}  # tested by layer; below; not published; any


@pytest.mark.parametrize("file", PUBLISHED)
def test_as_many_parameters_as_published(file):
    node = yaml.safe_load((conf_dir() / "backbone" / f"{file}.yaml").read_text())
    backbone = build(node | {"pretrained": False}, with_embedding=True, image_size=224)
    assert count(backbone.parameters()) + count(Linear(backbone.embedding_size, 1000).parameters()) == PUBLISHED[file]


def test_resnet20_has_as_many_as_published_and_its_shortcuts():
    # 0.27 million in table 6 of the paper, 269,722 with its norms and ten classes, where shortcuts have no parameters.
    network = ResNet20()
    shortcuts = sum(
        count(module.parameters()) for name, module in network.named_modules() if name.endswith("downsample")
    )
    assert shortcuts == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert count(network.parameters()) - shortcuts == 269_722


def test_every_shipped_architecture_is_counted():
    assert {path.stem for path in (conf_dir() / "backbone").glob("*.yaml")} == PUBLISHED.keys() | OWN


def test_xceptions_statistics_make_up_the_rest_of_what_keras_counts():
    backbone = build({"_target_": "frostline.models.backbones.xception", "pretrained": False}, with_embedding=True)
    statistics = sum(b.numel() for name, b in backbone.named_buffers() if "running" in name)
    assert PUBLISHED["xception"] + statistics == 22_910_480
