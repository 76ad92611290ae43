"""What one forward pass tells of a network: how large what its layers give is, how deep it is, what it multiplies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.flop_counter import FlopCounterMode

from frostline.config.build import build
from frostline.models.backbone import Backbone
from frostline.runs.build import UNBUILT
from frostline.runs.catalogue import node_of

Sizes = dict[str, tuple[int, ...]]


def bare(name: str) -> Backbone:
    """A backbone by its name in conf/backbone/, up to its embedding, with weights of chance: nothing is fetched."""
    backbone: Backbone = build(node_of(name), with_embedding=True, without=UNBUILT)
    return backbone.eval()


@contextmanager
def watched(layers: Mapping[str, nn.Module]) -> Iterator[Sizes]:
    """Within, what each of these layers gives for one picture: maps, rows and columns, or a number of values."""
    sizes: Sizes = {}

    def note(name: str) -> torch.utils.hooks.RemovableHandle:
        return layers[name].register_forward_hook(lambda layer, inputs, out: sizes.update({name: tuple(out.shape[1:])}))

    hooks = [note(name) for name in layers]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()


def depth(scores: Tensor) -> int:
    """How many layers with weights, convolutions and dense ones, lie on the longest way from the picture to the scores.

    Found in what torch keeps to compute gradients by, so it holds for a network of any kind. A convolution of each map
    by itself is one layer with the 1 x 1 convolution that follows it, as Xception's paper counts.
    """
    assert scores.grad_fn is not None
    longest: dict[Node, int] = {}
    todo = [scores.grad_fn]
    while todo:
        node = todo[-1]
        before = [each for each, _ in node.next_functions if each is not None]
        if unknown := [each for each in before if each not in longest]:
            todo += unknown
        else:
            longest[todo.pop()] = max((longest[each] for each in before), default=0) + _is_layer(node)
    return longest[scores.grad_fn]


def _is_layer(node: Node) -> bool:
    name = node.name()
    return name.startswith("Addmm") or (name.startswith("Convolution") and node._saved_groups == 1)  # type: ignore[attr-defined]


def multiply_adds(layer: nn.Module, picture: Tensor) -> int:
    """Of convolutions and matrix products, for these pictures."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(picture)
    return int(counter.get_total_flops()) // 2


def layers_of(network: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    """Its layers of these kinds, in the order of their definition."""
    return [layer for layer in network.modules() if isinstance(layer, kinds)]
