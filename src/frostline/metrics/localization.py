"""How well one box a scene is placed."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchvision.ops import box_iou

from frostline.metrics.detection import MATCH

ONE = 1 << 32  # an IoU of 1: sums of whole numbers are the same in any order, and every accelerator has them
BLOCK = 256


def overlaps(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (n,) of boxes (n, 4) x0 y0 x1 y1, each with the true one."""
    # torchvision holds every box against every other, which of a whole split at once would be gigabytes.
    parts = zip(found.split(BLOCK), truth.split(BLOCK), strict=True)
    return torch.cat([box_iou(some, real).diagonal() for some, real in parts])


class BoxScores(Metric):
    """Scores of boxes over a split; the same for any batch size and number of ranks.

    iou: the mean of intersection over union. iou50: the share that reaches an IoU of 0.5; iou50_and_class: and whose
    class is right. -1 where there is no box at all.
    """

    is_differentiable = False
    full_state_update = False
    names = ("iou", "iou50", "iou50_and_class")
    sums: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, found: Tensor, truth: Tensor, right: Tensor) -> None:
        """Count in boxes (n, 4) x0 y0 x1 y1, each against the true one; right: (n,), whether it has the right class."""
        # Not every accelerator has float64. A box that is no number covers nothing.
        iou = overlaps(found, truth).cpu().double().nan_to_num(0)
        reached = iou >= MATCH
        shares = torch.stack([iou, reached, reached & right.cpu()])
        self.sums = self.sums + (shares * ONE).round().long().sum(1).to(self.sums)
        self.count = self.count + len(truth)

    def compute(self) -> dict[str, Tensor]:
        count = int(self.count)
        shares = self.sums.cpu().double() / ONE / count if count else torch.full((3,), -1.0)
        return dict(zip(self.names, shares.float(), strict=True))
