"""A model in an ONNX file, as onnxruntime computes it: predictions need that, numpy and Pillow, and no torch."""

from pathlib import Path
from typing import Any

import numpy.typing as npt

from frostline.errors import FrostlineError
from frostline.parallel import threads as default_threads
from frostline.pictures.preprocessing import Pixels
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.words import one_line

KEY = "frostline"  # of the file's metadata: `ModelInfo.to_json`
SQUARES = "squares"  # the graph's one input: (B, S, S, 3) uint8, RGB
# Of each task, what the graph gives, as `predict.answers.answers` reads it: name -> number of axes.
OUTPUTS = {
    "classification": {"probabilities": 2},
    "localization": {"probabilities": 2, "box": 2},
    "detection": {"boxes": 3, "scores": 2, "labels": 2},
    "segmentation": {"scores": 4},
}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEngine:
    """A session of onnxruntime as an engine.

    session: of a graph whose input is SQUARES. file: for the error where it cannot be computed. device: what computes.
    """

    def __init__(self, session: Any, file: Path) -> None:
        self.session, self.file = session, file
        self.device = "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"
        self.names = [output.name for output in session.get_outputs()]

    def __call__(self, squares: Pixels) -> dict[str, npt.NDArray[Any]]:
        try:
            found = self.session.run(self.names, {SQUARES: squares})
        except Exception as error:  # onnxruntime has some ten kinds, with nothing in common
            raise FrostlineError(f"{self.file} cannot be computed ({_reason(error)}): export it again.") from error
        return dict(zip(self.names, found, strict=True))


def read_onnx(file: Path, device: str | None = None, threads: int | None = None) -> Model:
    """The model in a file that `frostline export` wrote.

    device: `cpu`, or `cuda` where onnxruntime has it; None: the fastest that there is. threads: of a computation; None
    for OMP_NUM_THREADS, or else every core. Raises FrostlineError for what is no such file.
    """
    session = _session(file, device, threads)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise FrostlineError(
            f"{file} is a model of ONNX without Frostline's description in it, so its classes and the size of its "
            "pictures are unknown: write one with `frostline export`."
        )
    info = ModelInfo.from_json(text, str(file))
    _check(session, info, file)
    return Model(info, OnnxEngine(session, file))


def _session(file: Path, device: str | None, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise FrostlineError(
            f"{file} is computed by onnxruntime, which is not installed: pip install 'frostline[onnx]'."
        ) from error
    there = {name: kind for name, kind in PROVIDERS.items() if kind in onnxruntime.get_available_providers()}
    name = device.partition(":")[0] if device else next(reversed(there))
    if name not in there:
        raise FrostlineError(
            f"There is no device '{device}' for onnxruntime here; {', '.join(reversed(there))} can be had."
        )
    if not file.is_file():
        raise FrostlineError(f"There is no file {file}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    # Threads that spin while they wait take the time of whatever else the machine does, and their own with it: a fifth
    # of the pictures/s was left beside another process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is wrong is raised
    providers = list(dict.fromkeys([there[name], there["cpu"]]))
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:
        raise FrostlineError(
            f"{file} is no whole model of ONNX ({_reason(error)}): export it again, or copy it anew."
        ) from error


def _check(session: Any, info: ModelInfo, file: Path) -> None:
    """Raise FrostlineError where the graph does not take and give what its description says."""
    size = info.preprocessing.size
    takes = [(one.name, one.type, list(one.shape[1:])) for one in session.get_inputs()]
    gives = {one.name: len(one.shape) for one in session.get_outputs()}
    if takes != [(SQUARES, "tensor(uint8)", [size, size, 3])] or gives != OUTPUTS[info.task]:
        raise FrostlineError(f"{file} does not compute what its description says: export it again.")


def _reason(error: Exception) -> str:
    """What onnxruntime says, in one line and without the place in its source."""
    return one_line(str(error).rpartition("] : ")[2]).rstrip(".")[:200]
