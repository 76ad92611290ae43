"""What onnxruntime computes is what torch computes, whatever batch it comes in; where it is not, that is said."""

import copy

import pytest
import torch
from torch import nn

from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.by_onnxruntime import ByOnnxruntime
from frostline.models.folding import folded

SIZE = 64


def pictures(count, size=SIZE):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "convnext_atto", "tf_efficientnet_lite0"])
def test_a_chain_of_pieces_is_the_same_in_any_batch(name):
    # Catches pieces that are exported with the first batch's number of rows, or are off by more than rounding.
    torch.manual_seed(0)
    backbone = timm_backbone(name, pretrained=False, with_embedding=True, image_size=SIZE).eval()
    depth = len(backbone.groups)
    twins = {piece: ByOnnxruntime(folded(piece).network) for piece in backbone.pieces(depth)}
    names = backbone.activations(depth, range(len(backbone.channels)), True)
    for size in (SIZE, 2 * SIZE):
        with torch.inference_mode():
            expected = backbone.below(pictures(5, size), names)
            found = backbone.below(pictures(5, size), names, twins)
            parts = [backbone.below(part, names, twins) for part in pictures(5, size).split([1, 4])]
        for one in names:
            assert (found[one] - expected[one]).norm() < 1e-5 * expected[one].norm()
            assert torch.equal(torch.cat([part[one] for part in parts]), found[one])


def test_a_copy_makes_its_own_sessions():
    piece = ByOnnxruntime(nn.Conv2d(3, 2, 3))
    found = piece(pictures(2))
    assert torch.equal(copy.deepcopy(piece)(pictures(2)), found)


class Draws(nn.Module):
    """Gives other values each time."""

    def forward(self, x):
        return torch.rand_like(x)


class Decomposes(nn.Module):
    """By an operation that ONNX does not have."""

    def forward(self, x):
        return torch.linalg.svdvals(x)


class CountsOnce(nn.Module):
    """Takes the number of rows that it was exported with for that of all batches."""

    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1)


class NoNumber(nn.Module):
    """By onnxruntime; by torch it gives what it takes."""

    def forward(self, x):
        return x * torch.nan if torch.onnx.is_in_onnx_export() else x


PIECES = [(Draws(), "other values"), (NoNumber(), "other values"), (CountsOnce(), ""), (Decomposes(), "svd")]


@pytest.mark.parametrize(("piece", "said"), PIECES, ids=lambda value: type(value).__name__)
def test_what_it_cannot_compute_is_said(piece, said):
    with pytest.raises(FrostlineError, match=f"{said}.*trainer.below=torch"):
        ByOnnxruntime(piece)(pictures(5))


def test_the_check_takes_nothing_from_the_runs_random_stream():
    piece, state = ByOnnxruntime(nn.Conv2d(3, 2, 3)), torch.get_rng_state()
    piece(pictures(2))
    assert torch.equal(torch.get_rng_state(), state)
