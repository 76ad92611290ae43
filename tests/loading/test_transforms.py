from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision import tv_tensors

from frostline.loading.transforms import (
    GREY,
    RandomBrightnessContrast,
    RandomColour,
    RandomErasing,
    RandomGeometry,
    RandomZoomShift,
    keep_visible,
    visible_in,
)
from frostline.scenes.scene import VOID

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


def preset(name):
    return instantiate(OmegaConf.load(CONF / f"{name}.yaml").transform)


def whole(scene):
    """Image, mask and boxes as plain tensors."""
    return [scene[key].as_subclass(torch.Tensor) for key in ("image", "mask", "boxes")]


@pytest.mark.parametrize("name", ["light", "lecture", "strong"])
def test_under_every_preset_an_object_stays_in_its_box(name):
    torch.manual_seed(0)
    transform, seen, moved = preset(name), 0, 0
    for corners in [(10, 20, 50, 60), (0, 0, 30, 40), (60, 50, 96, 96), (40, 40, 41, 41)] * 30:
        out = transform(sample(corners))
        image, mask, boxes = whole(out)
        assert image.shape == (3, SIZE, SIZE) and mask.shape == (SIZE, SIZE) and boxes.shape == (1, 4)
        assert image.dtype == mask.dtype == torch.uint8 and boxes.dtype == torch.float32
        assert [type(out[key]) for key in out] == [tv_tensors.Image, tv_tensors.Mask, tv_tensors.BoundingBoxes]
        if (mask == 1).any() and boxes.any():
            found = extent(mask == 1)
            assert (found[:2] >= boxes[0, :2] - 0.6).all() and (found[2:] <= boxes[0, 2:] + 0.6).all()
            moved += (boxes[0] - torch.tensor(corners)).abs().max() > 3
            seen += 1
    assert seen > 90 and moved > 60


def test_a_crop_is_a_square_of_the_side_and_keeps_objects_in_their_boxes():
    config = OmegaConf.load(CONF / "crops.yaml")
    config.side, seen, places = 48, 0, set()
    transform = instantiate(config.transform)
    torch.manual_seed(0)
    for _ in range(60):
        image, mask, boxes = whole(transform(sample((40, 30, 60, 60))))
        assert image.shape == (3, 48, 48) and mask.shape == (48, 48)
        (left, top, right, bottom), places = boxes[0].tolist(), places | {tuple(boxes[0].tolist())}
        if (mask == 1).any():
            found = extent(mask == 1)
            assert found[0] >= left - 0.6 and found[1] >= top - 0.6
            assert found[2] <= right + 0.6 and found[3] <= bottom + 0.6
            seen += 1
    assert seen > 30 and len(places) > 50  # a window at the same place each time would be no augmentation


@pytest.mark.parametrize("name", ["light", "lecture", "strong"])
def test_a_scene_without_boxes_stays_one(name):
    given = sample((0, 0, 9, 9))
    given["boxes"] = tv_tensors.wrap(torch.zeros(0, 4), like=given["boxes"])
    for seed in range(10):
        torch.manual_seed(seed)
        assert preset(name)(given)["boxes"].shape == (0, 4)


def test_geometry_does_what_it_is_asked_and_no_more():
    given = sample((20, 30, 60, 50))
    for asked, expected in [
        ({}, [20, 30, 60, 50]),
        ({"flip": 1.0}, [36, 30, 76, 50]),
        ({"flip_vertical": 1.0}, [20, 46, 60, 66]),
        ({"zoom": (0.5, 0.5)}, [34, 39, 54, 49]),
        ({"crop": (0.25, 0.25), "ratio": (4.0, 4.0)}, None),
    ]:
        image, mask, boxes = whole(RandomGeometry(**asked)(given))
        if expected is None:  # a window as wide as the picture and a quarter as high
            assert (boxes[0, 2] - boxes[0, 0]).item() == pytest.approx(40)
            assert (boxes[0, 3] - boxes[0, 1]).item() == pytest.approx(80)
        else:
            assert boxes.tolist() == [expected] and extent(mask == 1).tolist() == expected
            assert (extent(image[0] > 220) - torch.tensor(expected)).abs().max() <= 1


def test_geometry_reaches_its_bounds_and_no_further():
    torch.manual_seed(0)
    turns, zooms, shears, shifts = [], [], [], []
    turn, zoom, shear, shift = ({"rotate": 20}, {"zoom": (0.8, 1.25)}, {"shear": 10}, {"shift": 0.1})
    flat = [tv_tensors.Image(torch.zeros(3, SIZE, SIZE, dtype=torch.uint8))]
    for _ in range(400):
        a, b, c, d = (RandomGeometry(**one).make_params(flat)["matrix"] for one in (turn, zoom, shear, shift))
        turns.append(torch.rad2deg(torch.atan2(torch.tensor(a[1, 0]), torch.tensor(a[0, 0]))).item())
        zooms.append(b[0, 0])
        shears.append(-torch.rad2deg(torch.atan(torch.tensor(c[1, 0]))).item())
        shifts += [d[0, 2] / SIZE, d[1, 2] / SIZE]
    for values, low, high in [(turns, -20, 20), (zooms, 0.8, 1.25), (shears, -10, 10), (shifts, -0.1, 0.1)]:
        span = high - low
        assert low <= min(values) < low + 0.03 * span and high - 0.03 * span < max(values) <= high


def test_a_crop_shows_nothing_from_outside_and_every_part_in_time():
    torch.manual_seed(0)
    given = sample((0, 0, SIZE, SIZE))
    lefts = []
    for _ in range(200):
        _, mask, boxes = whole(RandomGeometry(crop=(0.3, 0.8), ratio=(0.7, 1.4))(given))
        assert (mask == 1).all()
        area = (boxes[0, 2] - boxes[0, 0]) * (boxes[0, 3] - boxes[0, 1]) / SIZE**2
        assert 1 / 0.8 - 0.01 <= area <= 1 / 0.3 + 0.01
        lefts.append(float(-boxes[0, 0] / (boxes[0, 2] - boxes[0, 0] - SIZE)))
    assert min(lefts) < 0.05 and max(lefts) > 0.95


def test_a_change_of_one_setting_leaves_the_draws_of_the_others():
    given = sample((20, 30, 60, 50))
    for seed in range(5):
        boxes = []
        for settings in (
            {"shift": 0.2},
            {"shift": 0.2, "flip": 0.0, "rotate": 0.0},
            {"shift": 0.2, "zoom": (0.5, 0.5)},
        ):
            torch.manual_seed(seed)
            found = whole(RandomGeometry(**settings)(given))[2][0]
            boxes.append(((found[:2] + found[2:]) / 2 - (SIZE / 2)).tolist())
        assert boxes[0] == boxes[1]
        zoomed = [(a - b) for a, b in zip(boxes[0], boxes[2], strict=True)]
        assert zoomed == pytest.approx([-4.0, -4.0], abs=1e-4)  # half of what the box lies off the centre


def test_colour_leaves_masks_and_boxes_and_what_it_is_given_alone():
    given = sample((20, 30, 60, 50))
    before = given["image"].clone()
    out = RandomColour(0.2, 0.3, 0.5, 0.1)(given)
    assert out["mask"] is given["mask"] and out["boxes"] is given["boxes"]
    assert torch.equal(given["image"], before) and not torch.equal(out["image"], before)


def test_without_saturation_and_hue_colour_is_what_light_does():
    torch.manual_seed(0)
    image = tv_tensors.Image(torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8))
    params = RandomColour(0.1, 0.2).make_params([image])
    stretch, shift = params["matrix"][0, 0], params["matrix"][0, 3]
    ours = RandomColour(0.1, 0.2).transform(image, params).int()
    light = RandomBrightnessContrast(0.1, 0.2).transform(image, {"stretch": stretch, "shift": shift}).int()
    assert (ours - light).abs().max() <= 1
    assert params["matrix"][0, 1:3].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_what_is_hidden_is_grey_and_void_and_of_the_asked_size():
    torch.manual_seed(0)
    areas, given = [], sample((0, 0, SIZE, SIZE))
    for _ in range(200):
        image, mask, boxes = whole(RandomErasing(p=1.0, area=(0.05, 0.2), ratio=(0.5, 2.0))(given))
        x0, y0, x1, y1 = (int(v) for v in extent(mask == VOID))
        assert (mask[y0:y1, x0:x1] == VOID).all() and ((image == GREY).all(0) == (mask == VOID)).all()
        assert 0.45 < (x1 - x0) / (y1 - y0) < 2.2 and boxes.tolist() == [[0, 0, SIZE, SIZE]]
        areas.append((x1 - x0) * (y1 - y0) / SIZE**2)
    assert 0.045 <= min(areas) < 0.06 and 0.18 < max(areas) <= 0.21
    assert (given["image"] == 230).all() and (given["mask"] == 1).all()
    rates = [bool((RandomErasing(p=0.3)(given)["mask"] == VOID).any()) for _ in range(300)]
    assert 60 < sum(rates) < 120


@pytest.mark.parametrize(
    ("corners", "left"), [((0, 0, 10, 10), False), ((0, 0, 40, 12), True), ((50, 50, 60, 60), True)]
)
def test_a_box_that_is_nearly_all_hidden_goes(corners, left):
    hide = RandomErasing().transform(sample(corners)["boxes"], {"hidden": (0, 0, 30, 11)})
    mask = RandomErasing().transform(sample(corners)["mask"], {"hidden": (0, 0, 30, 11)})
    assert extent(mask == VOID).tolist() == [0, 0, 30, 11]
    assert keep_visible(hide.as_subclass(torch.Tensor), SIZE)[1].tolist() == [left]


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (RandomGeometry, {"zoom": (1.2, 0.8)}, "zoom is"),
        (RandomGeometry, {"zoom": (0.8,)}, "zoom is"),
        (RandomGeometry, {"crop": (0.5, 1.5)}, "crop is"),
        (RandomGeometry, {"flip": 1.5}, "flip is 1.5"),
        (RandomGeometry, {"shear": 90}, "shear is 90"),
        (RandomColour, {"hue": 0.7}, "hue is 0.7"),
        (RandomErasing, {"area": (0, 0.5)}, "area is"),
    ],
)
def test_settings_out_of_range_are_told(kind, settings, words):
    with pytest.raises(ValueError, match=words):
        kind(**settings)


def test_a_box_is_clipped_to_a_window_and_judged_by_its_own_area():
    boxes, kept = visible_in(torch.tensor([[0.0, 0, 10, 10], [9, 9, 20, 20], [18, 5, 22, 9]]), (8, 0, 20, 30))
    assert kept.tolist() == [True, True, True] and boxes.tolist() == [[8, 0, 10, 10], [9, 9, 20, 20], [18, 5, 20, 9]]
    assert visible_in(torch.tensor([[0.0, 0, 10, 10]]), (8.5, 0, 20, 30))[1].tolist() == [False]


def test_none_changes_nothing():
    given = sample((1, 2, 30, 40))
    out = instantiate(OmegaConf.load(CONF / "none.yaml").transform)(given)
    assert all(torch.equal(out[key], given[key]) for key in given)
