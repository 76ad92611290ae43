"""What processes that train one run compute together: each has its share of every batch.

Shares differ in size, and what a loss is divided by (pictures, boxes, pixels) differs from share to share. So all of
them divide by the same, and what comes out is the loss of the whole batch, as one process has it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed

_T = TypeVar("_T")
_SHARED: ContextVar[bool] = ContextVar("_SHARED", default=False)


def rank_of_world() -> tuple[int, int]:
    """The rank of this process, and how many there are, once they have met."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def told_by_first(value: _T) -> _T:
    """What the first process gives here, in every process."""
    if rank_of_world()[1] == 1:
        return value
    values: list[Any] = [value]
    distributed.broadcast_object_list(values)
    return cast(_T, values[0])


def told_by_all(value: _T) -> list[_T]:
    """What each process gives here, by rank, in every process."""
    count = rank_of_world()[1]
    if count == 1:
        return [value]
    values: list[Any] = [None] * count
    distributed.all_gather_object(values, value)
    return values


def whole(values: Tensor) -> Tensor:
    """All of a tensor of which each process holds a part (FSDP), in every process; any other tensor as it is.

    The parts are gathered, so all processes must call this in the same order.
    """
    gather = getattr(values, "full_tensor", None)
    return values if gather is None else cast(Tensor, gather())


@contextmanager
def sharing_a_batch() -> Iterator[None]:
    """Within, `divisor` and `summed` are of all processes' shares, so all of them must call these in the same order.

    Not in an evaluation, where each process has batches of its own, and one may have more of them than another.
    """
    before = _SHARED.set(rank_of_world()[1] > 1)
    try:
        yield
    finally:
        _SHARED.reset(before)


def divisor(count: Tensor | float, like: Tensor, least: float = 1.0) -> Any:
    """What the sum of a loss over `count` parts is divided by, so that it is the mean over the parts.

    Where processes share a batch, that is the number of parts of all of them, but at least `least`, over the number of
    processes: DDP's mean over processes is then the mean over all parts. like: a tensor where the loss is computed.
    """
    if not _SHARED.get():
        return count.clamp(min=least) if isinstance(count, Tensor) else max(least, count)
    total = torch.as_tensor(count, dtype=like.dtype, device=like.device).detach().clone()
    distributed.all_reduce(total)
    return total.clamp(min=least) / distributed.get_world_size()


def part(mean: Tensor, count: int) -> Tensor:
    """A mean loss over the `count` parts that this process has, as its part of the mean over all."""
    return mean * (count / divisor(count, mean)) if _SHARED.get() else mean


def summed(values: Tensor) -> Tensor:
    """Summed over the processes that share a batch."""
    return cast(Tensor, _Sum.apply(values)) if _SHARED.get() else values


class _Sum(torch.autograd.Function):
    """The loss of every process depends on the sum: so their gradients are summed, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total
