"""An exported file beside the run that it was made of: pictures/s of the network, memory, and the first answer.

EfficientNet-Lite0 with a linear head, on photographs of flowers, two threads; all sides in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.quality import PHOTOGRAPHS
from benchmarks.row import Row

SIZES = (128, 224)
BATCH, THREADS = 16, 2
ROUNDS, STARTS = 21, 5
TRAINED = ["task=classification", "dataset=folder", f"dataset.root={PHOTOGRAPHS / 'flowers5'}", "schedule=frozen"]
TRAINED += ["image_size=128", "trainer.epochs=6", "augment=none", "tracking=none", "study=exporting"]
# A process of its own: one model, as many pictures as a batch has, and what that took.
ONCE = """
import json, sys, time
model, count, *pictures = sys.argv[1:]
import frostline
loaded = frostline.load(model, "cpu")
said = [found.name for found in loaded.predict(pictures[:int(count)])]
# Not ru_maxrss, which begins with that of the process that started this one.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
told = {"cpu": time.process_time(), "mb": int(peak) / 1024, "torch": "torch" in sys.modules}
print(json.dumps({**told, "said": said}))
"""
IMPORTED = """
import sys, time
began = time.process_time()
import frostline
frostline.load, frostline.Model
from frostline.predict.onnx import read_onnx
import onnxruntime
print(time.process_time() - began, "torch" in sys.modules)
"""


def exported() -> list[Row]:
    """The network in ONNX Runtime, and in int8, against eager torch with channels last."""
    import torch

    torch.set_num_threads(THREADS)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            rows += _speed(Path(folder), size)
    return rows


def exported_alone() -> list[Row]:
    """Processes of their own: the exported file beside the model's folder, and what is imported for it."""
    from frostline.export.onnx import write_onnx
    from frostline.runs.network import read_model

    with tempfile.TemporaryDirectory() as folder:
        model, file = Path(folder) / "model", Path(folder) / "model.onnx"
        _model(model, SIZES[-1])
        info, task = read_model(model)
        write_onnx(task, info, file)
        return [*_alone(model, file), _imports()]


def int8_loss() -> list[Row]:
    """A linear head trained on flowers5 at 128 px, then quantized: accuracy on the validation split."""
    import frostline
    from frostline.export.write import export

    run = frostline.train(*TRAINED)
    with tempfile.TemporaryDirectory() as folder:
        loss = export(run.folder, Path(folder) / "flowers.onnx", int8=True).loss
    assert loss is not None and loss.apart is not None
    what = "flowers5 at 128 px in int8: accuracy on the validation split, after minus before"
    between = f"{loss.after:.4f}; 95 % of the difference over {loss.pictures} pictures {loss.apart.low:+.4f} to "
    ours = between + f"{loss.apart.high:+.4f}"
    return [Row("int8_loss", what, loss.after - loss.before, ">= -0.02", ours, f"{loss.before:.4f}")]


def _speed(folder: Path, size: int) -> list[Row]:
    import numpy as np

    from frostline.export.onnx import write_onnx
    from frostline.export.quantize import describe, write_int8
    from frostline.export.write import Unfolded
    from frostline.predict.onnx import read_onnx
    from frostline.runs.network import read_model

    _model(folder / f"model{size}", size)
    info, task = read_model(folder / f"model{size}")
    exact, small = folder / f"{size}.onnx", folder / f"{size}-int8.onnx"
    write_onnx(task, info, exact)
    files = _photographs(4 * BATCH)
    write_int8(exact, read_onnx(exact), files, small)
    describe(small, info)
    squares = np.stack([info.preprocessing.seen(file, str(file))[0] for file in files[:BATCH]])
    sides: dict[str, Any] = {"eager": Unfolded(task)}
    sides |= {"onnx": read_onnx(exact, "cpu", THREADS).engine, "int8": read_onnx(small, "cpu", THREADS).engine}
    took: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, engine in sides.items():
            began = time.perf_counter()
            engine(squares)
            if turn:  # the first one prepares itself
                took[name].append(time.perf_counter() - began)
    rate = {name: f"{BATCH / statistics.median(times):.0f} pictures/s" for name, times in took.items()}
    rows = []
    for name, bar in (("onnx", ">= 2.4"), ("int8", ">= 3")):
        times = statistics.median(eager / own for eager, own in zip(took["eager"], took[name], strict=True))
        words = "in ONNX Runtime" + (", int8" if name == "int8" else "")
        what = f"the network {words}, batch {BATCH}, {size} px, {THREADS} threads: times the pictures/s of eager torch"
        rows.append(Row(f"{name}_{size}", what, times, bar, rate[name], rate["eager"]))
    return rows


def _alone(model: Path, file: Path) -> list[Row]:
    """Whole processes, of the model's folder and of the exported file."""
    found: dict[str, list[Any]] = {"torch": [], "onnx": []}
    for _ in range(STARTS):
        for name, place in (("torch", model), ("onnx", file)):
            found[name].append([_once(place, 1), _once(place, BATCH)])
    first = {name: statistics.median(one["cpu"] for one, _ in runs) for name, runs in found.items()}
    memory = {name: statistics.median(many["mb"] for _, many in runs) for name, runs in found.items()}
    assert not any(one["torch"] for one, _ in found["onnx"])
    assert found["onnx"][0][1]["said"] == found["torch"][0][1]["said"]
    what = "a process from its start to the first answer, seconds of processor time, of those from the model's folder"
    mine, other = (f"{first[name]:.2f} s" for name in ("onnx", "torch"))
    rows = [Row("onnx_first", what, first["onnx"] / first["torch"], "<= 0.08", mine, other)]
    what = f"resident at most, {BATCH} pictures at {SIZES[-1]} px, of that of the model's folder"
    mine, other = (f"{memory[name]:.0f} MB" for name in ("onnx", "torch"))
    return [*rows, Row("onnx_memory", what, memory["onnx"] / memory["torch"], "<= 0.28", mine, other)]


def _imports() -> Row:
    seconds = []
    for _ in range(STARTS):
        taken, torch = _said(IMPORTED).split()
        assert torch == "False"
        seconds.append(float(taken))
    what = "import of what an ONNX prediction needs, without torch, seconds of processor time"
    return Row("onnx_import", what, statistics.median(seconds), "<= 0.5", f"{statistics.median(seconds):.2f} s")


def _once(model: Path, count: int) -> Any:
    return json.loads(_said(ONCE, str(model), str(count), *map(str, _photographs(BATCH))))


def _said(code: str, *arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def _photographs(count: int) -> list[Path]:
    return sorted((PHOTOGRAPHS / "flowers5").glob("*/*.jpg"))[::60][:count]


def _model(folder: Path, size: int) -> None:
    """A model's folder, with the backbone's own weights and a head of chance."""
    import torch
    from safetensors.torch import save_file

    from frostline.config import compose
    from frostline.pictures.preprocessing import Preprocessing
    from frostline.predict.info import ModelInfo
    from frostline.runs.build import build_task
    from frostline.runs.network import BUILT, INFO, WEIGHTS

    torch.manual_seed(0)
    config = compose([f"image_size={size}", "backbone=efficientnet_lite0"])
    task = build_task(config, ("daisy", "dandelion", "rose", "sunflower", "tulip"))
    network = {group: dict(config[group]) for group in BUILT}
    info = ModelInfo("mine", "classification", task.classes, Preprocessing(size), network=network)
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in task.model.state_dict().items()}, folder / WEIGHTS)
    (folder / INFO).write_text(info.to_json(), encoding="utf-8")


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "exported": exported,
    "exported_alone": exported_alone,
    "int8_loss": int8_loss,
}
