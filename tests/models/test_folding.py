"""Batch norms are folded where that changes nothing, and named where they cannot be."""

import pytest
import torch
from timm.layers import BatchNormAct2d, Conv2dSame, StdConv2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from frostline.models.folding import folded, folded_in_passing, pairs

WIDTH = 4


def lived_in(network):
    """With statistics and weights as training leaves them, in double precision."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.double().eval()


def conv(**options):
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, **options)


class ReadTwice(nn.Module):
    """What its convolution gives goes around the norm as well."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        x = self.conv(x)
        return x + self.norm(x)


class Levels(nn.Module):
    """One convolution for every level, and a norm for each."""

    def __init__(self):
        super().__init__()
        self.conv, self.norms = conv(), nn.ModuleList([nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)])

    def forward(self, x):
        return self.norms[0](self.conv(x)) + self.norms[1](self.conv(-x))


class BySize(nn.Module):
    """What it does depends on its input, so that nobody can follow it; its parts can be."""

    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU())

    def forward(self, x):
        return self.part(x) if x.mean() > -100 else x


class Tied(nn.Module):
    """Two convolutions with the same weights, of which one has a norm."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = conv(), nn.BatchNorm2d(WIDTH), conv()
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.norm(self.first(x)))


CASES = {
    "plain": (lambda: nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), conv(bias=False), nn.BatchNorm2d(WIDTH)), 0),
    "activates": (lambda: nn.Sequential(conv(), BatchNormAct2d(WIDTH, act_layer=nn.SiLU)), 0),
    "in groups": (lambda: nn.Sequential(conv(groups=2), nn.BatchNorm2d(WIDTH)), 0),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2), nn.BatchNorm2d(WIDTH)), 0),
    "transposed, groups": (
        lambda: nn.Sequential(nn.ConvTranspose2d(WIDTH, WIDTH, 2, groups=2), nn.BatchNorm2d(WIDTH)),
        1,
    ),
    "of the batch": (lambda: nn.Sequential(conv(), nn.BatchNorm2d(WIDTH, track_running_stats=False)), 1),
    "before": (lambda: nn.Sequential(nn.BatchNorm2d(WIDTH), conv()), 1),
    "read twice": (ReadTwice, 1),
    "levels": (Levels, 2),
    "by size": (BySize, 0),
    "tied": (Tied, 1),
    "padded alike": (lambda: nn.Sequential(Conv2dSame(WIDTH, WIDTH, 3, stride=2), nn.BatchNorm2d(WIDTH)), 0),
    "standardised": (lambda: nn.Sequential(StdConv2d(WIDTH, WIDTH, 3), nn.BatchNorm2d(WIDTH)), 1),
    "without weights": (lambda: nn.Sequential(conv(bias=False), nn.BatchNorm2d(WIDTH, affine=False)), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_folded_where_it_changes_nothing(case):
    make, left = CASES[case]
    torch.manual_seed(0)
    network = lived_in(make())
    picture = torch.randn(2, WIDTH, 8, 8, dtype=torch.double)
    found = folded(network)
    torch.testing.assert_close(found.network(picture), network(picture), rtol=0, atol=1e-12)
    assert len(found.left) == left
    assert sum(isinstance(module, _BatchNorm) for module in found.network.modules()) == left


def test_the_network_itself_stays_as_it_is():
    network = lived_in(CASES["plain"][0]()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("case", [case for case in CASES if "transposed" not in case])
def test_folded_in_passing_where_it_changes_nothing(case):
    # Catches a gradient that misses a norm's weights, a bias that is not scaled, and what stays behind on the modules.
    make, left = CASES[case]
    torch.manual_seed(0)
    network = lived_in(make())
    picture = torch.randn(2, WIDTH, 8, 8, dtype=torch.double, requires_grad=True)
    wanted = [picture, *network.parameters()]
    held = [set(vars(module)) for module in network.modules()]
    expected = network(picture)
    expected_gradients = torch.autograd.grad(expected.square().sum(), wanted)
    found = pairs(network).values()
    with folded_in_passing(found):
        ours = network(picture)
        given = torch.zeros(1, WIDTH, 2, 2, dtype=torch.double)
        assert all(torch.equal(norm(given.clone()), given) for _, norm in found)  # all that norms do is done
    gradients = torch.autograd.grad(ours.square().sum(), wanted)  # as a trainer does, outside
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-10)
    assert len(found) == sum(isinstance(module, _BatchNorm) for module in network.modules()) - left
    assert [set(vars(module)) for module in network.modules()] == held
    assert torch.equal(network(picture), expected)


def test_nothing_stays_folded_after_an_error():
    network = lived_in(CASES["plain"][0]())
    picture = torch.randn(2, WIDTH, 8, 8, dtype=torch.double)
    expected = network(picture)
    with pytest.raises(RuntimeError, match="channels"), folded_in_passing(pairs(network).values()):
        network(picture[:, :1])
    assert torch.equal(network(picture), expected)


@pytest.mark.parametrize(
    "task, head, left",
    [("classification", "linear", 0), ("localization", "box", 1), ("segmentation", "unet", 0), ("detection", "yolo", 0)]
    + [("detection", "ssdlite", 0)],
)
def test_whole_networks(make, task, head, left):
    """EfficientNet-Lite0 has 48 or 49 norms, timm's own; the box's head has one behind a sum."""
    model = lived_in(make(task, f"head={head}", "image_size=64").model)
    found = folded(model)
    assert found.left == ["head.norm"] * left
    picture = torch.rand(2, 3, 64, 64, dtype=torch.double)
    with torch.no_grad():
        ours, theirs = (flat(one(picture)) for one in (found.network, model))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)  # detectors go on in single precision


def flat(outputs):
    """All tensors of a head's outputs."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    values = outputs if isinstance(outputs, tuple | list) else vars(outputs).values()
    return [tensor for value in values if isinstance(value, torch.Tensor | tuple | list) for tensor in flat(value)]
