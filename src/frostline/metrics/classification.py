"""How sure a model is of classes, over a split: precision against recall."""

import torch
from torch import Tensor
from torchmetrics import Metric

# Evenly spaced in log-odds: what sure models say lies close to 0 and 1, where an even grid would see one point.
THRESHOLDS = torch.linspace(-20, 16, 481).sigmoid()


class PrecisionRecall(Metric):
    """Precision against recall over a split, at THRESHOLDS; takes probabilities (B, C) and labels (B,).

    Kept is how many scenes of each class lie between two thresholds, so memory does not grow with the split, and a
    batch needs no more than its own size. (torchmetrics' curve has batch x classes x thresholds, and where torch is to
    be deterministic, as in a run, that times the cells counted: gigabytes.) compute() gives:
    curve: (classes, thresholds + 1, 2), recall and precision from the lowest threshold to the highest and then 0 and 1,
    as scikit-learn has it; precision is 1 where nothing is predicted, and all is NaN for a class that is in no scene.
    ap_by_class: (classes,), the sum of precision over the steps of recall (average precision, scikit-learn's), -1 for
    such a class.
    """

    is_differentiable = False
    full_state_update = False
    counts: Tensor
    names = ()  # of what is one number

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Between which thresholds (first: below all), of which class, no or yes.
        zeros = torch.zeros(len(THRESHOLDS) + 1, classes, 2, dtype=torch.long)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        bins, classes = len(THRESHOLDS) + 1, probabilities.shape[1]
        reached = torch.bucketize(probabilities, THRESHOLDS.to(probabilities), right=True)  # (B, C): how many of them
        kinds = torch.arange(classes, device=labels.device)
        cells = (reached * classes + kinds) * 2 + (labels[:, None] == kinds)
        self.counts += torch.bincount(cells.flatten(), minlength=2 * bins * classes).view(bins, classes, 2)

    def compute(self) -> dict[str, Tensor]:
        counts = self.counts.cpu()  # not every accelerator has float64
        # From the highest bin down: of the scenes at or above each threshold, (thresholds, C).
        wrong, right = counts.flip(0).cumsum(0).flip(0)[1:].double().unbind(2)
        total = counts[..., 1].sum(0)
        precision = torch.where(right + wrong > 0, right / (right + wrong).clamp(min=1), 1.0)
        recall = right / total.clamp(min=1)
        end = torch.zeros_like(recall[:1])
        recall, precision = torch.cat([recall, end]).T, torch.cat([precision, end + 1]).T
        area = ((recall[:, :-1] - recall[:, 1:]) * precision[:, :-1]).sum(1)
        curve, occurs = torch.stack([recall, precision], 2).float(), total > 0
        return {
            "curve": torch.where(occurs[:, None, None], curve, torch.nan),
            "ap_by_class": torch.where(occurs, area, -1.0).float(),
        }
