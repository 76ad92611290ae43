import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn

from frostline.lecture.layers import bare, depth, layers_of, multiply_adds, watched


# Catches a walk that takes any way in place of the longest, or counts norms: these networks tell their depth by name.
@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_depth_is_that_of_a_networks_name(name):
    network = torchvision.models.get_model(name, weights=None).eval()
    assert depth(network(torch.rand(1, 3, 64, 64))) == int("".join(c for c in name if c.isdigit()))


def test_depth_takes_the_longer_of_two_ways():
    first, second, third = (nn.Conv2d(4, 4, 1) for _ in range(3))
    x = torch.rand(1, 4, 2, 2)
    assert depth(first(x) + third(second(first(x)))) == 3
    assert depth(third(second(first(x))) + first(x)) == 3


def test_a_convolution_of_each_map_by_itself_is_one_with_the_one_behind_it():
    apart, mixed = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1)
    assert depth(mixed(apart(torch.rand(1, 4, 5, 5)))) == 1


def test_what_layers_give_is_noted_within_and_not_after():
    layers = nn.ModuleDict({"a": nn.Conv2d(1, 2, 3), "b": nn.Flatten()})
    with watched(layers) as sizes:
        layers["b"](layers["a"](torch.rand(1, 1, 5, 5)))
    assert sizes == {"a": (2, 3, 3), "b": (18,)}
    layers["b"](torch.rand(1, 7))
    assert sizes["b"] == (18,)


def test_hooks_are_gone_after_an_error():
    layers = nn.ModuleDict({"a": nn.Conv2d(1, 2, 3)})
    with pytest.raises(RuntimeError), watched(layers):
        layers["a"](torch.rand(1, 9, 5, 5))
    assert not layers["a"]._forward_hooks


def test_multiply_adds_are_weights_times_cells():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    assert multiply_adds(layer, torch.rand(2, 4, 10, 10)) == 2 * 8 * 8 * layer.weight.numel()


def test_a_bare_network_fetches_nothing_and_is_ready(monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)
    network = bare("resnet34_plain")
    assert not network.training and len(layers_of(network, nn.Conv2d)) == 33 + 3
    assert F.cosine_similarity(network(torch.zeros(1, 3, 32, 32))[1], torch.ones(1, 512)).isfinite()
