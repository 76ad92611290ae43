"""Large pictures in windows: nothing is lost, nothing is found twice, and all of it lies where it was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.answers import Rule
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.predict.windows import OVERLAP, windows_of

SIDE = 64


@given(st.integers(1, 700), st.integers(1, 700), st.integers(16, 200))
def test_windows_cover_all_of_a_picture_and_overlap(width, height, side):
    parts = windows_of("segmentation", (width, height), side)
    seen = np.zeros((height, width), int)
    for left, top, wide, high in parts:
        assert left >= 0 and left + wide <= width and top >= 0 and top + high <= height and max(wide, high) <= side
        seen[top : top + high, left : left + wide] += 1
    assert seen.min() >= 1
    lefts = sorted({left for left, *_ in parts})
    assert all(b - a <= side - side // OVERLAP for a, b in zip(lefts, lefts[1:], strict=False))


def squares(side, spots):
    """A black picture with white spots, x y of their corners, of 12 px."""
    picture = np.zeros((side, side * 2, 3), np.uint8)
    for x, y in spots:
        picture[y : y + 12, x : x + 12] = 255
    return picture


def bright(batch):
    """A detector of what is bright: one box around each connected spot, in pixels of the square."""
    import cv2

    found = []
    for square in batch:
        count, _, stats, _ = cv2.connectedComponentsWithStats((square[..., 0] > 100).astype(np.uint8))
        found.append([[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:count].tolist()])
    most = max(1, *map(len, found))
    boxes, scores = np.zeros((len(batch), most, 4), np.float32), np.zeros((len(batch), most), np.float32)
    for n, own in enumerate(found):
        boxes[n, : len(own)] = np.array(own).reshape(-1, 4)
        scores[n, : len(own)] = 0.9
    return {"boxes": boxes, "scores": scores, "labels": np.zeros((len(batch), most), int)}


def test_each_small_thing_is_found_once_and_where_it_lies():
    """Catches boxes in a window's coordinates, halves of what two windows cut, and one object that is found twice."""
    spots = [(5, 5), (58, 30), (100, 100), (180, 60), (40, 116), (240, 110)]
    info = ModelInfo("m", "detection", ("spot",), Preprocessing(SIDE), Rule(0.1, 0.5, 50))
    picture = squares(128, spots)
    (found,) = Model(info, bright).predict([picture], window=SIDE)
    assert found.placement.size == (256, 128)
    corners = sorted((round(x0), round(y0)) for x0, y0, *_ in found.boxes.tolist())
    assert corners == sorted(spots)
    assert (found.boxes[:, 2:] - found.boxes[:, :2]).round().astype(int).tolist() == [[12, 12]] * len(spots)


def test_a_mask_is_put_together_of_its_windows():
    """Catches a window that lies over its neighbours to its edge, where it knows least."""

    def middle(batch):  # says 1 but near the edges of what it sees
        scores = np.zeros((len(batch), 2, SIDE, SIDE), np.float32)
        scores[:, 1, 6:-6, 6:-6] = 1
        return {"scores": scores}

    info = ModelInfo("m", "segmentation", ("back", "front"), Preprocessing(SIDE))
    (found,) = Model(info, middle).predict([np.zeros((SIDE, 200, 3), np.uint8)], window=SIDE)
    assert found.mask.shape == (SIDE, 200)
    assert found.mask[8:-8, 8:-8].all()


def test_what_says_one_thing_of_a_picture_has_no_windows():
    info = ModelInfo("m", "classification", ("a", "b"), Preprocessing(SIDE))
    with pytest.raises(FrostlineError, match="classification says one thing of a whole picture"):
        Model(info, bright).predict([], window=SIDE)
