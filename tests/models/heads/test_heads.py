from functools import cache

import pytest
import torch
from torch import nn

from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.heads.classification import LinearHead
from frostline.models.heads.detection.dense import DenseHead
from frostline.models.heads.localization import BoxHead, PooledBoxHead
from frostline.models.heads.segmentation.smp import UnetHead
from frostline.models.small_cnn import SmallCnn

SIZE = 96


@cache
def made(name):
    return timm_backbone(name, pretrained=False, with_embedding=True).eval()


def features_of(name, head_class):
    backbone = made(name)
    head = head_class(backbone, 3).eval()
    with torch.no_grad():
        features, embedding = backbone(torch.rand(2, 3, SIZE, SIZE))
        return head(features, embedding) if head.reads_embedding else head(features)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_100"])
def test_shapes_and_ranges(name):
    assert features_of(name, LinearHead).shape == (2, 3)
    scores, boxes = features_of(name, BoxHead)
    assert scores.shape == (2, 3) and boxes.shape == (2, 4) and bool(((boxes > 0) & (boxes < 1)).all())
    scores, boxes = features_of(name, PooledBoxHead)
    assert scores.shape == (2, 3) and boxes.shape == (2, 4) and bool(((boxes > 0) & (boxes < 1)).all())
    assert features_of(name, UnetHead).shape == (2, 3, SIZE, SIZE)
    cells = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))
    dense = features_of(name, DenseHead)
    assert dense.objectness.shape == (2, cells) and dense.classes.shape == (2, cells, 3)
    assert dense.boxes.shape == (2, cells, 4) and bool((dense.boxes[..., 2:] > dense.boxes[..., :2]).all())


def test_spatial_softmax_reads_the_place_of_a_peak():
    # A single hot cell at column 5, row 2 of 6 by 6 must come out as its centre in 0..1: catches swapped x and y.
    class Two(nn.Module):
        channels = (1, 1)
        embedding_size = 4

    head = BoxHead(Two(), 2, width=1).eval()
    for lateral in head.lateral:
        nn.init.ones_(lateral.weight)
        nn.init.zeros_(lateral.bias)
    nn.init.ones_(head.out.weight)
    nn.init.zeros_(head.out.bias)
    fine = torch.zeros(1, 1, 6, 6)
    fine[0, 0, 2, 5] = 200
    _, box = head([fine, torch.zeros(1, 1, 3, 3)], torch.zeros(1, 4))
    assert box[0, :2].tolist() == pytest.approx([5.5 / 6, 2.5 / 6], abs=1e-3)


@pytest.mark.parametrize("head", [DenseHead, UnetHead])
def test_a_backbone_without_the_maps_is_refused(head):
    backbone = SmallCnn()
    with pytest.raises(FrostlineError, match="small_cnn.*choose another backbone or head"):
        head(backbone, 3)
