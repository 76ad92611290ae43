"""A model in use: pictures/s of `predict`, against the bare network, and against the loop that people write."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.row import Row

PICTURES, SIZE, BATCH = 2000, 224, 16
ROUNDS = 3


def predicting() -> list[Row]:
    """2,000 photographs of flowers by EfficientNet-Lite0, from files; all sides in turn, with all cores."""
    import torch

    from benchmarks.quality import PHOTOGRAPHS
    from frostline.parallel import threads
    from frostline.pictures.preprocessing import Preprocessing
    from frostline.predict.gathered import gathered
    from frostline.predict.info import ModelInfo
    from frostline.predict.model import Model
    from frostline.runs.network import TorchEngine
    from frostline.runs.process import keep_memory

    keep_memory()
    torch.set_num_threads(threads())
    files = [path for path, _ in gathered([str(PHOTOGRAPHS / "flowers5")])][:PICTURES]
    task = _task()
    info = ModelInfo("mine", "classification", task.classes, Preprocessing(SIZE), network={}, origin={})
    model = Model(info, TorchEngine(task, "cpu"))
    squares = [torch.from_numpy(info.preprocessing.seen(path, path)[0]) for path in files]

    def ours() -> Any:
        return [found.label for found in model.predict(files)]

    def bare() -> Any:
        found = []
        with torch.inference_mode():
            for first in range(0, len(squares), BATCH):
                images = torch.stack(squares[first : first + BATCH]).permute(0, 3, 1, 2)
                found += task(images).argmax(1).tolist()
        return found

    plain = _plain(files)
    took: dict[str, list[float]] = {"ours": [], "bare": [], "plain": []}
    said = {}
    for _ in range(ROUNDS):
        for name, side in (("ours", ours), ("bare", bare), ("plain", plain)):
            began = time.perf_counter()
            said[name] = side()
            took[name].append(time.perf_counter() - began)
    assert said["ours"] == said["bare"]
    rate = {name: len(files) / statistics.median(times) for name, times in took.items()}
    slower = statistics.median(one / two for one, two in zip(took["ours"], took["bare"], strict=True))
    faster = statistics.median(two / one for one, two in zip(took["ours"], took["plain"], strict=True))
    mine, others = f"{rate['ours']:.0f} pictures/s", {name: f"{rate[name]:.0f} pictures/s" for name in rate}
    what = f"`predict` on {len(files)} photographs at {SIZE} px"
    bare_one = f"{what}: seconds against the network alone over decoded tensors"
    plain_one = f"{what}: times the pictures/s of PIL, torchvision's transforms and timm's network"
    return [
        Row("predict", bare_one, slower, "<= 1.1", mine, others["bare"]),
        Row("predict_plain", plain_one, faster, ">= 1.5", mine, others["plain"]),
    ]


def _task() -> Any:
    from frostline.config import compose
    from frostline.runs.build import build_task

    config = compose([f"image_size={SIZE}", "backbone=efficientnet_lite0"])
    return build_task(config, ("daisy", "dandelion", "rose", "sunflower", "tulip")).eval()


def _plain(files: list[str]) -> Callable[[], Any]:
    """The same network as timm has it, used as tutorials do: a picture after the other, and a batch of tensors."""
    import timm
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    network = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    half = [0.5] * 3
    steps = v2.Compose(
        [v2.Resize((SIZE, SIZE)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(half, half)]
    )

    def run() -> Any:
        found = []
        with torch.inference_mode():
            for first in range(0, len(files), BATCH):
                images = []
                for path in files[first : first + BATCH]:
                    with Image.open(path) as image:
                        images.append(steps(image.convert("RGB")))
                found += network(torch.stack(images)).argmax(1).tolist()
        return found

    return run


MEASURES = {"predicting": predicting}
