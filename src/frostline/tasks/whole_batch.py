"""What a layer computes of a whole batch, where several processes have a share of it each: statistics, and draws.

torch's own SyncBatchNorm computes on GPUs alone, and put in a network's place of a batch norm it loses what the
network's own class does besides (timm's applies the activation, too). So the layers stay what they are, and the
functions of torch's that they call look at the whole batch.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, distributed
from torch.nn.modules._functions import SyncBatchNorm
from torch.overrides import TorchFunctionMode

from frostline.shares import rank_of_world

DROPS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)


class WholeBatch(TorchFunctionMode):
    """Within, batch norms have the statistics of all shares, and dropout and drop path drop of a share what they would
    drop of the batch, all processes being seeded alike.

    scenes: of all shares. sync_batchnorm: false leaves each process the statistics of its own share.
    Layers that see other than one row a scene draw for their own share.
    """

    def __init__(self, scenes: int, sync_batchnorm: bool) -> None:
        super().__init__()
        self.rank, self.world_size = rank_of_world()
        self.scenes, self.sync_batchnorm = scenes, sync_batchnorm
        self.own = len(range(self.rank, scenes, self.world_size))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm and self.sync_batchnorm:
            return batch_norm(*args, **kwargs)
        if function in DROPS and len(args[0]) == self.own:
            return self._dropped(function, *args, **kwargs)
        if function is Tensor.bernoulli_ and args[0].dim() and len(args[0]) == self.own:
            return args[0].copy_(self._own(self._like(args[0]).bernoulli_(*args[1:], **kwargs)))
        return function(*args, **kwargs)

    def _dropped(
        self,
        function: Callable[..., Tensor],
        values: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training:
            return function(values, p, training, inplace)
        return values * self._own(function(self._like(values).fill_(1.0), p))

    def _like(self, values: Tensor) -> Tensor:
        """As the whole batch would lie, since draws go by the order in memory."""
        whole = values.new_empty(self.scenes, *values.shape[1:])
        return whole.to(memory_format=_layout(values))

    def _own(self, whole: Tensor) -> Tensor:
        return whole[self.rank :: self.world_size]


def batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As torch's, of all processes' values (B, C, ...), where each may have another B."""
    if not training:
        return F.batch_norm(values, running_mean, running_var, weight, bias, training, momentum, eps)
    # torch's own batch norms go on with all of a batch's statistics. On GPUs it has them synchronised; elsewhere we do.
    if values.is_cuda:
        group, world = distributed.group.WORLD, distributed.get_world_size()
        normed = SyncBatchNorm.apply(values, weight, bias, running_mean, running_var, eps, momentum, group, world)
    else:
        normed = _BatchNorm.apply(values, running_mean, running_var, weight, bias, momentum, eps)
    return cast(Tensor, normed)


class _BatchNorm(torch.autograd.Function):
    """Forwards by torch's kernel of evaluation, which takes the statistics that it is given; backwards by the formula
    of Ioffe and Szegedy, https://arxiv.org/abs/1502.03167, section 3, with sums of the whole batch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        count, mean, variance = _statistics(values)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
        ctx.save_for_backward(values, weight, mean, variance)
        ctx.count, ctx.eps = count, eps
        return torch.native_batch_norm(values, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        values, weight, mean, variance = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_layout(values))
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, values, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        of_values = None
        if ctx.needs_input_grad[0]:
            total = _gathered(torch.stack([of_weight, of_bias]).to(mean.dtype)).sum(0)
            deviation = (variance + ctx.eps).rsqrt()
            scale = deviation if weight is None else weight * deviation
            slope = scale * deviation * total[0] / ctx.count
            shift = slope * mean - scale * total[1] / ctx.count
            shape = [1, -1, *[1] * (values.dim() - 2)]
            scale, slope, shift = (each.view(shape) for each in (scale, slope, shift))  # no less than single precision
            of_values = torch.addcmul(shift, values, slope, value=-1).addcmul_(gradient, scale).to(values.dtype)
        return (
            of_values,
            None,
            None,
            None if weight is None else of_weight.to(weight.dtype),
            None if weight is None else of_bias.to(weight.dtype),
            None,
            None,
        )


def _layout(values: Tensor) -> torch.memory_format:
    """How values lie, of the two ways that kernels are made for."""
    last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _statistics(values: Tensor) -> tuple[int, Tensor, Tensor]:
    """Of all processes' values: how many of each channel, their mean and variance (C,)."""
    wide = torch.promote_types(values.dtype, torch.float32)
    own = values.new_empty(2 * values.shape[1] + 1, dtype=wide)
    own[-1] = values.numel() // values.shape[1]
    # It is given something to update, by nothing, as else it rounds what it finds of sixteen bits to as many.
    unchanged = own.new_zeros(2, values.shape[1])
    own[:-1] = torch.cat(torch.batch_norm_update_stats(values, unchanged[0], unchanged[1], 0.0))
    each = _gathered(own)
    counts, means, variances = each[:, -1:], *each[:, :-1].chunk(2, 1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return int(count), mean, variance


def _gathered(own: Tensor) -> Tensor:
    """Of all processes: (processes, *own.shape). For few numbers gloo does so in a third of an `all_reduce`'s time."""
    processes = distributed.get_world_size()
    each = own.new_empty(processes * own.numel())  # gloo takes no stacked form
    distributed.all_gather_into_tensor(each, own.flatten())
    return each.view(processes, *own.shape)
