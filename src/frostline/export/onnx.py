"""A model as an ONNX file: weights inside, batches of any size, and in its metadata all that predictions need."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from frostline.errors import FrostlineError
from frostline.export.graph import Whole
from frostline.predict.info import ModelInfo
from frostline.predict.onnx import KEY, SQUARES
from frostline.tasks.base import Task
from frostline.words import one_line

OPSET = 20  # stated, so that another version of torch writes the same operations
MOST = 2_000_000_000  # bytes, that one file of ONNX can hold


def write_onnx(task: Task, info: ModelInfo, file: Path) -> None:
    """Write the network of a task, with its description.

    Raises FrostlineError where it cannot be exported, or the libraries that do it are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter loads it
    except ImportError as error:
        raise FrostlineError(
            f"To write ONNX, {error.name} is needed, which is not installed: pip install 'frostline[export]'."
        ) from error
    whole = Whole(task, info.preprocessing.size).eval()
    if sum(weight.nbytes for weight in whole.state_dict().values()) > MOST:
        raise FrostlineError("A model of more than 2 GB does not fit into one file of ONNX.")
    with quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                whole,
                (whole.example(),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[SQUARES],
                output_names=whole.outputs(),
                dynamic_shapes={SQUARES: {0: "batch"}},
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # whatever of a model, its head or the exporter does not fit
            raise FrostlineError(
                f"{info.name} cannot be exported by torch.onnx: {one_line(str(error.__cause__ or error))[:300]}. "
                "Predict from the run, or its model folder."
            ) from error
    model = program.model_proto
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


@contextmanager
def quiet() -> Iterator[None]:
    """Within, what exporters settle by themselves, and tell, is nothing for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
