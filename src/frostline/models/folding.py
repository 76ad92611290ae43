"""Batch norms folded into the convolutions before them: the same network in evaluation, with less to compute."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar, cast

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from frostline.models.layout import channels_last

Network = TypeVar("Network", bound=nn.Module)
LEAVES = (_BatchNorm, _ConvNd)  # timm's own, too, which torch.fx would look into


class Folded(NamedTuple, Generic[Network]):
    """A network in evaluation mode. left: names of the batch norms that could not be folded."""

    network: Network
    left: list[str]


def folded(network: Network) -> Folded[Network]:
    """A copy of a network, for evaluation alone, whose batch norms are folded into the convolutions before them.

    A norm is folded where it alone reads what a convolution gives, and both run once in a pass. Left are those behind
    something else, such as a sum, those that look at each batch, and those in a module that torch.fx cannot follow.
    """
    network = deepcopy(network).eval().requires_grad_(False)
    alone = _alone(network)
    for before, after in list(_pairs(network)):
        convolution, norm = network.get_submodule(before), cast(_BatchNorm, network.get_submodule(after))
        if convolution in alone and norm in alone and norm.running_mean is not None:
            transposed = isinstance(convolution, _ConvTransposeNd)
            network.set_submodule(before, fuse_conv_bn_eval(cast(Any, convolution), norm, transposed))
            # timm's norms drop and activate as well, torch's own have nothing inside.
            network.set_submodule(after, nn.Sequential(*norm.children()))
    left = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    channels_last(network)
    return Folded(network, left)


def folds(network: nn.Module) -> bool:
    """Whether there is any batch norm to fold."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def _pairs(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names of convolutions, each with the norm that alone reads it, as found by following what a module does; where
    it cannot be followed, or does not reach, in each of its children by itself."""
    try:
        graph = _Tracer().trace(module)
    except Exception:  # whatever a module does that depends on its input
        called: list[fx.Node] = []
    else:
        called = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(str(node.target) for node in called)
    for node in called:
        if not isinstance(module.get_submodule(str(node.target)), _BatchNorm):
            continue
        before = node.all_input_nodes[0]
        if (
            before.op == "call_module"
            and len(before.users) == 1
            and _takes_a_norm(module.get_submodule(str(before.target)))
            and times[str(node.target)] == times[str(before.target)] == 1
        ):
            yield prefix + str(before.target), prefix + str(node.target)
    for name, part in _unreached(module, set(times)):
        yield from _pairs(part, f"{prefix}{name}.")


def _unreached(module: nn.Module, called: set[str], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The largest modules within one that were not called, nor any within them."""
    for name, part in module.named_children():
        path = prefix + name
        if any(one.startswith(f"{path}.") for one in called):
            yield from _unreached(part, called, f"{path}.")
        elif path not in called and list(part.children()):
            yield path, part


def _takes_a_norm(module: nn.Module) -> bool:
    """Whether it is a convolution that torch folds a norm into; transposed ones in groups it would mix up."""
    return isinstance(module, _ConvNd) and not (isinstance(module, _ConvTransposeNd) and module.groups > 1)


def _alone(network: nn.Module) -> set[nn.Module]:
    """Convolutions and norms that stand in one place, and share their weights with nothing else."""
    places = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    owners = Counter(id(weight) for module in places for weight in module._parameters.values())
    return {
        module
        for module, many in places.items()
        if isinstance(module, LEAVES)
        and many == 1
        and all(owners[id(weight)] == 1 for weight in module._parameters.values() if weight is not None)
    }
