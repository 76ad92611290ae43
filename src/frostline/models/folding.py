"""Batch norms folded into the convolutions before them: the same network, with less to compute.

In a copy for evaluation alone; or for a single pass, also one of training, where the norms keep their statistics.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar, cast

from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from frostline.models.layout import channels_last

Network = TypeVar("Network", bound=nn.Module)
LEAVES = (_BatchNorm, _ConvNd)  # timm's own, too, which torch.fx would look into
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Of those that compute by their weights as they are. Others standardise them first, which undoes what is folded in.
CONVOLVES = {kind.forward for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv2dSame, *TRANSPOSED)}
Pair = tuple[_ConvNd, _BatchNorm]  # the norm alone reads what the convolution gives


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
    for (before, after), (convolution, norm) in pairs(network).items():
        transposed = isinstance(convolution, TRANSPOSED)
        network.set_submodule(before, fuse_conv_bn_eval(cast(Any, convolution), norm, transposed))
        network.set_submodule(after, _rest(norm))
    left = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    channels_last(network)
    return Folded(network, left)


def folds(network: nn.Module) -> bool:
    """Whether there is any batch norm to fold."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def pairs(network: nn.Module) -> dict[tuple[str, str], Pair]:
    """The convolutions and norms that can be folded, by their names; as the network runs in the mode that it is in."""
    alone = _alone(network)
    found: dict[tuple[str, str], Pair] = {}
    for names in _pairs(network):
        convolution, norm = (cast(Any, network.get_submodule(name)) for name in names)
        if convolution in alone and norm in alone and norm.running_mean is not None:
            found[names] = convolution, norm
    return found


@contextmanager
def folded_in_passing(found: Iterable[Pair]) -> Iterator[None]:
    """Within it these convolutions, none of them transposed, compute what their norms do in evaluation mode as well.

    They take the weights as they are now, gradients reach those of both, and nothing of it stays on the modules:
    `gamma (W x + b - mean) / sqrt(variance + eps) + beta` is a convolution by `W gamma / sqrt(variance + eps)`, and to
    scale W takes less than to go over all pictures' maps.
    """
    found = list(found)
    try:
        for convolution, norm in found:
            # An attribute that is there hides the parameter of that name.
            convolution.__dict__["weight"], convolution.__dict__["bias"] = _scaled(convolution, norm)
            norm.__dict__["forward"] = _rest(norm)
        yield
    finally:
        for convolution, norm in found:
            for module, name in ((convolution, "weight"), (convolution, "bias"), (norm, "forward")):
                module.__dict__.pop(name, None)


def _scaled(convolution: _ConvNd, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    mean, scale = cast(Tensor, norm.running_mean), (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
    if norm.affine:
        scale = norm.weight * scale
    bias = -mean * scale if convolution.bias is None else (convolution.bias - mean) * scale
    if norm.affine:
        bias = bias + norm.bias
    return convolution.weight * scale.view(-1, *[1] * (convolution.weight.dim() - 1)), bias


def _rest(norm: _BatchNorm) -> nn.Sequential:
    """What is left of a norm that is folded: timm's drop and activate as well, torch's own have nothing inside."""
    return nn.Sequential(*norm.children())


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
    return type(module).forward in CONVOLVES and not (isinstance(module, TRANSPOSED) and cast(Any, module).groups > 1)


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
