"""What a layer computes of a whole batch, where several processes have a share of it each: statistics, and draws.

torch's own SyncBatchNorm computes on GPUs alone, and put in a network's place of a batch norm it loses what the
network's own class does besides (timm's applies the activation, too). So the layers stay what they are, and the
functions of torch's that they call look at the whole batch.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from frostline.shares import rank_of_world, summed

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
        flat = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
        return whole.to(memory_format=torch.channels_last) if flat else whole

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
    others = [0, *range(2, values.dim())]
    shape = [1, -1, *[1] * (values.dim() - 2)]
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    count = summed(wide.new_tensor(values.numel() // values.shape[1]))
    mean = summed(wide.sum(others)) / count
    centred = wide - mean.view(shape)
    variance = summed(centred.square().sum(others)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    normed = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        normed = normed * weight.view(shape)
    if bias is not None:
        normed = normed + bias.view(shape)
    return normed.to(values.dtype)
