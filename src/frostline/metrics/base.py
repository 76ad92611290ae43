"""One more metric of a run, chosen in conf/metric/."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from torchmetrics import Metric


class ExtraMetric(Metric):
    """A metric over a split, beside those that its task has. One file with such a class and one in conf/metric/ add it.

    States are added by `add_state`, so that it is the same for any batch size and number of ranks.
    meaning: what it says, in words, for reports.
    """

    is_differentiable = False
    full_state_update = False
    meaning: ClassVar[str]

    def update(self, predictions: Sequence[Any], batch: Mapping[str, Any]) -> None:
        """Count in what was predicted for a batch (one of tasks/predictions.py a scene), with what was annotated."""
        raise NotImplementedError

    def compute(self) -> Tensor:
        """One number for the whole split; -1 where there was nothing to be found."""
        raise NotImplementedError
