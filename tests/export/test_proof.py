"""A proof finds what differs, and passes over what a rounding decides."""

from dataclasses import replace

import numpy as np
import pytest

from frostline.errors import FrostlineError
from frostline.export.proof import prove
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.answers import Rule
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model

CLASSES = ("a", "b", "c")
PICTURES = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 100, 200)]
BOXES = np.array([[2, 2, 20, 20], [30, 30, 50, 60], [40, 5, 60, 25]], np.float32)
SCORES = np.array([0.9, 0.6, 0.4], np.float32)
LABELS = np.array([0, 1, 2])
FOUND = {"boxes": BOXES, "scores": SCORES, "labels": LABELS}


def saying(task, raw, rule=None):
    """A model that says the same of each picture."""
    info = ModelInfo("mine", task, CLASSES, Preprocessing(64), rule or Rule())
    return Model(info, lambda squares: {name: np.stack([values] * len(squares)) for name, values in raw.items()})


def compared(task, one, other, rule=None):
    return prove(saying(task, one, rule), saying(task, other, rule), PICTURES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p + np.array([2e-4, -2e-4, 0], np.float32), "probabilities are 0.0002 apart"),
        (lambda p: p * np.float32("nan"), "probabilities are nan apart"),
        (lambda p: p[[1, 0, 2]], "probabilities are 0.2 apart"),
    ],
)
def test_another_probability_is_found(change, words):
    right = np.array([0.5, 0.3, 0.2], np.float32)
    assert compared("classification", {"probabilities": right}, {"probabilities": right + 5e-5}).unlike < 1e-4
    with pytest.raises(FrostlineError, match=f"{words} .picture 1 of 3, in batches of 1., and 8 more. It is not"):
        compared("classification", {"probabilities": right}, {"probabilities": change(right)})


def test_classes_that_are_as_likely_may_change_places():
    one = {"probabilities": np.array([0.40001, 0.4, 0.2], np.float32)}
    compared("classification", one, {"probabilities": np.array([0.4, 0.40001, 0.2], np.float32)})


def test_another_place_is_found():
    both = {"probabilities": np.array([0.5, 0.3, 0.2], np.float32), "box": np.array([0.5, 0.5, 0.2, 0.2], np.float32)}
    compared("localization", both, {**both, "box": both["box"] + np.float32(1e-5)})
    with pytest.raises(FrostlineError, match="the box is 0.0[0-9]+ px elsewhere"):
        compared("localization", both, {**both, "box": both["box"] + np.float32(3e-4)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"boxes": BOXES + np.float32(0.02)}, "54 boxes are elsewhere, beside 0 that are the same"),
        ({"scores": SCORES - np.float32(2e-4)}, "the file lacks a a of score 0.9"),
        ({"labels": np.array([0, 1, 1])}, "the file lacks a c of score 0.4"),
        ({name: values[:2] for name, values in FOUND.items()}, "the file lacks a c of score 0.4"),
        ({name: values[[0, 1, 2, 2]] for name, values in FOUND.items()}, None),  # suppressed, as it is the same twice
        ({"boxes": BOXES[[0, 1, 0]]}, "the file lacks a c of score 0.4"),
        ({"scores": np.zeros(3, np.float32)}, "the file lacks a a of score 0.9"),
    ],
)
def test_another_box_is_found(change, words):
    if words is None:
        assert compared("detection", FOUND, {**FOUND, **change}).boxes == 27
        return
    with pytest.raises(FrostlineError, match=words):
        compared("detection", FOUND, {**FOUND, **change})


def test_a_box_more_is_found():
    fewer = {name: values[:2] for name, values in FOUND.items()}
    with pytest.raises(FrostlineError, match="the file adds a c of score 0.4"):
        compared("detection", fewer, FOUND)


def test_boxes_in_another_order_are_the_same():
    alike = {**FOUND, "scores": np.array([0.5, 0.5 - 1e-6, 0.4], np.float32)}
    other = {name: values[[1, 0, 2]] for name, values in FOUND.items()}
    other["scores"] = np.array([0.5, 0.5 - 1e-6, 0.4], np.float32)
    assert compared("detection", alike, other).undecided == 0


SCORES_ALIKE = np.array([0.9, 0.6, 0.59999], np.float32)
EDGES = {  # rule, what one says beside FOUND, what the other says beside that
    "the least score": (Rule(0.4), {}, {"scores": np.array([0.9, 0.6, 0.39995], np.float32)}),
    "one too many": (
        Rule(max_boxes=2),
        {"scores": SCORES_ALIKE},
        {"boxes": BOXES[[0, 2, 1]], "labels": LABELS[[0, 2, 1]], "scores": SCORES_ALIKE},
    ),
    "an overlap of just the rule's": (
        Rule(nms_iou=0.5),
        {"boxes": np.float32([[0, 0, 30, 20], [0, 0, 30, 40.002], [40, 5, 60, 25]]), "labels": np.array([0, 0, 1])},
        {"boxes": np.float32([[0, 0, 30, 20], [0, 0, 30, 39.998], [40, 5, 60, 25]])},
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_what_a_rounding_decides_is_passed_over_and_told(edge):
    rule, one, other = EDGES[edge]
    proof = compared("detection", {**FOUND, **one}, {**FOUND, **one, **other}, rule)
    assert proof.undecided in (9, 18) and "on the edge of the rule" in str(proof)


def test_of_two_boxes_that_are_as_sure_either_may_be_left():
    """A few alone: where all have moved, each has one beside it that is as sure."""
    grid = np.float32([[x, y, x + 3, y + 3] for x in range(0, 60, 5) for y in range(0, 60, 5)])
    boxes, scores = np.concatenate([grid, grid[-1:] + 0.2]), np.linspace(0.9, 0.5, len(grid) + 1, dtype=np.float32)
    scores[-1] = scores[-2] - 1e-6
    found = {"boxes": boxes, "scores": scores, "labels": np.zeros(len(boxes), np.int64)}
    other = {**found, "boxes": boxes[[*range(len(grid) - 1), -1, -2]]}
    proof = compared("detection", found, other, Rule(max_boxes=1000))
    assert proof.tied == proof.undecided == 18


def test_where_nothing_is_found_the_best_boxes_are_compared():
    """Catches a proof that finds nothing wrong as there was nothing."""
    weak = {**FOUND, "scores": SCORES / 1000}
    assert compared("detection", weak, weak).boxes == 27
    with pytest.raises(FrostlineError, match="the file lacks"):
        compared("detection", weak, {**weak, "labels": np.array([0, 1, 1])})


@pytest.mark.parametrize(("pixels", "good"), [(1, True), (2, False)])
def test_masks_differ_by_one_pixel_in_ten_thousand_at_most(pixels, good):
    side = 128
    scores = np.zeros((3, side, side), np.float32)
    scores[1] = 0.5
    other = scores.copy()
    other[2, 0, :pixels] = 1
    model, file = (saying("segmentation", {"scores": each}) for each in (scores, other))
    model, file = (replace(each, info=replace(each.info, preprocessing=Preprocessing(side))) for each in (model, file))
    pictures = [np.zeros((side, side, 3), np.uint8)] * 2
    if good:
        assert prove(model, file, pictures).other_pixels == 6 * pixels
        return
    with pytest.raises(FrostlineError, match="12 of 98304 pixels are of another class"):
        prove(model, file, pictures)
