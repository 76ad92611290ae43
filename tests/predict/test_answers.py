"""From raw outputs to predictions: against torch, and in the picture's own coordinates."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from frostline.pictures.fit import FITS, place
from frostline.predict.answers import Rule, answers, likeliest
from frostline.predict.kinds import Placement


@pytest.mark.parametrize("size", [(64, 64), (97, 41), (30, 200), (20, 9)])
def test_enlarged_scores_are_those_of_torch(size):
    """Catches corners that are aligned, a picture on its side, and scores of the wrong class."""
    scores = torch.randn(1, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    scores = F.avg_pool2d(scores, 9, 1, 4)  # areas, as networks make them
    expected = F.interpolate(scores, size[::-1], mode="bilinear", align_corners=False)[0].argmax(0).numpy()
    found = likeliest(scores[0].numpy(), size)
    assert found.shape == size[::-1] and found.dtype == np.uint8
    assert (found == expected).mean() >= 0.9999


@pytest.mark.parametrize("fit", FITS)
def test_a_mask_is_without_the_margin_of_a_letterbox(fit):
    """Catches a margin that is squeezed into the picture."""
    left, top, width, height = where = place(80, 40, 64, fit)
    scores = np.zeros((1, 2, 64, 64), np.float32)
    scores[0, 1, top : top + height // 2, left : left + width] = 1  # the upper half of the picture
    (found,) = answers("segmentation", {"scores": scores}, ("a", "b"), [Placement(64, where, (80, 40))], Rule())
    assert found.mask.shape == (40, 80) and found.mask[:19].all() and not found.mask[21:].any()


def test_boxes_are_sorted_out_by_the_rule_and_what_is_padded_is_none():
    boxes = np.array([[[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 60, 60], [0, 0, 0, 0]]], np.float32)
    raw = {"boxes": boxes, "scores": np.array([[0.9, 0.8, 0.05, 0]], np.float32), "labels": np.array([[1, 1, 0, 0]])}
    placement = Placement(64, (0, 0, 64, 64), (128, 64))
    (found,) = answers("detection", raw, ("a", "b"), [placement], Rule(0.01, 0.5, 10))
    assert found.labels.tolist() == [1, 0] and found.boxes.tolist() == [[0, 0, 20, 10], [80, 40, 120, 60]]
    (found,) = answers("detection", raw, ("a", "b"), [placement], Rule(0, 0.9, 2))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    (found,) = answers("detection", raw, ("a", "b"), [placement], Rule(0.1, 0.5, 10))
    assert len(found.scores) == 1
