import subprocess
import sys
from time import perf_counter

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from frostline.predict.boxes import AT_ONCE, select, suppress


def made(n, classes, side, seed=0):
    """Random boxes of 10 to 80 px whose corners lie within `side`; the smaller that is, the more they overlap."""
    draw = np.random.default_rng(seed)
    corner, extent = draw.uniform(0, side, (n, 2)), draw.uniform(10, 80, (n, 2))
    boxes = np.concatenate([corner, corner + extent], 1).astype(np.float32)
    return boxes, draw.random(n).astype(np.float32), draw.integers(0, classes, n)


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize(("n", "classes", "side"), [(1, 1, 9), (2 * AT_ONCE, 1, 30), (700, 1, 400), (900, 12, 60)])
def test_as_torchvision_does_in_double_precision(n, classes, side, iou):
    # Catches boxes that are compared with those of another class, or with one that is gone itself, and a seam between
    # the boxes that are compared at once.
    boxes, scores, labels = made(n, classes, side)
    found = batched_nms(*map(torch.from_numpy, (boxes.astype(np.float64), scores.astype(np.float64), labels)), iou)
    assert suppress(boxes, scores, labels, iou).tolist() == found.tolist()


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_box_that_overlaps_by_just_the_threshold_stays(percent):
    # In single precision it goes for 46 of these 99.
    boxes = np.array([[0, 0, 100, 1], [0, 0, percent, 1]], np.float32)
    scores, labels = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert suppress(boxes, scores, labels, percent / 100).tolist() == [0, 1]
    assert suppress(boxes, scores, labels, percent / 100 - 1e-9).tolist() == [0]


def test_the_ten_thousandth_class_has_all_its_digits():
    boxes = np.array([[10, 10, 11, 11], [10.3, 10, 11.3, 11]], np.float32)  # an IoU of 0.54
    for label in (0, 10_000):
        assert suppress(boxes, np.array([0.9, 0.8]), np.array([label] * 2), 0.55).tolist() == [0, 1]


def test_of_equal_scores_the_first_is_the_better():
    boxes = np.tile(np.array([[0, 0, 9, 9], [50, 50, 90, 90]], np.float32), (AT_ONCE, 1))
    assert suppress(boxes, np.full(2 * AT_ONCE, 0.5), np.zeros(2 * AT_ONCE, int), 0.6).tolist() == [0, 1]
    assert suppress(boxes[:4], np.full(4, 0.5), np.array([1, 1, 0, 0]), 0.6).tolist() == [0, 1, 2, 3]


def test_enough_is_enough_of_all_classes_together():
    boxes, scores, labels = made(900, 5, 300)
    whole = suppress(boxes, scores, labels, 0.4)
    for most in (1, 7, 100, 10_000):
        assert suppress(boxes, scores, labels, 0.4, most).tolist() == whole[:most].tolist()


def test_boxes_without_area_overlap_nothing():
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]], np.float32)
    with np.errstate(all="raise"):
        assert suppress(boxes, np.array([0.5, 0.4, 0.3]), np.zeros(3, int), 0.0).tolist() == [0, 1, 2]


def test_only_likely_boxes_are_an_answer_and_no_padding():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30], [40, 40, 60, 60], [0, 0, 0, 0]], np.float32)
    scores, labels = np.array([0.3, 0.9, 0.5, 0.2, 0], np.float32), np.zeros(5, np.int64)
    assert select(boxes, scores, labels, 0.3, 0.6, 10).tolist() == [1, 2]
    assert select(boxes, scores, labels, 0.2, 0.6, 10).tolist() == [1, 2, 3]
    assert select(boxes, scores, labels, 0.0, 0.6, 10).tolist() == [1, 2, 3]
    assert select(boxes, scores, labels, 0.0, 0.6, 1).tolist() == [1]
    assert select(boxes, scores, labels, 0.95, 0.6, 10).tolist() == []
    assert select(boxes[:0], scores[:0], labels[:0], 0.0, 0.6, 10).tolist() == []


@pytest.mark.parametrize(("classes", "most_ms"), [(20, 3), (1, 25)])
@pytest.mark.parametrize("side", [30, 300, 3000])
def test_a_thousand_boxes_take_no_time(classes, most_ms, side):
    # Catches a comparison of all with all, and a loop over boxes. The quickest of some, as others use the machine.
    boxes, scores, labels = made(1000, classes, side)
    taken = []
    for _ in range(20):
        start = perf_counter()
        suppress(boxes, scores, labels, 0.6)
        taken.append(perf_counter() - start)
    assert min(taken) * 1000 < most_ms


def test_torch_is_not_needed():
    code = "import sys; sys.modules['torch'] = None; import frostline.predict.boxes"
    subprocess.run([sys.executable, "-c", code], check=True)
