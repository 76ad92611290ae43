"""Models made without training, and a real server of one, in a thread."""

import http.client
import json
import threading
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from frostline.config import compose
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.build import build_task
from frostline.runs.load import load
from frostline.runs.network import TorchEngine

OLD = Path(__file__).parents[1] / "runs" / "old_run"  # trained by an earlier version
CLASSES = ("background", "<b>rose</b>", "tulip")


def model_of(task):
    """A trained one where there is one, else one of random weights."""
    if (OLD / task).is_dir():
        return load(OLD / task, "cpu")
    torch.manual_seed(0)
    backbone = ["backbone=mobilenetv3_small", "backbone.pretrained=false"]
    config = compose([f"task={task}", *backbone, "image_size=64", "schedule=full"])
    built = build_task(config, CLASSES)
    info = ModelInfo(f"a {task}", task, CLASSES, Preprocessing(64), built.rule)
    return Model(info, TorchEngine(built, "cpu"))


@contextmanager
def served(model, **options):
    """Its port. options: of `app_of`."""
    from frostline.serve.app import app_of
    from frostline.serve.server import Server, listening

    place, ready = listening("127.0.0.1", 0), threading.Event()
    server = Server(app_of(model, **{"host": "127.0.0.1", **options}), ready.set)
    thread = threading.Thread(target=server.run, args=([place],))
    port = place.getsockname()[1]
    thread.start()
    try:
        assert ready.wait(20)
        yield port
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def ask(port, body=None, path="/predict", method="POST", **headers):
    """Status and what the JSON of the answer holds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def noise(seed, width=48, height=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels, form="PNG", **options):
    buffer = BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, form, **options)
    return buffer.getvalue()
