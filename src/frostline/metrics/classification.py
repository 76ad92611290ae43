"""How precise each class is at each recall, one class against the rest."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchmetrics.classification import MulticlassPrecisionRecallCurve

# Evenly spaced in log-odds: what sure models say lies close to 0 and 1, where an even grid would see one point.
THRESHOLDS = torch.linspace(-20, 16, 481).sigmoid()


class PrecisionRecall(MulticlassPrecisionRecallCurve):
    """Precision against recall over a split, at THRESHOLDS; takes probabilities (B, C) and labels (B,).

    Its memory does not grow with the split. compute() gives:
    curve: (classes, thresholds + 1, 2), recall and precision from the lowest threshold to the highest and then 0 and 1,
    as scikit-learn has it; precision is 1 where nothing is predicted, and all is NaN for a class that is in no scene.
    ap_by_class: (classes,), the sum of precision over the steps of recall (average precision, scikit-learn's), -1 for
    such a class.
    """

    names = ()  # of what is one number

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(classes, thresholds=THRESHOLDS, **kwargs)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        precision, recall = cast(tuple[Tensor, Tensor], super().compute()[:2])
        counts = self.confmat  # (thresholds, classes, truth, prediction)
        predicted = pad(counts[:, :, :, 1].sum(2).T, (0, 1))
        precision = torch.where(predicted > 0, precision, 1.0)
        occurs = counts[0, :, 1].sum(1) > 0
        area = ((recall[:, :-1] - recall[:, 1:]) * precision[:, :-1]).sum(1)
        curve = torch.stack([recall, precision], 2)
        return {
            "curve": torch.where(occurs[:, None, None], curve, torch.nan),
            "ap_by_class": torch.where(occurs, area, -1.0),
        }
