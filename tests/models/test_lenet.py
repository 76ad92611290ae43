import pytest
import torch
from torch import nn

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.freezing.groups import check_partition, count
from frostline.models.lenet import SEEN, Halving, LeNet5, PartialConvolution, Squash
from frostline.runs.build import build_task

LENET = ["backbone=lenet5", "task=classification"]


def test_each_layer_has_as_many_parameters_as_published():
    net = LeNet5(with_embedding=True)
    check_partition(net, net.groups)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear | Halving | PartialConvolution)]
    assert [count(m.parameters()) for m in layers] == [156, 12, 1516, 32, 48120, 10164]
    assert count(net.parameters()) == 60_000


def test_c3_sees_what_table_1_says():
    # Rows of the paper's table I: which of the 16 maps each map of S2 goes to.
    rows = [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
    assert [[into for into in range(6) if rows[into][out] == "X"] for out in range(16)] == [sorted(s) for s in SEEN]
    layer = PartialConvolution()
    out = layer(torch.randn(1, 6, 14, 14)).abs()
    assert out.shape == (1, 16, 10, 10)
    for into in range(6):  # an output moves where it sees the map, and nowhere else
        base, changed = torch.zeros(1, 6, 5, 5), torch.zeros(1, 6, 5, 5)
        changed[0, into] = 1
        moved = (layer(changed) - layer(base)).flatten().abs() > 1e-6
        assert "".join("X" if m else "." for m in moved) == rows[into]


def test_the_squashing_and_the_halving_are_the_papers():
    assert Squash()(torch.tensor([1.0, -1.0])).tolist() == pytest.approx([1, -1], abs=1e-4)
    layer = Halving(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2])[:, None, None])
        layer.bias.copy_(torch.tensor([1.0, -1]))
    x = torch.arange(8.0).view(1, 2, 2, 2)
    assert layer(x).flatten().tolist() == pytest.approx([0.5 * 6 + 1, 2 * 22 - 1])


def test_pictures_of_28_px_are_padded_with_zeros():
    net = LeNet5(with_embedding=True).eval()
    picture = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    padded = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    padded[..., 2:-2, 2:-2] = picture
    maps, embedding = net(picture)
    assert maps == [] and embedding.shape == (2, 84)
    assert torch.equal(embedding, net(padded)[1])
    normalised = net.normalise(torch.full((1, 3, 28, 28), 255, dtype=torch.uint8))
    assert normalised.shape == (1, 1, 32, 32)
    assert normalised[0, 0, 0, 0].item() == pytest.approx(-0.1) and normalised.max().item() == pytest.approx(1.175)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_activations_below_a_line_can_be_kept(depth):
    net, picture = LeNet5(with_embedding=True).eval(), torch.rand(2, 3, 28, 28)
    kept = net.below(picture, net.activations(depth, [], True))
    assert torch.equal(net.above(kept, depth)[1], net(picture)[1])


@pytest.mark.parametrize("size", [28, 32])
def test_its_own_sizes_are_taken(size):
    task = build_task(compose([*LENET, f"image_size={size}"]), ("a", "b"))
    assert task(torch.zeros(2, 3, size, size)).shape == (2, 2)
    assert LeNet5.sides == tuple(compose([*LENET, "image_size=28"])["backbone"]["sides"])


@pytest.mark.parametrize("size", [27, 64, 128])
def test_other_sizes_are_refused(size):
    with pytest.raises(FrostlineError, match=f"image_size is {size}, and backbone=lenet5 takes pictures of 28 or 32"):
        compose([*LENET, f"image_size={size}"])


@pytest.mark.parametrize("words", [["task=detection"], ["task=segmentation"], ["task=localization"]])
def test_heads_that_read_maps_are_refused(words):
    with pytest.raises(FrostlineError, match="lenet5 has no feature maps") as error:
        build_task(compose([*LENET, *words, "image_size=32"]), ("a", "b"))
    assert "\n" not in str(error.value)


def test_crops_of_another_side_are_refused():
    config = compose([*LENET, "image_size=32", "augment=crops"])
    config["augment"]["side"] = 16
    with pytest.raises(FrostlineError, match="augment.side is 16, and lenet5 takes pictures of 28 or 32 px"):
        build_task(config, ("a", "b"))
