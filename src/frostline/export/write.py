"""From a model to a file: exported, proven, and only then written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.export.dataset import dataset_of, pictures_in, pictures_of
from frostline.export.onnx import write_onnx
from frostline.export.proof import Proof, prove
from frostline.files import replacing
from frostline.pictures.preprocessing import Picture
from frostline.predict.model import Model
from frostline.predict.onnx import read_onnx
from frostline.runs.load import load
from frostline.runs.network import TorchEngine

PICTURES = 40  # that a file is proven on


@dataclass(frozen=True)
class Written:
    """A file that was written, and how it was proven."""

    file: Path
    proof: Proof


def export(model: str | Path, file: Path, pictures: Sequence[Path] = ()) -> Written:
    """Write a model as an ONNX file, once what it says of real pictures is what the model says.

    model: as `load` takes it, but computed by torch. pictures: files and folders to prove it on; else those of the test
    split of the model's own dataset. Raises FrostlineError where there is none of these, or where they differ.
    """
    loaded = load(model, "cpu")
    if not isinstance(loaded.engine, TorchEngine):
        raise FrostlineError(f"{model} is exported already: give the run, or its model folder.")
    real = _pictures(loaded, Path(model), pictures)
    with replacing(file) as aside:
        write_onnx(loaded.engine.task, loaded.info, aside)
        return Written(file, prove(loaded, read_onnx(aside, "cpu"), real))


def _pictures(model: Model, place: Path, given: Sequence[Path]) -> list[Picture]:
    if given:
        return pictures_in(given, PICTURES)
    dataset = dataset_of(model.info, place)
    if dataset is None:
        raise FrostlineError(
            f"The dataset of {place} is not below runs/ here, and a file is proven on real pictures before it is "
            "written: give some with --pictures FOLDER."
        )
    return pictures_of(dataset, "test", PICTURES)
