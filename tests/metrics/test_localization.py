"""Scores of one box a scene, against a plain loop."""

import pytest
import torch

from frostline.metrics.localization import BoxScores


def drawn(count):
    generator = torch.Generator().manual_seed(count)
    truth = torch.rand(count, 4, generator=generator)
    truth[:, 2:] = truth[:, :2] + 0.1 + truth[:, 2:]
    found = truth + 0.2 * torch.randn(count, 4, generator=generator)
    found[:, 2:] = found[:, 2:].maximum(found[:, :2])  # some have no area
    return found, truth, torch.rand(count, generator=generator) < 0.6


def plain(found, truth, right):
    overlaps = []
    for (a0, b0, a1, b1), (c0, d0, c1, d1) in zip(found.double().tolist(), truth.double().tolist(), strict=True):
        both = max(0, min(a1, c1) - max(a0, c0)) * max(0, min(b1, d1) - max(b0, d0))
        overlaps.append(both / ((a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - both))
    reached = [overlap >= 0.5 for overlap in overlaps]
    named = [hit and good for hit, good in zip(reached, right.tolist(), strict=True)]
    return {"iou": overlaps, "iou50": reached, "iou50_and_class": named}


def scored(*boxes):
    metric = BoxScores()
    metric.update(*boxes)
    return metric.compute()


def test_a_box_that_is_no_number_covers_nothing():
    nan, truth = torch.full((1, 4), torch.nan), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert set(map(float, scored(nan, truth, torch.tensor([True])).values())) == {0}


@pytest.mark.parametrize("count", [1, 2, 301])
def test_boxes_are_scored_as_by_a_plain_loop(count):
    boxes = drawn(count)
    values = scored(*boxes)
    for name, expected in plain(*boxes).items():
        assert float(values[name]) == pytest.approx(sum(expected) / count, abs=1e-6)
    if count == 301:
        assert 0 < values["iou50_and_class"] < values["iou50"] < 1


def test_the_size_of_batches_changes_no_bit():
    # Catches sums of floats, which depend on their order.
    boxes = drawn(301)
    for size in (1, 7, 32, 301):
        metric = BoxScores()
        for parts in zip(*(part.split(size) for part in boxes), strict=True):
            metric.update(*parts)
        assert metric.compute() == scored(*boxes)


def test_a_split_without_a_box_has_no_score():
    metric = BoxScores()
    metric.update(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    assert metric.compute() == dict.fromkeys(("iou", "iou50", "iou50_and_class"), -1.0)
