"""Which scenes come in which order, in which view, to which process."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.data import Sampler

from frostline.errors import FrostlineError
from frostline.loading.batch import Keys
from frostline.loading.items import mixed_seed

AGAIN = 1 << 32  # between the views of a scene that comes several times in an epoch: no run has as many epochs


def whole_batches(keys: Keys, batch_size: int) -> list[Keys]:
    """Batches of keys in their order; one key that would be left over goes with the last batch.

    A batch of one takes other kernels than any larger one, which give other last bits: without it, what a model says
    of a picture does not depend on the size of the batches.
    """
    starts = list(range(0, len(keys), batch_size))
    if len(starts) > 1 and len(keys) - starts[-1] == 1 < batch_size:
        starts.pop()
    return [keys[start:end] for start, end in pairwise([*starts, len(keys)])]


def shown(count: int, batch_size: int, world_size: int = 1) -> int:
    """How many of `count` scenes each process shows in an epoch of training, see `ViewSampler`."""
    each = count // world_size
    return each - 1 if each > 1 and batch_size > 1 and each % batch_size == 1 else each


class ViewSampler(Sampler[tuple[int, int]]):
    """Pairs (position, view) in an order that is a pure function of (seed, epoch).

    views: how many views there are, in turn; None for a new one in each epoch.
    The view travels with the position, so that workers that live on between epochs cannot keep an old one.
    Every process gets equally many pairs, else the faster would wait for ever: of `count` scenes those at the end of
    the epoch's order that do not divide are left out, others in each epoch. So is one more per process where it would
    make a last batch of one, over which batch normalisation is not defined.
    weights: (count,), how much more often one scene comes than another; None: each comes once. An epoch has as many
    pairs as ever. Without a fixed number of views, a scene that comes again within an epoch does so in a new one.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        views: int | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.count, self.seed, self.views, self.rank, self.world_size = count, seed, views, rank, world_size
        self.weights = weights
        self.epoch = 0
        each = shown(count, batch_size, world_size)
        if each == 0 or (each == 1 and batch_size > 1):
            raise FrostlineError(
                f"the train split has {count} usable scene(s) for {world_size} process(es), too few for a batch "
                f"of two in each: use fewer processes or add pictures."
            )
        self.each = each

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        if self.weights is None:
            order = torch.randperm(self.count, generator=generator).tolist()
        else:
            order = drawn(self.weights, generator).tolist()
        again = Counter[int]()
        keys = []
        for position in order:
            keys.append((position, self.epoch % self.views if self.views else self.epoch + AGAIN * again[position]))
            again[position] += 1
        return iter(keys[self.rank :: self.world_size][: self.each])


def drawn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many positions as there are weights (n,), in random order: each as often as its share of their sum says.

    By systematic sampling (Madow and Madow 1944, doi:10.1214/aoms/1177731312): its share times n is rounded up or down
    at random, so that little is left to luck, as it is where each is drawn alone; nor how many come of those that weigh
    the same, as they lie together, in random order.
    """
    count = len(weights)
    order = torch.randperm(count, generator=generator)
    order = order[weights[order].argsort(stable=True)]
    ends = weights.double()[order].cumsum(0)
    marks = (torch.arange(count) + torch.rand((), generator=generator, dtype=torch.float64)) * (ends[-1] / count)
    chosen = order[torch.searchsorted(ends, marks, right=True).clamp(max=count - 1)]
    return chosen[torch.randperm(count, generator=generator)]
