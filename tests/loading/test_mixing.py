"""Each mix against what is known of the pictures that go in: flat colours that tell whose pixel is whose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from frostline.config import build, compose
from frostline.errors import FrostlineError
from frostline.loading.items import SceneItems
from frostline.loading.mixing import CopyPaste, CutMix, MixUp, Mosaic
from frostline.scenes.scene import VOID, Classes

SIZE = 64
FOUR = Classes(labels=("a", "b", "c"), boxes=("x", "y"), masks=("background", "x", "y"))


def dataset_of(classes=FOUR, masks=True, boxes=True, name="flat"):
    """As much of a dataset as a mix looks at."""
    scene = SimpleNamespace(mask="a file" if masks else None, boxes=np.zeros((1, 4)) if boxes else None)
    return SimpleNamespace(name=name, classes=classes, scenes=lambda split: [scene])


def flat(level, label=0):
    # Channels last, as the transforms leave pictures: so that a mix is tempted to paint into what it was given.
    image = torch.full((SIZE, SIZE, 3), level, dtype=torch.uint8).permute(2, 0, 1)
    return {"image": tv_tensors.Image(image), "label": label}


def put(*objects, ground=10, masks=True):
    """A scene of rectangles (x0, y0, x1, y1, level, class): each is its own colour, box and area of the mask."""
    image = torch.full((3, SIZE, SIZE), ground, dtype=torch.uint8)
    mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    for x0, y0, x1, y1, level, kind in objects:
        window = (slice(max(0, y0), max(0, y1)), slice(max(0, x0), max(0, x1)))
        image[(slice(None), *window)] = level
        mask[window] = kind + 1
    boxes = torch.tensor([list(o[:4]) for o in objects], dtype=torch.float32).reshape(-1, 4)
    return {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask(mask if masks else torch.full_like(mask, VOID)),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(SIZE, SIZE), clamping_mode=None),
        "box_labels": torch.tensor([o[5] for o in objects], dtype=torch.int64),
        "box_marks": torch.arange(len(objects)).to(torch.uint8) % 3,
    }


def extent(area):
    y, x = torch.nonzero(area, as_tuple=True)
    return torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


def test_mixup_labels_weigh_as_the_pixels_do():
    torch.manual_seed(0)
    mix, shares = MixUp(dataset_of(), {"label"}, alpha=1.0), []
    for _ in range(200):
        out = mix(flat(40, 0), lambda: flat(240, 2))
        level, label = float(out["image"][0, 0, 0]), out["label"].tolist()
        assert out["label"].dtype == torch.float32 and sum(label) == pytest.approx(1) and label[1] == 0
        assert level == pytest.approx(40 * label[0] + 240 * label[2], abs=0.51)
        assert (out["image"] == level).all()
        shares.append(label[2])
    # The smaller share is the other's; drawn evenly, it is a quarter in the mean.
    assert min(shares) < 0.03 and 0.47 < max(shares) <= 0.5 and np.mean(shares) == pytest.approx(0.25, abs=0.03)


def test_cutmix_labels_weigh_as_the_areas_do():
    torch.manual_seed(0)
    mix, shares = CutMix(dataset_of(), {"label"}, alpha=1.0), []
    for _ in range(200):
        out = mix(flat(40, 0), lambda: flat(240, 2))
        area = out["image"][0] == 240
        share = float(area.float().mean())
        assert out["label"].tolist() == pytest.approx([1 - share, 0, share], abs=1e-6)
        assert (out["image"][:, ~area] == 40).all()
        if share:
            x0, y0, x1, y1 = (int(v) for v in extent(area))
            assert area[y0:y1, x0:x1].all()  # one rectangle
        shares.append(share)
    assert min(shares) < 0.05 and max(shares) > 0.7


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_what_is_not_mixed_has_a_sure_label_and_its_own_picture(kind):
    torch.manual_seed(0)
    given = flat(40, 1)
    out = kind(dataset_of(), {"label"}, p=0.0)(given, lambda: flat(240, 2))
    assert out["label"].tolist() == [0, 1, 0] and (out["image"] == 40).all() and given["label"] == 1
    again = kind(dataset_of(), {"label"})(given, lambda: flat(240, 1))
    assert again["label"].tolist() == pytest.approx([0, 1, 0]) and (given["image"] == 40).all()


def coloured(rng, ground):
    """A scene with a red and a green square, which do not hide each other; its blue tells it from others."""
    corners = rng.integers(0, SIZE - 20, (2, 2)).tolist()
    scene = put(*((x, y, x + 20, y + 20, 0, kind) for kind, (x, y) in enumerate(corners)))
    scene["image"][:2], scene["image"][2] = 0, ground
    for kind, (x, y) in enumerate(corners):
        scene["image"][kind, y : y + 20, x : x + 20] = 250
    return scene


def test_boxes_of_a_mosaic_surround_the_same_squares():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    mix, found, clipped, lost = Mosaic(dataset_of(), {"boxes"}, p=1.0), 0, 0, 0
    for _ in range(60):
        scenes = [coloured(rng, level) for level in (60, 100, 140, 180)]
        others = iter(scenes[1:])
        out = mix(scenes[0], lambda others=others: next(others))
        assert next(others, None) is None and len(out["boxes"]) == len(out["box_labels"])
        image = out["image"].as_subclass(torch.Tensor)
        for box, label in zip(out["boxes"].as_subclass(torch.Tensor), out["box_labels"].tolist(), strict=True):
            x, y = ((box[:2] + box[2:]) / 2).int().tolist()
            quarter = image[2] == image[2, y, x]
            square = extent((image[label] > 125) & quarter)
            assert (square - box).abs().max() <= 1
            found += 1
            clipped += bool((extent(quarter) == box).any())
        lost += 8 - len(out["boxes"])
    assert found > 200 and clipped > 100 and lost > 5


def test_a_mosaic_shows_four_quarters_that_meet_where_asked():
    torch.manual_seed(0)
    centres = []
    for _ in range(100):
        scenes = [put(ground=level) for level in (50, 100, 150, 200)]
        others = iter(scenes[1:])
        out = Mosaic(dataset_of(), {"boxes"}, p=1.0)(scenes[0], lambda others=others: next(others))
        image = out["image"][0]
        extents = [extent(image == level).tolist() for level in (50, 100, 150, 200)]
        x, y = extents[0][2:]
        assert extents == [[0, 0, x, y], [x, 0, SIZE, y], [0, y, x, SIZE], [x, y, SIZE, SIZE]]
        assert out["boxes"].shape == (0, 4) and out["box_labels"].shape == (0,)
        centres += [x / SIZE, y / SIZE]
    assert 0.29 < min(centres) < 0.35 and 0.65 < max(centres) < 0.71


def test_a_mosaic_scales_evenly_and_drops_what_it_mostly_cuts_off():
    torch.manual_seed(0)
    counts = []
    for _ in range(80):
        scene = put((0, 0, 32, 32, 200, 1))
        out = Mosaic(dataset_of(), {"boxes"}, p=1.0)(scene, lambda: put((16, 16, 48, 48, 90, 0)))
        counts.append(int((out["box_labels"] == 1).sum()))
        whole = [b for b in out["boxes"].tolist() if b[0] % 1 or b[2] % 1]  # not cut at the quarter's edge
        assert all(0.6 < (b[2] - b[0]) / (b[3] - b[1]) < 1.7 or min(b[2] - b[0], b[3] - b[1]) > 0 for b in whole)
        assert 3 <= len(out["boxes"]) <= 4
    assert set(counts) <= {0, 1} and 1 in counts


def test_pasted_pictures_and_masks_belong_together():
    # The picture's level is a function of the mask, before and so after.
    torch.manual_seed(0)
    level = torch.tensor([10, 100, 200])
    mix, changed = CopyPaste(dataset_of(), {"mask"}, p=1.0), 0
    for _ in range(50):
        mine = put((5, 5, 30, 30, 100, 0), (40, 40, 60, 60, 200, 1))
        other = put((20, 20, 50, 50, 200, 1), (2, 50, 12, 62, 100, 0), (60, 2, 62, 4, 100, 0))
        for item in (mine, other):
            del item["boxes"], item["box_labels"]
        before = mine["mask"].clone()
        out = mix(mine, lambda other=other: other)
        assert (out["image"].int() == level[out["mask"].long()]).all()
        assert torch.equal(mine["mask"], before)
        assert out["mask"][3, 61] == 0  # too small to be an object
        changed += not torch.equal(out["mask"], before)
    assert 25 < changed < 48  # of two objects each comes with an even chance


def test_boxes_come_along_shrink_and_go():
    mine = put((0, 0, 20, 20, 60, 0), (40, 0, 60, 20, 80, 0), (0, 40, 20, 60, 100, 0))
    other = put((8, 0, 30, 20, 120, 1), (38, 0, 62, 22, 140, 1), (30, 40, 50, 60, 160, 1))
    out = CopyPaste(dataset_of(), {"boxes"}, share=1.0, p=1.0)(mine, lambda: other)
    # The first is covered from 8 on, the second wholly, the third not at all; all three others come.
    expected = [[0, 0, 8, 20], [0, 40, 20, 60], [8, 0, 30, 20], [38, 0, 62, 22], [30, 40, 50, 60]]
    assert out["boxes"].tolist() == expected and out["box_labels"].tolist() == [0, 0, 1, 1, 1]
    assert out["box_marks"].tolist() == [0, 2, 0, 1, 2]  # each its own still
    for box, level in zip(out["boxes"], (60, 100, 120, 140, 160), strict=True):
        assert torch.equal(extent(out["image"][0] == level), box)
    assert isinstance(out["boxes"], tv_tensors.BoundingBoxes)


def test_without_a_mask_of_its_own_a_scene_can_still_be_pasted_into():
    mine = put((0, 0, 20, 20, 60, 0), masks=False)
    other = put((8, 0, 30, 20, 120, 1))
    mix = CopyPaste(dataset_of(), {"boxes"}, share=1.0, p=1.0)
    assert mix(mine, lambda: other)["boxes"].tolist() == [[0, 0, 8, 20], [8, 0, 30, 20]]
    assert mix(other, lambda: mine) is other  # which tells no object


def test_a_region_without_a_box_is_not_pasted_where_boxes_are_asked_for():
    other = put((8, 0, 30, 20, 120, 1), (40, 40, 60, 60, 160, 0))
    other["boxes"], other["box_labels"] = tv_tensors.wrap(other["boxes"][:1], like=other["boxes"]), torch.tensor([1])
    other["box_marks"] = torch.tensor([2], dtype=torch.uint8)
    out = CopyPaste(dataset_of(), {"boxes"}, share=1.0, p=1.0)(put(), lambda: other)
    assert out["box_marks"].tolist() == [2]
    assert out["boxes"].tolist() == [[8, 0, 30, 20]] and (out["image"][:, 40:60, 40:60] == 10).all()


def test_an_object_that_is_mostly_out_of_view_is_not_pasted_and_one_partly_is_clipped():
    mix = CopyPaste(dataset_of(), {"boxes"}, share=1.0, p=1.0)
    gone = put((-18, 0, 4, 20, 120, 1))
    assert len(mix(put(), lambda: gone)["boxes"]) == 0
    cut = put((-10, 0, 10, 20, 120, 1))
    assert mix(put(), lambda: cut)["boxes"].tolist() == [[0, 0, 10, 20]]
    assert mix(cut, lambda: put((20, 0, 40, 20, 60, 0)))["boxes"].tolist() == [[0, 0, 10, 20], [20, 0, 40, 20]]


def test_a_box_of_a_part_goes_with_its_object_and_is_clipped_to_it():
    other = put((8, 0, 30, 20, 120, 1))
    other["boxes"] = tv_tensors.wrap(torch.tensor([[0.0, 0, 20, 12]]), like=other["boxes"])  # a head, say
    out = CopyPaste(dataset_of(), {"boxes"}, share=1.0, p=1.0)(put(), lambda: other)
    assert out["boxes"].tolist() == [[8, 0, 20, 12]]


def test_which_classes_are_objects_can_be_told():
    other = put((5, 5, 30, 30, 100, 0), (40, 40, 60, 60, 200, 1))
    out = CopyPaste(dataset_of(), {"mask"}, classes=["y"], share=1.0, p=1.0)(put(), lambda: other)
    assert set(out["mask"].unique().tolist()) == {0, 2}
    pets = Classes(masks=("pet", "background", "border"))
    assert CopyPaste(dataset_of(pets), {"mask"}).objects == [0, 2]


@pytest.mark.parametrize(
    ("kind", "needs", "options", "words"),
    [
        (MixUp, {"boxes"}, {}, "MixUp.* serves classification alone, and this task is another"),
        (CutMix, {"label", "boxes"}, {}, "CutMix.* serves classification alone"),
        (Mosaic, {"label"}, {}, "Mosaic.* serves detection alone"),
        (Mosaic, {"label", "boxes"}, {}, "Mosaic.* serves detection alone"),
        (CopyPaste, {"label"}, {}, "CopyPaste.* serves segmentation and detection alone"),
        (MixUp, {"label"}, {"alpha": 0}, "augment.mix.alpha is 0"),
        (MixUp, {"label"}, {"p": 2}, "augment.mix.p is 2"),
        (Mosaic, {"boxes"}, {"centre": [0.7, 0.3]}, "augment.mix.centre"),
        (CopyPaste, {"mask"}, {"classes": ["z"]}, "'z', which the masks of dataset 'flat' do not have; they have"),
    ],
)
def test_what_a_mix_does_not_fit_it_refuses_in_one_sentence(kind, needs, options, words):
    with pytest.raises(FrostlineError, match=words) as error:
        kind(dataset_of(), needs, **options)
    assert "\n" not in str(error.value)


def test_copy_paste_refuses_a_dataset_without_masks_or_without_a_background():
    with pytest.raises(FrostlineError, match="dataset 'flat' has no masks beside boxes in its split 'train'"):
        CopyPaste(dataset_of(masks=False), {"boxes"})
    streets = dataset_of(Classes(masks=("sky", "road", "car")))
    with pytest.raises(FrostlineError, match="no class 'background', so .* augment.mix.classes to some of sky, road"):
        CopyPaste(streets, {"mask"})
    CopyPaste(streets, {"mask"}, classes=["car"])


def test_others_are_other_scenes_augmented_and_drawn_from_the_items_own_stream(dataset):
    class Spy(MixUp):
        def mixed(self, item, another):
            self.seen = [another() for _ in range(200)]
            return item

    spy = Spy(dataset, {"label"})
    items = SceneItems(dataset, "train", {"label"}, 48, seed=3, mix=spy)
    plain = [items.plain(position)["image"] for position in range(len(items))]
    item = items[2, 5]
    drawn = [next(n for n, p in enumerate(plain) if torch.equal(p, other["image"])) for other in spy.seen]
    assert 2 not in drawn and len(set(drawn)) > 8
    assert torch.equal(item["image"], plain[2]) and item["label"].sum() == 1
    first = spy.seen
    torch.rand(5)
    items[2, 5]
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, spy.seen, strict=True))
    items[2, 6]
    assert not all(torch.equal(a["image"], b["image"]) for a, b in zip(first, spy.seen, strict=True))


@pytest.mark.parametrize(
    ("name", "kind", "needs"),
    [
        ("mixup", MixUp, "label"),
        ("cutmix", CutMix, "label"),
        ("mosaic", Mosaic, "boxes"),
        ("copy_paste", CopyPaste, "mask"),
    ],
)
def test_the_mixes_of_the_configuration_are_built(name, kind, needs, dataset):
    # conftest's masks have no class called background
    more = ["augment.mix.classes=[front]"] if name == "copy_paste" else []
    mix = build(compose([f"augment/mix={name}", *more])["augment"]["mix"], dataset, {needs})
    assert type(mix) is kind


def test_no_mix_is_the_default_and_unknown_ones_are_told():
    for augment in ("none", "light", "lecture", "strong"):
        assert compose([f"augment={augment}"])["augment"]["mix"] is None
