"""A model as a file of torch.export: for torch's own tools, such as AOTInductor and ExecuTorch."""

from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from frostline.errors import FrostlineError
from frostline.export.graph import Whole
from frostline.export.onnx import quiet
from frostline.pictures.preprocessing import Pixels
from frostline.predict.info import ModelInfo
from frostline.predict.onnx import KEY, SQUARES
from frostline.tasks.base import Task, as_arrays
from frostline.words import one_line


def write_pt2(task: Task, info: ModelInfo, file: Path) -> None:
    """Write the network of a task; its description is the extra file `frostline`, as `torch.export.load` reads it.

    Raises FrostlineError where it cannot be exported.
    """
    whole = Whole(task, info.preprocessing.size).eval()
    batch = {SQUARES: {0: torch.export.Dim.DYNAMIC}}
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(whole, (whole.example(),), dynamic_shapes=batch)
        except Exception as error:
            raise FrostlineError(
                f"{info.name} cannot be exported by torch.export ({one_line(str(error))[:300]}). Predict from the run, "
                "or its model folder."
            ) from error
        torch.export.save(program, file, extra_files={KEY: info.to_json()})


class Pt2Engine:
    """A file that this process has written, as an engine.

    Never for one that others wrote: to load it runs what is in it, which `load` must not.
    """

    def __init__(self, file: Path) -> None:
        with quiet():
            self.network = torch.export.load(file).module()

    @torch.inference_mode()
    def __call__(self, squares: Pixels) -> dict[str, npt.NDArray[Any]]:
        return as_arrays(self.network(torch.from_numpy(squares)))
