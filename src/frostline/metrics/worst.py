"""Which scenes of a split were predicted worst."""

from collections.abc import Sequence

import torch
from torch import Tensor

from frostline.metrics.base import RowMetric


class WorstScenes(RowMetric):
    """Keeps two numbers a scene; the same order for any batch size and number of ranks.

    compute(): index of each scene that has a mistake within its split, the worst first; where two are as bad, in the
    order of the split. A list, as torchmetrics makes a bare number of a tensor with one element.
    """

    columns = {"places": torch.zeros(0, dtype=torch.long), "amounts": torch.zeros(0)}

    def update(self, places: Tensor, amounts: Sequence[float]) -> None:
        """places: (B,), where each scene stands in its split. amounts: of what is wrong there; 0 is nothing."""
        self.keep(places=places, amounts=torch.tensor(amounts))

    def compute(self) -> list[int]:
        places, order = self.column("places").sort()
        amounts = self.column("amounts")[order]
        worst = amounts.argsort(descending=True, stable=True)
        found: list[int] = places[worst][amounts[worst] > 0].tolist()
        return found
