import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.loading.module import SceneDataModule
from frostline.pictures.fit import GREY, place, square
from frostline.pictures.preprocessing import Preprocessing
from frostline.scenes.scene import VOID, Classes, Scene


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([32, 96, 224]))
def test_a_letterbox_keeps_the_shape_and_lies_in_the_middle(width, height, size):
    left, top, w, h = place(width, height, size, "letterbox")
    assert max(w, h) == size and min(w, h) >= 1
    assert abs(w * height - h * width) <= max(width, height) or min(w, h) == 1  # within half a pixel of the true shape
    assert 0 <= size - w - 2 * left <= 1 and 0 <= size - h - 2 * top <= 1
    assert place(width, height, size, "stretch") == (0, 0, size, size)


def test_a_square_picture_is_the_same_either_way():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    assert (Preprocessing(32, "letterbox").square(pixels) == Preprocessing(32).square(pixels)).all()


def test_a_stretched_picture_is_what_pil_makes_of_it():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 50, 3), np.uint8))
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    assert (Preprocessing(32).square(np.asarray(image)) == expected).all()
    assert (square(image, 32, "stretch", Image.Resampling.BILINEAR, GREY) == expected).all()


@pytest.mark.parametrize(("width", "height"), [(60, 24), (24, 60)])
def test_picture_mask_and_boxes_lie_together_in_the_letterbox(tmp_path, listed, width, height):
    scenes = []
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 60, (height, width, 3), np.uint8)
        pixels[6:18, 4:20] = 250
        mask = np.zeros((height, width), np.uint8)
        mask[6:18, 4:20] = 1
        boxes = np.array([[4, 6, 20, 18]], np.float32)
        scenes.append(Scene(f"s{number}", pixels, None, boxes, np.array([0]), mask))
    classes = Classes(boxes=("x",), masks=("back", "front"))
    data = prepare(listed(scenes, classes), tmp_path / "out", name="long")
    items = SceneDataModule(data, {"boxes", "mask"}, 96, 4, fit="letterbox").items("val")
    item = items[0, 0]
    scale = 96 / 60
    left, top = ((96 - round(24 * scale)) // 2, 0) if width < height else (0, (96 - round(24 * scale)) // 2)
    expected = torch.tensor([4 * scale + left, 6 * scale + top, 20 * scale + left, 18 * scale + top])
    assert (item["boxes"][0] - expected).abs().max() <= 0.5  # whole pixels are resized
    for area in (item["mask"] == 1, item["image"][0] > 140):
        y, x = torch.nonzero(area, as_tuple=True)
        found = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1])
        assert (found - item["boxes"][0]).abs().max() <= 1.2
    margin = torch.ones(96, 96, dtype=torch.bool)
    short = slice((96 - round(24 * scale)) // 2, (96 - round(24 * scale)) // 2 + round(24 * scale))
    margin[(slice(None), short) if width < height else short] = False
    assert ((item["mask"] == VOID) == margin).all() and (item["image"][:, margin] == GREY).all()
    assert margin.sum() == 96 * (96 - round(24 * scale))
