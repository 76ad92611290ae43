"""How weights lie in memory."""

import torch
from torch import nn

from frostline.models.layout import channels_last


def test_a_network_with_weights_of_five_dimensions_is_laid_out_too():
    # Catches `nn.Module.to(memory_format=…)`, which refuses such a network (timm's lambda_resnet26t is one).
    network = nn.ModuleDict({"flat": nn.Conv2d(3, 4, 3), "deep": nn.Conv3d(3, 4, 3), "norm": nn.BatchNorm2d(4)})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    channels_last(network)
    assert network["flat"].weight.is_contiguous(memory_format=torch.channels_last)
    assert network["deep"].weight.is_contiguous()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
