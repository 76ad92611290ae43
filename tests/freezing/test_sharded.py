"""A network of which every process holds a part computes, and learns, as the whole one does."""

import copy
from functools import partial

import pytest
import torch
from helpers.tiny import Tiny, make_task
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh

from frostline.freezing.sharded import blocks, shard
from frostline.models.backbones import chain_of
from frostline.shares import whole


@pytest.fixture
def mesh():
    """Of this process alone, which gathers and lets go all the same."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def with_views():
    """Norms whose output is a view, each changed in place by what follows."""
    model = Tiny(3, "layer")
    for layer in [model.stem, *model.blocks]:
        layer[2] = nn.ReLU(inplace=True)
    return chain_of("tiny", model, with_embedding=True)


@pytest.mark.filterwarnings("error:FSDP2-wrapped module")
@pytest.mark.parametrize("norm", ["views", "batch", "group"])
def test_gradients_are_those_of_the_whole_network(norm, mesh):
    # The trap: a block's output that is a view loses FSDP's hook where it is changed in place, and the gradient is
    # computed with parameters that have been let go.
    options = {} if norm == "views" else {"norm": norm}
    backbone = with_views if norm == "views" else partial(chain_of, "tiny", Tiny(3, **options), with_embedding=True)
    task = make_task("full", 1, backbone=backbone)
    other, image = copy.deepcopy(task), torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shard(other.model, mesh)
    for each in (task, other):
        each.model(image).square().sum().backward()
    gradients = {name: whole(parameter.grad) for name, parameter in other.named_parameters()}
    for name, parameter in task.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)
        assert parameter.grad.abs().sum() > 0


def test_blocks_are_what_plain_sequences_call():
    inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Sequential(nn.Linear(3, 3)))

    class Own(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    own = Own(nn.Linear(3, 3), nn.Linear(3, 3))
    loose = nn.ParameterDict({"token": nn.Parameter(torch.zeros(3))})
    found = [block for module in (inner, own, loose) for block in blocks(module)]
    assert found == [inner[0], inner[2][0], own]
