"""How a network's weights lie in memory."""

from itertools import chain

import torch
from torch import nn


def channels_last(network: nn.Module) -> None:
    """Lay weights out as pictures come, channel by channel within a pixel: much faster on CPUs, and on GPUs with mixed
    precision. Only those of four dimensions, as `nn.Module.to` refuses a network that has others of five."""
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
