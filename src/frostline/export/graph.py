"""The network of a model as torch's exporters take it: squares in, what `predict.answers` reads out."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from frostline.errors import FrostlineError
from frostline.models.folding import folded
from frostline.models.heads.detection.torchvision import FasterRcnnHead
from frostline.models.heads.detection.windows import FullyConvolutionalHead, SlidingWindowHead
from frostline.tasks.base import Task
from frostline.tasks.segmentation import Segmentation


class Whole(nn.Module):
    """Squares (B, S, S, 3) uint8, RGB -> named tensors, batch first; scaling and normalisation are inside.

    Batch norms are folded. Raises FrostlineError for a network that cannot be a graph.
    """

    def __init__(self, task: Task, size: int) -> None:
        super().__init__()
        _check(task)
        task = deepcopy(task)
        if type(task.model.head) is SlidingWindowHead:
            # One by one, windows are so many steps as the batch has pictures; as convolutions they are the same.
            task.model.head.__class__ = FullyConvolutionalHead
        self.task, self.size = folded(task).network, size

    def forward(self, squares: Tensor) -> dict[str, Tensor]:
        return self.task.raw(self.task(squares.permute(0, 3, 1, 2)))

    def example(self) -> Tensor:
        """A batch to be exported with: two pictures, as of one the size of the batch could be taken for granted."""
        return torch.zeros(2, self.size, self.size, 3, dtype=torch.uint8)

    @torch.no_grad()
    def outputs(self) -> list[str]:
        """Names of what it gives, in their order."""
        return list(self(self.example()))


def _check(task: Task) -> None:
    if isinstance(task.model.head, FasterRcnnHead):
        raise FrostlineError(
            "A faster_rcnn cannot be exported: its second stage looks at as many boxes as the first one leaves of each "
            "picture, which a graph for batches of any size cannot hold. Predict from the run or its model folder, or "
            "train head=fcos or yolo."
        )
    if isinstance(task, Segmentation) and task.window is not None:
        raise FrostlineError(
            f"A segmentation with task.window={task.window} cannot be exported: it runs the network once for each "
            "window, and a file holds it once. Predict from the run or its model folder."
        )
