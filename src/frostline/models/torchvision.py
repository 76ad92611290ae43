"""Backbones of torchvision that timm lacks."""

from typing import Any, cast

from torch import nn
from torchvision.models import get_model

from frostline.models.backbone import check_name, fetched
from frostline.models.chain import ChainBackbone, Ends, cut

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of the colours


def fetch(name: str, model: str, pretrained: bool = True, **options: Any) -> nn.Module:
    """A model of torchvision, with its first ImageNet weights where pretrained, from torch's cache or torch's server.

    name: of the backbone, for the error. Raises FrostlineError where they are not to be had.
    """
    try:
        return cast(nn.Module, get_model(model, weights="IMAGENET1K_V1" if pretrained else None, **options))
    except (OSError, RuntimeError) as error:  # no network; a file that is damaged
        raise fetched(name, error) from error


def alexnet(
    name: str = "alexnet", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """AlexNet in one column (Krizhevsky 2014, arXiv:1404.5997): a group for each layer.

    The embedding (B, 4096) is what its seventh layer, fc7, gives; pictures of any side from 64 px are pooled to 6 x 6
    cells before fc6. Of 224 px its maps have 55, 27, 13 and 6 cells, as little is padded, so none lies upon the picture
    cell by cell, and none leaves.
    """
    check_name(name, "alexnet")
    model = cast(Any, fetch(name, "alexnet", pretrained))
    model.avgpool = nn.Sequential(model.avgpool, nn.Flatten())
    model.classifier[6] = nn.Identity()
    ends: Ends = dict.fromkeys(
        ("features.2", "features.5", "features.7", "features.9", "features.12", "classifier.2", "classifier.5")
    )
    backbone = cut(name, model, ends, IMAGENET, 4096, with_embedding)
    backbone.input_size, backbone.smallest, backbone.weights = 224, 64, "torchvision"
    return backbone


def googlenet(
    name: str = "googlenet", pretrained: bool = True, with_embedding: bool = False, image_size: int | None = None
) -> ChainBackbone:
    """GoogLeNet with batch norms (Szegedy et al. 2015, arXiv:1409.4842), without its two auxiliary classifiers.

    Dropout before the classifier is the head's.
    """
    check_name(name, "googlenet")
    # With weights, torchvision decides these two by itself, and refuses to be told.
    options = {} if pretrained else {"aux_logits": False, "init_weights": True}
    model = cast(Any, fetch(name, "googlenet", pretrained, dropout=0.0, **options))
    model.fc = nn.Identity()
    ends: Ends = {
        "conv1": (64, 2),
        "conv3": (192, 4),
        "inception3b": (480, 8),
        "inception4e": (832, 16),
        "inception5b": (1024, 32),
    }
    half = (0.5,) * 3  # what torchvision's `transform_input` comes to: the weights are the original's
    backbone = cut(name, model, ends, (half, half), 1024, with_embedding)
    backbone.input_size, backbone.weights = 224, "torchvision"
    return backbone
