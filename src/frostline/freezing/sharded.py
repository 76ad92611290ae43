"""A network whose parameters are spread over the processes of a run: each keeps a part of every one (FSDP).

A block's parameters are gathered before it computes, and let go of afterwards, so that of the whole network a process
never has more than its parts and one block.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from frostline.errors import FrostlineError
from frostline.freezing.frosted import Frosted


def shard(model: Frosted, mesh: DeviceMesh) -> None:
    """Let each process of the mesh keep its part of every parameter; once, for good.

    What the schedule freezes and thaws are the parts from here on. Raises FrostlineError where a parameter has none.
    """
    if isinstance(model, FSDPModule):
        return
    model.folds = False  # a copy of what lies below would be whole in every process
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        if parameter.dim() == 0:
            raise FrostlineError(
                f"{names[id(parameter)]} of {model.backbone.name} is a single number, which cannot be spread over "
                "processes: take trainer=ddp."
            )
        parameter.data = parameter.data.contiguous()  # where channels lie last, its rows do not lie together
    parts = {part: [names[id(each)] for each in parameters] for part, parameters in model.parts.items()}
    # Never left gathered after a pass, as what is frozen, kept or counted between two are the parts.
    for modules in model.groups.values():
        for block in (block for module in modules for block in blocks(module)):
            block.register_forward_hook(_no_view)
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # with what lies in no block, such as a class token
    for way in ("below", "above"):
        register_fsdp_forward_method(model, way)
    own = dict(model.named_parameters())
    model.parts = {part: [own[name] for name in members] for part, members in parts.items()}


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What is surely called as a whole, and has parameters: a plain sequence calls each of its members."""
    if type(module) is nn.Sequential:
        for member in module:
            yield from blocks(member)
    elif not isinstance(module, nn.ParameterDict) and any(True for _ in module.parameters()):
        yield module


def _no_view(block: nn.Module, inputs: object, output: object) -> object:
    """FSDP hangs on a block's output what gathers its parameters for the gradients. What is then changed in place, as
    by a ReLU, keeps that where it is a tensor of its own, and loses it where it is a view."""
    return output.clone() if isinstance(output, torch.Tensor) and output._is_view() else output


def bytes_here(tensors: Iterator[torch.Tensor]) -> int:
    """Of these tensors, how many this process itself holds."""
    held = (getattr(tensor, "to_local", lambda tensor=tensor: tensor)() for tensor in tensors)
    return sum(tensor.numel() * tensor.element_size() for tensor in held)
