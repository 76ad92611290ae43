"""A model behind the server, asked by sixteen clients, beside the same model in Python."""

import http.client
import itertools
import json
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.row import Row

CLIENTS, ROUNDS, SECONDS = 16, 6, 10.0  # the server is asked for a minute in all
SIZE, MOST = 224, 400  # px that the model sees; pictures
CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")


def serve() -> list[Row]:
    """Both sides in turn, in processes of their own; the clients share the machine with the server."""
    import psutil

    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, spawn.Pool(1) as python, spawn.Pool(1) as clients:
        place = Path(folder)
        _model(place / "model")
        kind = _pictures(place / "pictures")
        command = [sys.executable, "-m", "frostline", "serve", str(place / "model"), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            told = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
            assert told, "the server did not begin"
            python.apply(_stream, (folder, 2.0)), clients.apply(_asked, (folder, int(told[1]), 2.0))  # warm
            pairs, errors, memory = [], [], []
            for _ in range(ROUNDS):
                other = python.apply(_stream, (folder, SECONDS))
                rate, wrong = clients.apply(_asked, (folder, int(told[1]), SECONDS))
                pairs.append((rate, other))
                errors += wrong
                memory.append(psutil.Process(server.pid).memory_info().rss)
        finally:
            server.terminate()
            server.wait()
    what = f"{CLIENTS} clients at once for a minute, {kind}, EfficientNet-Lite0 at {SIZE} px"
    one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    growth = memory[-1] / memory[0]
    sizes = f"{memory[-1] / 1e6:.0f} MB", f"{memory[0] / 1e6:.0f} MB after {SECONDS:.0f} s"
    return [
        Row("serve_errors", f"serve, {what}: requests without their answer", len(errors), "== 0", f"{len(errors)}"),
        Row(
            "serve_speed",
            f"serve, {what}: of the pictures/s of `Model.stream`",
            ratio,
            ">= 0.8",
            f"{one:.1f} pictures/s",
            f"{two:.1f} pictures/s",
        ),
        Row(
            "serve_memory",
            f"serve, {what}: resident at the end, of that after {SECONDS:.0f} s",
            growth,
            "<= 1.05",
            *sizes,
        ),
    ]


def _model(folder: Path) -> None:
    """As `write_model` leaves it, of a network that nobody trained further."""
    from safetensors.torch import save_file

    from frostline.config import compose
    from frostline.pictures.preprocessing import Preprocessing
    from frostline.predict.info import ModelInfo
    from frostline.runs.build import build_task
    from frostline.runs.network import BUILT

    config = compose(["task=classification", f"image_size={SIZE}"])
    task = build_task(config, CLASSES)
    network = {group: dict(config[group]) for group in BUILT}
    folder.mkdir()
    info = ModelInfo("model", "classification", CLASSES, Preprocessing(SIZE), network=network)
    (folder / "model.json").write_text(info.to_json())
    save_file({name: one.contiguous() for name, one in task.model.state_dict().items()}, folder / "weights.safetensors")


def _pictures(folder: Path) -> str:
    """Photographs where there are some, else drawn ones; returns which."""
    import numpy as np
    from PIL import Image

    from benchmarks.quality import PHOTOGRAPHS
    from frostline.meadow.source import Meadow

    folder.mkdir()
    if found := sorted((PHOTOGRAPHS / "flowers5").glob("*/*.jpg")):
        for path in found[:: len(found) // MOST][:MOST]:
            (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
        return "photographs of flowers"
    for scene in Meadow(seed=0, size=256, train=MOST, val=1, test=1).scenes():
        assert isinstance(scene.image, np.ndarray)
        Image.fromarray(scene.image).save(folder / f"{scene.id}.jpg", quality=92)
    return "drawn flowers"


def _read(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((Path(folder) / "pictures").iterdir())]


_HELD: dict[str, Any] = {}


def _stream(folder: str, seconds: float) -> float:
    """Pictures/s."""
    import frostline
    from frostline.environment import keep_memory

    keep_memory()  # as the server does
    model = _HELD.get("model") or frostline.load(Path(folder) / "model")
    _HELD["model"] = model
    start = time.perf_counter()
    for count, _ in enumerate(model.stream(itertools.cycle(_read(folder))), 1):
        if (taken := time.perf_counter() - start) >= seconds:
            return count / taken
    raise AssertionError("it is endless")


def _asked(folder: str, port: int, seconds: float) -> tuple[float, list[str]]:
    """Pictures/s, and what went wrong."""
    pictures, wrong, counts = _read(folder), [], [0] * CLIENTS
    start = time.perf_counter()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for picture in itertools.cycle(pictures[number:] + pictures[:number]):
            if time.perf_counter() - start >= seconds:
                return
            try:
                connection.request("POST", "/predict", picture)
                answer = connection.getresponse()
                told = json.loads(answer.read())
                if answer.status != 200 or told["class"] not in CLASSES:
                    wrong.append(f"{answer.status} {told}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                wrong.append(repr(error))
                connection.close()
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return (sum(counts) - len(wrong)) / (time.perf_counter() - start), wrong


MEASURES: dict[str, Callable[[], list[Row]]] = {"serve": serve}
