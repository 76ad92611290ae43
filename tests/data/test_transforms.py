from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision import tv_tensors

from frostline.data.scenes import VOID
from frostline.data.transforms import GREY, RandomBrightnessContrast, RandomZoomShift, keep_visible

CONF = Path(__file__).parents[2] / "conf" / "augment"
SIZE = 96


def sample(corners):
    x0, y0, x1, y1 = corners
    image = torch.full((3, SIZE, SIZE), 40, dtype=torch.uint8)
    image[:, y0:y1, x0:x1] = 230
    mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    mask[y0:y1, x0:x1] = 1
    boxes = tv_tensors.BoundingBoxes([corners], format="XYXY", canvas_size=(SIZE, SIZE), clamping_mode=None)
    return {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask(mask),
        "boxes": tv_tensors.wrap(boxes.float(), like=boxes),
    }


def extent(area):
    y, x = torch.nonzero(area, as_tuple=True)
    return torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


def test_picture_mask_and_box_move_together():
    light = instantiate(OmegaConf.load(CONF / "light.yaml").transform)
    torch.manual_seed(0)
    moved = clipped = 0
    for corners in [(10, 20, 50, 60), (0, 0, 30, 40), (60, 50, 96, 96)] * 30:
        out = light(sample(corners))
        assert out["image"].shape == (3, SIZE, SIZE) and out["image"].dtype == torch.uint8
        box, kept = keep_visible(out["boxes"].as_subclass(torch.Tensor), SIZE)
        assert kept.all()
        assert (box[0] - extent(out["mask"] == 1)).abs().max() <= 1
        bright = out["image"][0].as_subclass(torch.Tensor).int()
        # The object is brighter than the grey that fills up by at least 0.8 * (230 - GREY).
        assert (box[0] - extent(bright > bright.max() - 40)).abs().max() <= 2
        moved += (box[0] - torch.tensor(corners)).abs().max() > 3
        clipped += bool((out["boxes"] < 0).any() or (out["boxes"] > SIZE).any())
    assert moved > 60 and clipped > 5


@pytest.mark.parametrize("zoom", [0.8, 0.9, 1.1, 1.25])
def test_masks_stay_on_their_pictures_to_a_fraction_of_a_pixel(zoom):
    # The trap: torchvision resizes masks by `nearest`, half a pixel beside the picture; thin classes suffer.
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    disc = (y - 47.5) ** 2 + (x - 47.5) ** 2 < 900
    disc = disc.to(torch.uint8)
    item = {"image": tv_tensors.Image(disc.expand(3, -1, -1) * 255), "mask": tv_tensors.Mask(disc)}
    out = RandomZoomShift(zoom=(zoom, zoom), shift=0.0)(item)
    seen = out["image"][0].as_subclass(torch.Tensor).float() * (out["mask"] != VOID)
    marked = (out["mask"] == 1).float()
    for axis in (x, y):
        centres = [float((weight * axis).sum() / weight.sum()) for weight in (seen, marked)]
        assert abs(centres[0] - centres[1]) < 0.2


def test_what_comes_into_view_is_grey_and_void():
    shrink = RandomZoomShift(zoom=(0.5, 0.5), shift=0.0)
    out = shrink(sample((0, 0, SIZE, SIZE)))
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[24:72, 24:72] = True
    assert (out["mask"][inside] == 1).all() and (out["mask"][~inside] == VOID).all()
    assert (out["image"][:, :20] == GREY).all() and (out["image"][:, 30:60, 30:60] == 230).all()
    assert out["boxes"].tolist() == [[24, 24, 72, 72]]


def test_zoom_and_shift_reach_their_bounds_and_no_further():
    torch.manual_seed(0)
    zoom = RandomZoomShift(zoom=(0.8, 1.25), shift=0.1)
    sides, centres = [], []
    for _ in range(300):
        box = zoom(sample((38, 38, 58, 58)))["boxes"][0]
        sides.append(float(box[2] - box[0]) / 20)
        centres.append(float(box[0] + box[2]) / 2 / SIZE - 0.5)
    assert 0.79 <= min(sides) < 0.83 and 1.2 < max(sides) <= 1.27
    assert -0.11 <= min(centres) < -0.08 and 0.08 < max(centres) <= 0.11


def test_brightness_and_contrast_are_about_mid_grey():
    image = tv_tensors.Image(torch.arange(256, dtype=torch.uint8).expand(3, 4, 256).contiguous())
    out = RandomBrightnessContrast(0.0, 0.2).transform(image, {"stretch": 1.2, "shift": -0.2 * GREY})
    for value in (0, 100, 128, 150, 255):
        assert out[0, 0, value] == min(255, max(0, round(128 + 1.2 * (value - 128))))
    mask = tv_tensors.Mask(torch.ones(4, 4, dtype=torch.uint8))
    assert RandomBrightnessContrast()(image, mask)[1] is mask


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([-10, 0, 10, 10], [0, 0, 10, 10]),
        ([-39, 0, 11, 10], [0, 0, 11, 10]),  # 22 % left
        ([-41, 0, 9, 10], None),  # 18 % left
        ([100, 0, 110, 10], None),
        ([5, 5, 5, 9], None),
        ([3, 4, 5, 6], [3, 4, 5, 6]),
    ],
)
def test_boxes_mostly_out_of_view_are_dropped(box, expected):
    boxes, kept = keep_visible(torch.tensor([box, [0, 0, 1, 1]], dtype=torch.float32), SIZE)
    assert kept.tolist() == [expected is not None, True]
    assert boxes.tolist() == ([expected] if expected else []) + [[0, 0, 1, 1]]


def test_none_changes_nothing():
    given = sample((1, 2, 30, 40))
    out = instantiate(OmegaConf.load(CONF / "none.yaml").transform)(given)
    assert all(torch.equal(out[key], given[key]) for key in given)
