"""A piece of a network as onnxruntime computes it: in evaluation, on processors, in single precision."""

import io
import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.words import one_line

OPSET = 20  # stated, so that another version of torch writes the same operations
TOLERANCE = 1e-4  # of the norm of what torch computes; rounding is a hundred times less, another network far more


class ByOnnxruntime(nn.Module):
    """Computes what a network does in evaluation, from one tensor (B, …) of floats to another, by onnxruntime.

    network: batch norms folded or not; it must not train meanwhile. A row is the same to the last bit in whatever batch
    it comes. Threads are as many as torch has when the first batch of a size comes.
    Raises FrostlineError where it cannot be exported, or where onnxruntime computes other values than torch does.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._sessions: dict[torch.Size, Any] = {}  # by the size of a row: nothing else may vary but their number

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] not in self._sessions:
            self._sessions[x.shape[1:]] = _session(self.network, x)
        return _run(self._sessions[x.shape[1:]], x)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_sessions": {}}  # they cannot be copied, and are made anew


def _session(network: nn.Module, batch: Tensor) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait take the time of torch's own, which compute what lies above.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is wrong is raised
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Noise, as a batch may be all black, and in another number of rows than what is exported: of a single row the
        # exporter takes their number for granted, and some networks do of any.
        dice = torch.Generator().manual_seed(0)  # of its own, so that a run's random stream stays as it is
        rows, others = (torch.rand(number, *batch.shape[1:], generator=dice) for number in (2, 3))
        graph = io.BytesIO()
        try:
            # The older of torch's two exporters: it takes half a second for what the newer one takes five.
            torch.onnx.export(
                network,
                (rows,),
                cast(Any, graph),
                dynamo=False,
                opset_version=OPSET,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
            )
            session = onnxruntime.InferenceSession(graph.getvalue(), options, providers=["CPUExecutionProvider"])
            found, expected = _run(session, others), network(others)
        except Exception as error:  # whatever of a network, the exporter or onnxruntime does not fit
            raise FrostlineError(f"{_CANNOT} ({one_line(str(error))[:200]}): set trainer.below=torch.") from error
    alike = found.shape == expected.shape and (found - expected).norm() <= TOLERANCE * expected.norm()
    if not alike:  # nor where one of them is no number
        raise FrostlineError(f"{_CANNOT} as torch does, but to other values: set trainer.below=torch.")
    return session


def _run(session: Any, x: Tensor) -> Tensor:
    return torch.from_numpy(session.run(None, {"x": x.contiguous().numpy()})[0])


_CANNOT = "What lies below the line cannot be computed by onnxruntime"
