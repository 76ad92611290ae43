"""From a model to a file: exported, proven, and only then written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from frostline.errors import FrostlineError
from frostline.export.dataset import dataset_of, pictures_in, pictures_of
from frostline.export.onnx import write_onnx
from frostline.export.proof import Proof, prove
from frostline.export.pt2 import Pt2Engine, write_pt2
from frostline.export.quantize import Loss, describe, lost, write_int8
from frostline.files import replacing
from frostline.pictures.preprocessing import Picture, Pixels
from frostline.predict.model import Model
from frostline.predict.onnx import read_onnx
from frostline.runs.load import load
from frostline.runs.network import TorchEngine
from frostline.scenes.dataset import Dataset
from frostline.tasks.base import Task, as_arrays

PICTURES = 40  # that a file is proven on
CALIBRATED = 200  # pictures that the scales of int8 are made for


@dataclass(frozen=True)
class Written:
    """A file that was written, and how it was proven. loss: what int8 costs; None of what is as exact as the model."""

    file: Path
    proof: Proof
    loss: Loss | None = None


class Unfolded:
    """A task's network as an engine, just as it was trained."""

    def __init__(self, task: Task) -> None:
        self.task = task.eval()

    @torch.inference_mode()
    def __call__(self, squares: Pixels) -> dict[str, npt.NDArray[Any]]:
        return as_arrays(self.task.raw(self.task(torch.from_numpy(squares).permute(0, 3, 1, 2))))


def export(
    model: str | Path, file: Path, pictures: Sequence[Path] = (), kind: str = "onnx", int8: bool = False
) -> Written:
    """Write a model as one file, once what it says of real pictures is what the model says.

    model: as `load` takes it, but computed by torch. pictures: files and folders to prove it on; else those of the test
    split of the model's own dataset. kind: `onnx`, or `pt2`, which is torch.export's. int8: in eight bits, whose scales
    are made for pictures of the training split, and whose loss is measured on the validation split. Raises
    FrostlineError where there is none of these, or where what is exported says something else.
    """
    loaded = load(model, "cpu")
    if not isinstance(loaded.engine, TorchEngine):
        raise FrostlineError(f"{model} is exported already: give the run, or its model folder.")
    task, dataset = loaded.engine.task, dataset_of(loaded.info, Path(model))
    real = _real(Path(model), dataset, pictures)
    if int8 and dataset is None:
        raise FrostlineError(
            f"The dataset of {model} is not below runs/ here, and int8 is made for its training pictures and measured "
            "on its validation split: export where it is, or without --quantize."
        )
    if int8 and kind != "onnx":
        raise FrostlineError("int8 is for ONNX, which onnxruntime computes in eight bits: set --to onnx.")
    with replacing(file) as aside:
        if kind == "onnx":
            write_onnx(task, loaded.info, aside)
            exact = read_onnx(aside, "cpu")
        else:
            write_pt2(task, loaded.info, aside)
            exact = Model(loaded.info, Pt2Engine(aside))
        proof, loss = prove(Model(loaded.info, Unfolded(task)), exact, real), None
        if int8 and dataset is not None:
            with replacing(aside) as small:
                write_int8(aside, exact, pictures_of(dataset, "train", CALIBRATED), small)
                describe(small, loaded.info)
                loss = lost(exact, read_onnx(small, "cpu"), dataset)
                describe(small, loaded.info, loss)
        return Written(file, proof, loss)


def _real(model: Path, dataset: Dataset | None, given: Sequence[Path]) -> list[Picture]:
    if given:
        return pictures_in(given, PICTURES)
    if dataset is None:
        raise FrostlineError(
            f"The dataset of {model} is not below runs/ here, and a file is proven on real pictures before it is "
            "written: give some with --pictures FOLDER."
        )
    return pictures_of(dataset, "test", PICTURES)
