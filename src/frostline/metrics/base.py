"""What metrics over a whole split are made of: rows of it, and one more metric of a run, chosen in conf/metric/."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMetric(Metric):
    """Keeps rows of a whole split, in columns; under several processes, those of all.

    columns: for each, a tensor without rows, as it is where nothing is kept.
    """

    is_differentiable = False
    full_state_update = False
    columns: ClassVar[Mapping[str, Tensor]]

    def __init__(self) -> None:
        super().__init__()
        for name in self.columns:
            self.add_state(name, [], dist_reduce_fx="cat")

    def keep(self, **rows: Tensor) -> None:
        """Further rows of each column."""
        for name, values in rows.items():
            getattr(self, name).append(values.detach().to(self._empty(name)))

    def column(self, name: str) -> Tensor:
        kept = getattr(self, name)
        # It is a tensor after a synchronisation.
        return kept if isinstance(kept, Tensor) else torch.cat([self._empty(name), *kept])

    def _empty(self, name: str) -> Tensor:
        empty = self.columns[name]
        lacks_float64 = self.device.type == "mps" and empty.is_floating_point()
        return empty.to(self.device, torch.float32 if lacks_float64 else empty.dtype)

    def _sync_dist(self, *args: Any, **kwargs: Any) -> None:
        for name in self.columns:
            if not getattr(self, name):  # a rank without a scene must still take part
                self.keep(**{name: self._empty(name)})
        super()._sync_dist(*args, **kwargs)


class ExtraMetric(Metric):
    """A metric over a split, beside those that its task has. One file with such a class and one in conf/metric/ add it.

    States are added by `add_state`, so that it is the same for any batch size and number of ranks.
    meaning: what it says, in words, for reports.
    """

    is_differentiable = False
    full_state_update = False
    meaning: ClassVar[str]

    def update(self, predictions: Sequence[Any], batch: Mapping[str, Any]) -> None:
        """Count in what was predicted for a batch (one of predict/kinds.py a scene, of numpy
        arrays), with what was annotated."""
        raise NotImplementedError

    def compute(self) -> Tensor:
        """One number for the whole split; -1 where there was nothing to be found."""
        raise NotImplementedError
