"""Moves and colours against torchvision's own, which are slower and written by others, and against known truths."""

import math
from colorsys import rgb_to_hsv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from frostline.pictures.fit import GREY
from frostline.pictures.kernels import (
    affine,
    colour_matrix,
    move_boxes,
    move_mask,
    move_picture,
    picture_of,
    pixels_of,
    recolour,
)
from frostline.scenes.scene import VOID

HEIGHT, WIDTH = 72, 96
MOVES = [
    {"angle": 30.0},
    {"angle": -75.0, "zoom": 1.3},
    {"zoom": 0.6, "shift": (5.5, -3.25)},
    {"shear": (20.0, 0.0)},
    {"shear": (-8.0, 15.0), "angle": 10.0},
    {"shift": (17.0, -9.0)},
    {"angle": 140.0, "zoom": 0.9, "shift": (-12.3, 4.7), "shear": (5.0, -11.0)},
]
move = st.fixed_dictionaries(
    {
        "angle": st.floats(-180, 180),
        "zoom": st.floats(0.5, 1.6),
        "shift": st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
        "shear": st.tuples(st.floats(-25, 25), st.floats(-25, 25)),
    }
)


def smooth():
    """A picture without edges, so that only a wrong place makes a difference."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 9 + y / 15), np.cos(x / 13 - y / 8), np.sin(x / 7) * np.cos(y / 11)]
    return torch.from_numpy(np.stack([127 + 120 * wave for wave in waves]).round().astype(np.uint8))


def blocks():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return torch.from_numpy(((x // 24) + 4 * (y // 24)).astype(np.uint8))


def as_torchvision(given):
    """Names of torchvision's `affine`."""
    given = {"angle": 0.0, "zoom": 1.0, "shift": (0.0, 0.0), "shear": (0.0, 0.0)} | given
    return {
        "angle": given["angle"], "scale": given["zoom"],
        "translate": list(given["shift"]), "shear": list(given["shear"]),
    }  # fmt: skip


@pytest.mark.parametrize("given", MOVES)
def test_pictures_move_as_torchvision_moves_them(given):
    ours = move_picture(smooth(), affine(HEIGHT, WIDTH, **given)).int()
    theirs = F.affine(
        tv_tensors.Image(smooth()), **as_torchvision(given), interpolation=InterpolationMode.BILINEAR, fill=GREY
    )
    difference = (ours - theirs.as_subclass(torch.Tensor).int()).abs()
    # They blend with what is outside along the border in other ways; everywhere else within two levels.
    assert difference.float().mean() < 0.6 and (difference > 2).float().mean() < 0.03
    assert ours.shape == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize("given", MOVES)
def test_masks_move_as_torchvision_moves_them(given):
    ours = move_mask(blocks(), affine(HEIGHT, WIDTH, **given))
    theirs = F.affine(tv_tensors.Mask(blocks()), **as_torchvision(given), fill=VOID).as_subclass(torch.Tensor)
    assert ours.dtype == torch.uint8
    assert (ours != theirs).float().mean() < 0.01  # the nearest of two that are equally near


@given(move, st.lists(st.tuples(*[st.floats(0, 72)] * 4), max_size=4))
def test_boxes_move_as_torchvision_moves_them(given, corners):
    boxes = torch.tensor([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners]).reshape(-1, 4)
    ours = move_boxes(boxes, affine(HEIGHT, WIDTH, **given))
    theirs = F.affine(
        tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(HEIGHT, WIDTH), clamping_mode=None),
        **as_torchvision(given),
    )
    assert ours.dtype == torch.float32 and ours.shape == boxes.shape
    assert torch.allclose(ours, theirs.as_subclass(torch.Tensor), atol=2e-3)


@given(move, st.tuples(st.integers(20, 50), st.integers(15, 35), st.integers(1, 30), st.integers(1, 25)))
def test_a_box_stays_around_what_it_was_drawn_around(given, placed):
    # The trap: OpenCV counts from the first pixel's centre; half a pixel is easily lost.
    x0, y0, w, h = placed
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[y0 : y0 + h, x0 : x0 + w] = 1
    matrix = affine(HEIGHT, WIDTH, **given)
    box = move_boxes(torch.tensor([[x0, y0, x0 + w, y0 + h]]), matrix)[0].tolist()
    y, x = np.nonzero(move_mask(mask, matrix).numpy() == 1)
    slack = 0.1
    assert ((x + 0.5 >= box[0] - slack) & (x + 0.5 <= box[2] + slack)).all()
    assert ((y + 0.5 >= box[1] - slack) & (y + 0.5 <= box[3] + slack)).all()
    if min(w, h) >= 8 and box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT:
        assert abs(x.mean() + 0.5 - (box[0] + box[2]) / 2) < 0.55 and abs(y.mean() + 0.5 - (box[1] + box[3]) / 2) < 0.55
        assert abs(len(x) - w * h * np.linalg.det(matrix[:2, :2])) < (w + h) * given["zoom"]


def flipped():
    return np.array([[-1.0, 0, WIDTH], [0, 1, 0]])


def test_a_mirror_is_exact_and_twice_it_is_nothing():
    picture, mask, boxes = smooth(), blocks(), torch.tensor([[3.0, 4.0, 30.0, 5.0]])
    once = move_picture(picture, flipped()), move_mask(mask, flipped()), move_boxes(boxes, flipped())
    assert torch.equal(once[0], picture.flip(2)) and torch.equal(once[1], mask.flip(1))
    assert once[2].tolist() == [[WIDTH - 30, 4, WIDTH - 3, 5]]
    assert torch.equal(move_picture(once[0], flipped()), picture)
    assert torch.equal(move_mask(once[1], flipped()), mask) and torch.equal(move_boxes(once[2], flipped()), boxes)


def test_a_shift_by_whole_pixels_is_exact_and_what_comes_in_is_grey_and_void():
    matrix = affine(HEIGHT, WIDTH, shift=(5.0, -7.0))
    picture, mask = move_picture(smooth(), matrix), move_mask(blocks(), matrix)
    assert torch.equal(picture[:, :-7, 5:], smooth()[:, 7:, :-5]) and torch.equal(mask[:-7, 5:], blocks()[7:, :-5])
    assert (picture[:, -7:] == GREY).all() and (picture[:, :, :5] == GREY).all()
    assert (mask[-7:] == VOID).all() and (mask[:, :5] == VOID).all()


def test_any_layout_of_a_picture_gives_the_same():
    matrix = affine(HEIGHT, WIDTH, angle=12.0)
    planes = smooth()
    last = planes[None].contiguous(memory_format=torch.channels_last)[0]
    assert not last.is_contiguous() and np.shares_memory(pixels_of(last), last.numpy())
    assert torch.equal(picture_of(pixels_of(planes)), planes)
    assert torch.equal(move_picture(planes, matrix), move_picture(last, matrix))
    assert torch.equal(planes, smooth())  # nothing was done in place


def test_boxes_of_no_number_stay_none():
    assert move_boxes(torch.zeros(0, 4), affine(HEIGHT, WIDTH, angle=9.0)).shape == (0, 4)


def colours():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8))


def near(one, other, most):
    return (one.int() - other.int()).abs().max() <= most


@pytest.mark.parametrize("saturation", [0.0, 0.4, 1.7])
def test_saturation_is_torchvisions(saturation):
    ours = recolour(colours(), colour_matrix(0, 1, saturation, 0))
    assert near(ours, F.adjust_saturation(colours(), saturation), 2)  # which cuts fractions off, once and again


@pytest.mark.parametrize("third", [-1, 0, 1])
def test_a_third_of_a_turn_of_the_hue_makes_red_green(third):
    ours = recolour(colours(), colour_matrix(0, 1, 1, third / 3))
    assert near(ours, colours().roll(third, 0), 1)
    assert near(ours, F.adjust_hue(colours(), third / 3), 2)


@pytest.mark.parametrize("turn", [-0.1, 0.04])
def test_the_hue_turns_as_far_as_asked(turn):
    # HSV's hue, here the standard library's, goes round a hexagon, and ours round a circle: they are never far apart.
    muted = (colours().float() * 0.3 + 90).to(torch.uint8)
    before, after = ([rgb_to_hsv(*c)[0] for c in p.flatten(1).T.div(255).tolist()] for p in (
        muted, recolour(muted, colour_matrix(0, 1, 1, turn))
    ))  # fmt: skip
    strong = (muted.int().amax(0) - muted.int().amin(0)).flatten().numpy() > 20  # of greys the hue is chance
    turned = (np.subtract(after, before)[strong] + 0.5) % 1 - 0.5
    assert abs(turned.mean() - turn) < 0.005 and np.abs(turned - turn).max() < 0.04


@pytest.mark.parametrize(("brightness", "contrast"), [(0.0, 1.0), (0.1, 1.2), (-0.1, 0.7), (0.0, 0.0)])
def test_brightness_is_added_and_contrast_is_about_mid_grey(brightness, contrast):
    expected = (GREY + contrast * (colours().double() - GREY) + 255 * brightness).round().clamp(0, 255)
    assert near(recolour(colours(), colour_matrix(brightness, contrast, 1, 0)), expected, 1)


@given(st.floats(-0.2, 0.2), st.floats(0.5, 1.5), st.floats(0, 2), st.floats(-0.5, 0.5), st.integers(0, 255))
def test_greys_have_no_colour_to_change(brightness, contrast, saturation, hue, level):
    grey = torch.full((3, 2, 2), level, dtype=torch.uint8)
    out = recolour(grey, colour_matrix(brightness, contrast, saturation, hue)).int()
    expected = min(255, max(0, GREY + contrast * (level - GREY) + 255 * brightness))
    assert (out - expected).abs().max() <= 1 and math.isfinite(expected)
