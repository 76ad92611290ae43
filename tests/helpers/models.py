"""Models of each task that nobody trained: random weights are enough to see whether two ways give one answer."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import frostline
from frostline.config import compose
from frostline.deliver import pyfunc
from frostline.deliver.registered import pins
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.answers import Rule
from frostline.predict.info import ModelInfo
from frostline.runs.build import build_task
from frostline.runs.network import BUILT, INFO, WEIGHTS
from frostline.tracking.base import Cell, ToldModel

SIZE, CLASSES = 64, ("ant", "bee", "cow")


def untrained(task, folder, classes=CLASSES):
    """The folder of a small model of this task."""
    torch.manual_seed(0)
    config = compose([f"task={task}", f"image_size={SIZE}", "backbone=mobilenetv3_small", "backbone.pretrained=false"])
    built = build_task(config, classes)
    folder.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in built.model.state_dict().items()}, folder / WEIGHTS)
    network = {group: dict(config[group]) for group in BUILT}
    info = ModelInfo("small", task, classes, Preprocessing(SIZE), Rule(min_score=0.0, max_boxes=5), network)
    (folder / INFO).write_text(info.to_json())
    return folder


def noise(seed, width=80, height=60):
    """A picture as pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def png(seed, width=80, height=60):
    """The same as a file's bytes."""
    file = io.BytesIO()
    Image.fromarray(noise(seed, width, height)).save(file, "PNG")
    return file.getvalue()


def told(folder, name, weights="w", **changes):
    """The model of a folder, as a tracker is told of it."""
    example = png(9)
    cell = Cell("run", "abc", "d" * 64)
    package, code = Path(frostline.__file__).parent, Path(pyfunc.__file__).with_name("served.py")
    fields = {"study": "s", "cell": cell, "code": code, "package": package, "requirements": pins()}
    fields |= {"example": example, "description": "It works.", "weights": weights, "tags": {"task": "t"}}
    return ToldModel(name=name, folder=folder, **(fields | changes))
