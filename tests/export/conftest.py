import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from frostline.config import compose
from frostline.export.dataset import pictures_of
from frostline.export.write import Unfolded
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.build import build_task

CLASSES = ("a", "b", "c")
SMALL = ["backbone=timm", "backbone.name=test_efficientnet", "backbone.pretrained=false"]  # maps at 1/2 … 1/32


@pytest.fixture(scope="session")
def pictures(small_meadow):
    return pictures_of(small_meadow, "test", 8)


@pytest.fixture
def made():
    """A model of a task and a head whose weights are no longer those of the start, where all places say the same."""

    def make(task, head, size=64, *overrides):
        torch.manual_seed(0)
        backbone = ["backbone=small_cnn"] if head in ("sliding_window", "fully_convolutional") else SMALL
        config = compose([f"task={task}", f"head={head}", f"image_size={size}", *backbone, *overrides])
        built = build_task(config, CLASSES).eval()
        for module in built.modules():
            if isinstance(module, _BatchNorm):
                nn.init.uniform_(module.running_mean, -0.3, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.3, 0.3)
        for name, parameter in built.model.head.named_parameters():
            if parameter.ndim > 1:
                nn.init.xavier_normal_(parameter)
            elif name.endswith("bias"):
                nn.init.normal_(parameter, 0, 0.5)
        info = ModelInfo("mine", task, CLASSES, Preprocessing(size), built.rule)
        return Model(info, Unfolded(built))

    return make
