"""Which scenes come in which order, in which view, to which process."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise

import torch
from torch import Tensor
from torch.utils.data import Sampler

from frostline.errors import FrostlineError
from frostline.loading.batch import Keys
from frostline.loading.epochs import shown
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


class ViewSampler(Sampler[tuple[int, int]]):
    """Pairs (position, view) in an order that is a pure function of (seed, epoch).

    views: how many views there are, in turn; None for a new one in each epoch.
    The view travels with the position, so that workers that live on between epochs cannot keep an old one.
    One scene is left out, another one in each epoch, where it would make a last batch of one, over which batch
    normalisation is not defined.
    weights: (count,), how much more often one scene comes than another; None: each comes once. An epoch has as many
    pairs as ever. Without a fixed number of views, a scene that comes again within an epoch does so in a new one.
    """

    def __init__(
        self, count: int, seed: int, batch_size: int, views: int | None = None, weights: Tensor | None = None
    ) -> None:
        self.count, self.seed, self.views, self.weights = count, seed, views, weights
        self.epoch = 0
        self.each = shown(count, batch_size)
        if self.each == 0 or (self.each == 1 and batch_size > 1):
            raise FrostlineError(
                f"the train split has {count} usable scene(s), too few for a batch of two: add pictures."
            )

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
        return iter(keys[: self.each])


class SharedBatches(Sampler[Keys]):
    """The batches of a sampler, each cut into shares, of which this process has some.

    A batch is the same however many there are to share it: each of `world_size` processes takes one share of it, or,
    where it is too large for them at once, `parts` shares, one after the other. Shares differ by one scene at most. A
    last batch of fewer scenes than shares is left out.
    """

    def __init__(
        self, sampler: ViewSampler, batch_size: int, rank: int = 0, world_size: int = 1, parts: int = 1
    ) -> None:
        self.sampler, self.rank, self.world_size, self.parts = sampler, rank, world_size, parts
        shares = world_size * parts
        sizes = [min(batch_size, len(sampler) - start) for start in range(0, len(sampler), batch_size)]
        self._sizes = [size for size in sizes if size >= shares]
        if batch_size < shares or not self._sizes:
            raise FrostlineError(
                f"trainer.batch_size is {batch_size} and the train split has {sampler.count} usable scene(s), which "
                f"{world_size} process(es) share in {parts} part(s) each: that is less than a scene for each; use "
                "fewer of them."
            )

    def __len__(self) -> int:
        return len(self._sizes) * self.parts

    def __iter__(self) -> Iterator[Keys]:
        keys = iter(self.sampler)
        for size in self._sizes:
            batch = list(islice(keys, size))
            for part in range(self.parts):
                yield batch[part * self.world_size + self.rank :: self.world_size * self.parts]

    def scenes(self, number: int) -> int:
        """How many all processes together have in their batches of this number."""
        size, part = self._sizes[number // self.parts], number % self.parts
        shares = range(part * self.world_size, (part + 1) * self.world_size)
        return sum(len(range(share, size, self.world_size * self.parts)) for share in shares)


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
