"""Models to use, from wherever they lie."""

from pathlib import Path

from frostline.environment import importing
from frostline.errors import FrostlineError
from frostline.predict.model import Model
from frostline.tracking.registry import ADDRESS, fetched
from frostline.tracking.store import tracking_uri

RESULT, INFO = "result.json", "model.json"  # by which folders are known


def load(model: str | Path, device: str | None = None) -> Model:
    """The model that lies there.

    model: the folder of a run's results (runs/STUDY/results/RUN), or of a model that was exported; or an ONNX file that
    `frostline export` wrote, which needs no torch; or `models:/NAME@champion` of MLflow's registry, in the store that
    MLFLOW_TRACKING_URI names, else the local one. device: `cpu`, or where torch or onnxruntime finds one, such as
    `cuda`; None: the fastest that there is.

    Nothing there can run code: weights are safetensors, and what is named may only be of Frostline. No pretrained
    weights are fetched. Raises FrostlineError where there is no finished run and no model, or one of another state of
    the code.
    """
    if str(model).startswith(ADDRESS):
        with fetched(str(model), tracking_uri(None)) as folder:
            return load(folder, device)
    path = Path(model)
    if path.suffix == ".onnx" and not path.is_dir():
        from frostline.predict.onnx import read_onnx

        return read_onnx(path, device)
    if path.suffix == ".pt2" and path.is_file():
        raise FrostlineError(
            f"{path} is for torch's own tools: to load such a file runs whatever is in it, so nothing is predicted "
            "from it here. Give the run, its model folder, or an ONNX file."
        )
    if (path / RESULT).is_file() or (path / INFO).is_file():
        with importing():  # torch
            from frostline.runs.network import TorchEngine, read_model, read_run
            from frostline.runs.process import device_named

        info, task = (read_run if (path / RESULT).is_file() else read_model)(path)
        return Model(info, TorchEngine(task, device_named(device)))
    raise FrostlineError(
        f"{model} holds no finished run and no model: give a run's folder (runs/STUDY/results/RUN), a model's "
        "(with model.json), or an exported .onnx file."
    )
