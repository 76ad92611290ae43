"""A network in eight bits: several times as fast on a CPU, and not the same; so what it loses is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.errors import FrostlineError
from frostline.export.onnx import quiet
from frostline.pictures.preprocessing import Picture, Pixels
from frostline.predict.info import ModelInfo
from frostline.predict.model import BATCH, Model
from frostline.predict.onnx import KEY, SQUARES
from frostline.runs.evaluate import evaluate, resampled
from frostline.scenes.dataset import Dataset
from frostline.statistics.student import Interval
from frostline.words import decimal, one_line

# Operations of eight bits; others would have to go back and forth, or, as softmax, need their digits.
OPERATIONS = ["Conv", "MatMul", "Gemm", "Add", "Concat", "Resize", "MaxPool", "AveragePool", "Relu", "Clip"]
WEIGHED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True)
class Loss:
    """What a metric of the validation split was before and is after. apart: the interval of the difference, after minus
    before, over pictures; None below 100 of them."""

    metric: str
    before: float
    after: float
    apart: Interval | None
    pictures: int

    def __str__(self) -> str:
        between = (
            "" if self.apart is None else f" (95 % over pictures: {self.apart.low:+.4f} to {self.apart.high:+.4f})"
        )
        return (
            f"{self.metric} on {self.pictures} pictures of the validation split: {decimal(self.after)} in int8, "
            f"{decimal(self.before)} before, a difference of {self.after - self.before:+.4f}{between}"
        )

    def to_json(self) -> dict[str, Any]:
        between = None if self.apart is None else [self.apart.low, self.apart.high]
        told = {"metric": self.metric, "split": "val", "pictures": self.pictures}
        return told | {"before": self.before, "after": self.after, "difference_interval": between}


def write_int8(source: Path, model: Model, pictures: Sequence[Picture], file: Path) -> None:
    """Write an exported file in eight bits: static, a scale for each channel of the weights and each activation.

    The first layer and the last ones stay as they are, and what comes after them: there rounding costs most, and saves
    least. model: of `source`. pictures: of the training split, whose activations the scales are made for. Raises
    FrostlineError where onnxruntime cannot do it.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(file),
                _Calibration(model, pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=OPERATIONS,
                nodes_to_exclude=_outer(prepared),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,  # with both signed it is half as fast, with neither a tenth
            )
        except Exception as error:  # whatever of a network's operations it does not know
            raise FrostlineError(
                f"{model.name} cannot be quantized by onnxruntime ({one_line(str(error))[:200]}): export it without."
            ) from error


def describe(file: Path, info: ModelInfo, loss: Loss | None = None) -> None:
    """Put the description into a file, with what int8 lost as far as it is known."""
    import onnx

    model = onnx.load(str(file))
    told = {} if loss is None else loss.to_json()
    onnx.helper.set_model_props(model, {KEY: replace(info, origin={**info.origin, "int8": told}).to_json()})
    onnx.save(model, str(file))


def lost(before: Model, after: Model, dataset: Dataset) -> Loss:
    """The primary metric of both on the validation split, and the interval of its difference: the same pictures in the
    same resamples."""
    tasks = [evaluate(model, dataset, "val").task for model in (before, after)]
    was, now = map(resampled, tasks)
    return Loss(tasks[0].primary, was.value, now.value, now.minus(was).interval(), was.pictures)


class _Calibration:
    """Batches of squares, as onnxruntime asks for them: again from the first after `rewind`."""

    def __init__(self, model: Model, pictures: Sequence[Picture]) -> None:
        self.model, self.pictures = model, pictures
        self.rewind()

    def rewind(self) -> None:
        self._batches = self._made()

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._batches, None)

    def _made(self) -> Iterator[dict[str, Pixels]]:
        seen = self.model.info.preprocessing.seen
        for first in range(0, len(self.pictures), BATCH):
            some = self.pictures[first : first + BATCH]
            yield {SQUARES: np.stack([seen(picture, "A training picture")[0] for picture in some])}


def _outer(file: Path) -> list[str]:
    """Names of the nodes of a graph that have no layer with weights before them, or none after."""
    import onnx

    nodes = list(onnx.load(str(file)).graph.node)
    follows = _marked([(node.op_type in WEIGHED, node.input, node.output) for node in nodes])
    leads = _marked([(node.op_type in WEIGHED, node.output, node.input) for node in reversed(nodes)])[::-1]
    return [node.name for node, one, other in zip(nodes, follows, leads, strict=True) if not (one and other)]


def _marked(nodes: Sequence[tuple[bool, Sequence[str], Sequence[str]]]) -> list[bool]:
    """Of nodes in the order of a graph, each whether it has weights, what it reads and what it gives: whether one with
    weights comes before it."""
    behind: set[str] = set()  # what some node with weights leads to
    marks = []
    for weighed, reads, gives in nodes:
        marks.append(not behind.isdisjoint(reads))
        if weighed or marks[-1]:
            behind.update(gives)
    return marks
