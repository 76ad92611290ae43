"""How often each class is annotated in a split, and in which scenes: by that classes are weighed, and scenes drawn."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Occurrences(NamedTuple):
    """One row for each class that a scene holds.

    scenes, classes: (n,) int64, position in the split and class number. counts: (n,) int64, how many of it are there:
    1 of a label, boxes, or known pixels of the square.
    """

    scenes: Tensor
    classes: Tensor
    counts: Tensor

    @classmethod
    def of(cls, annotated: Iterable[Tensor]) -> Self:
        """annotated: class numbers (m,) of all that is annotated of each scene, in the order of the split."""
        rows = [cls._of_one(position, numbers) for position, numbers in enumerate(annotated)]
        empty = torch.zeros(3, 0, dtype=torch.long)
        return cls(*torch.cat([empty, *rows], 1))

    @staticmethod
    def _of_one(position: int, numbers: Tensor) -> Tensor:
        kinds, counts = numbers.long().unique(return_counts=True)
        return torch.stack([torch.full_like(kinds, position), kinds, counts])

    def by_class(self, classes: int) -> Tensor:
        """How many there are of each class (C,) int64."""
        return torch.zeros(classes, dtype=torch.long).index_add_(0, self.classes, self.counts)

    def balance(self, scenes: int) -> Tensor:
        """How much more often one scene is to be drawn than another (scenes,) float64, so that rare classes come up.

        That is 1 over the number of scenes that have its rarest class (with classes as labels, each class is then
        drawn as often as any other). For scenes with several classes, the largest rules, as in repeat factor sampling
        (Gupta et al. 2019, arXiv:1908.03195, without its root and threshold). One without any counts as the commonest.
        """
        if not len(self.classes):
            return torch.ones(scenes, dtype=torch.float64)
        holding = torch.bincount(self.classes)
        rarity = 1 / holding[self.classes].double()
        weights = torch.zeros(scenes, dtype=torch.float64).scatter_reduce_(0, self.scenes, rarity, "amax")
        return torch.where(weights > 0, weights, rarity.min())
