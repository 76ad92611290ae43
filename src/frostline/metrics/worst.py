"""Which scenes of a split were predicted worst."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric

_STATES = {"places": torch.long, "amounts": torch.float32}


class WorstScenes(Metric):
    """Keeps two numbers a scene; the same order for any batch size and number of ranks.

    compute(): index of each scene that has a mistake within its split, the worst first; where two are as bad, in the
    order of the split. A list, as torchmetrics makes a bare number of a tensor with one element.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in _STATES:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, places: Tensor, amounts: Sequence[float]) -> None:
        """places: (B,), where each scene stands in its split. amounts: of what is wrong there; 0 is nothing."""
        cast(list[Tensor], self.places).append(places.to(self.device, torch.long))
        cast(list[Tensor], self.amounts).append(torch.tensor(amounts, dtype=torch.float32, device=self.device))

    def compute(self) -> list[int]:
        places, amounts = (self._joined(name) for name in _STATES)
        places, order = places.sort()
        amounts = amounts[order]
        worst = amounts.argsort(descending=True, stable=True)
        found: list[int] = places[worst][amounts[worst] > 0].tolist()
        return found

    def _joined(self, name: str) -> Tensor:
        kept = getattr(self, name)
        if isinstance(kept, Tensor):  # after a synchronisation
            return kept
        return torch.cat(kept) if kept else torch.zeros(0, dtype=_STATES[name], device=self.device)

    def _sync_dist(self, *args: Any, **kwargs: Any) -> None:
        for name in _STATES:
            if not getattr(self, name):  # a rank without a scene must still take part
                getattr(self, name).append(self._joined(name))
        super()._sync_dist(*args, **kwargs)
