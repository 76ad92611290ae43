import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from frostline.annotate.exchange import export, import_
from frostline.checking.prepare import prepare
from frostline.lecture.boxed import (
    Unboxed,
    boxed,
    boxes_of,
    candidates,
    first_box,
    found_and_true,
    named_boxes,
    redraw,
    scene_of,
    two_things,
)
from frostline.lecture.page import Lacking
from frostline.lecture.training import Few
from frostline.loading.batch import made_up
from frostline.predict.kinds import Detected, Placement
from frostline.scenes.scene import SPLITS, Classes, Scene


class Own:
    """What a part is given, with this dataset. none: why there is none."""

    name, overrides, drawn = "own", ("image_size=64",), False

    def __init__(self, dataset=None, none=""):
        self.found, self.none = dataset, none

    @property
    def dataset(self):
        if self.found is None:
            raise Lacking(self.none)
        return self.found

    def scenes(self):
        return self.dataset.scenes("test")


@pytest.fixture
def meadow(monkeypatch, small_meadow):
    """The drawn pictures, as few as a test needs."""
    drawn = Own(small_meadow)
    drawn.drawn = True
    drawn.overrides = ("image_size=96",)
    monkeypatch.setattr("frostline.lecture.boxed.material", lambda overrides: drawn)
    return drawn


@pytest.fixture(scope="module")
def unboxed(tmp_path_factory, listed, drawn):
    """Twelve pictures with labels and nothing else."""
    scenes = [Scene(s.id, s.image, s.label, split=SPLITS[n % 3]) for n, s in enumerate(drawn(12))]
    source = listed(scenes, Classes(labels=("a", "b")))
    return prepare(source, tmp_path_factory.mktemp("unboxed") / "unboxed", name="own", split={"given": True})


def test_pictures_with_boxes_are_the_readers(meadow, dataset, tmp_path):
    pictures = boxed(Own(dataset), {"boxes"}, tmp_path)
    assert pictures.dataset is dataset and pictures.overrides == ("image_size=64",)
    assert not pictures.drawn and pictures.why == ""
    assert boxed(meadow, {"boxes"}, tmp_path).drawn


def test_where_they_have_none_the_drawn_ones_are_shown_and_it_is_said(meadow, unboxed, tmp_path):
    pictures = boxed(Own(unboxed), {"label", "boxes"}, tmp_path)
    assert pictures.dataset is meadow.dataset and pictures.overrides == meadow.overrides and pictures.drawn
    assert pictures.why == (
        "This part trains on pictures with boxes and labels, and own has 0 of them in its split 'train' where 8 are "
        "the least: annotate some, or run it with dataset=meadow. What follows is drawn with the meadow."
    )
    pictures = boxed(Own(none="Too few to split."), {"boxes"}, tmp_path)
    assert pictures.dataset is meadow.dataset
    assert pictures.why == "Too few to split. What follows is drawn with the meadow."


def test_of_many_pictures_some_are_taken_that_have_what_is_needed(monkeypatch, dataset, tmp_path):
    monkeypatch.setattr("frostline.lecture.boxed.MOST", {"train": 8, "val": 3, "test": 4})
    few = boxed(Own(dataset), {"boxes"}, tmp_path).dataset
    assert [len(few.scenes(split)) for split in SPLITS] == [8, 3, 4]
    assert all(scene.boxes is not None for split in SPLITS for scene in few.scenes(split))
    known = named_boxes(dataset)
    assert all(known[name] == boxes for name, boxes in named_boxes(few).items())
    for split in SPLITS:  # catches the first ones in place of some of all
        there = [scene.id for scene in dataset.scenes(split) if scene.boxes is not None]
        assert (few.scenes(split)[0].id, few.scenes(split)[-1].id) == (there[0], there[-1])


def test_pictures_without_their_boxes_keep_labels_and_masks(small_meadow):
    most = {"train": 4, "val": 2, "test": 1}
    scenes = list(Unboxed(small_meadow, most).scenes())
    same = list(Few(small_meadow, {"mask"}, most).scenes())
    assert [scene.split for scene in scenes] == ["train"] * 4 + ["val"] * 2 + ["test"]
    for scene, whole in zip(scenes, same, strict=True):
        assert scene.boxes is scene.box_labels is scene.box_marks is None and whole.boxes is not None
        assert (scene.id, scene.label, scene.mask) == (whole.id, whole.label, whole.mask)


def test_a_first_box_lies_in_the_square_as_in_its_picture(dataset, unboxed):
    scene = next(scene for scene in dataset.scenes("test") if scene.boxes is not None and len(scene.boxes))
    assert scene.size == (32, 24)  # so that the two sides are scaled apart
    own = SimpleNamespace(scenes=lambda: [scene])
    x0, y0, x1, y1 = scene.boxes[0].tolist()
    assert first_box(own, 96).tolist() == [3 * x0, 4 * y0, 3 * x1, 4 * y1]
    middle = [24, 19, 67, 77]
    own = SimpleNamespace(scenes=lambda: [replace(scene, boxes=np.array([[4, 4, 5, 24]], np.float32))])
    assert first_box(own, 96).tolist() == middle  # of three pixels, which nobody sees
    assert first_box(Own(unboxed), 96).tolist() == middle and first_box(Own(), 96).tolist() == middle


def test_of_some_pictures_that_with_the_largest_second_thing_is_taken(dataset):
    boxes = [[[0, 0, 16, 12]], [[0, 0, 16, 12], [20, 14, 32, 24]], [[0, 0, 16, 12], [20, 14, 30, 20]]]
    boxes.append([[0, 0, 32, 24], [0, 0, 30, 24]])  # one and the same thing
    scene = dataset.scenes("test")[0]
    scenes = [replace(scene, boxes=np.array(each, np.float32)) for each in boxes]
    own = SimpleNamespace(scenes=lambda: scenes, square=lambda scene, side: np.full((side, side, 3), 51, np.uint8))
    picture, things = two_things(own, 96)
    assert things.tolist() == [[0, 0, 48, 48], [60, 56, 96, 96]]
    assert picture.shape == (3, 96, 96) and torch.allclose(picture, torch.tensor(0.2))
    plain = SimpleNamespace(scenes=lambda: scenes[:1], pictures=lambda n, side: torch.zeros(n, 3, side, side))
    assert len(two_things(plain, 96)[1]) == 2


@pytest.mark.parametrize("other", [[60, 56, 96, 96], [50, 2, 60, 90], [70, 75, 96, 80]])
def test_suppression_finds_the_two_things_among_the_candidates(other):
    things = torch.tensor([[0, 10, 48, 48], other]).float()
    boxes, scores = candidates(things, 96)
    assert boxes.shape == (9, 4) and boxes.min() >= 0 and boxes.max() <= 96
    assert nms(boxes[:7], scores[:7], 0.6).tolist() == [0, 4]
    assert torch.equal(boxes[[0, 4]], things)


def test_what_is_redrawn_comes_back_and_nothing_else_changes(small_meadow, tmp_path):
    export(small_meadow.path, "coco", tmp_path / "boxes.json")
    content, before = json.loads((tmp_path / "boxes.json").read_text()), named_boxes(small_meadow)
    name = next(name for name in before if len(before[name]) > 1)
    redraw(content, name, {("tulip", (1.0, 2.0, 20.0, 31.0))})
    (tmp_path / "redrawn.json").write_text(json.dumps(content))
    after, _ = import_(small_meadow.path, tmp_path / "redrawn.json", "coco", tmp_path / "after")
    assert named_boxes(after) == before | {name: {("tulip", (1.0, 2.0, 20.0, 31.0))}}
    assert scene_of(after, name).id == name


def test_what_is_found_stands_beside_what_is_there():
    batch = made_up(3, 64, classes=2)
    found = Detected(
        ("a", "b"),
        np.array([[1, 2, 30, 40]], np.float32),
        np.array([0.7], np.float32),
        np.array([1]),
        Placement(64, (0, 0, 64, 64), (64, 64)),
    )

    class Task:
        def __call__(self, image):
            return image

        def predict(self, outputs, batch):
            return [found] * len(outputs)

    told, truth = found_and_true(Task(), [batch, batch])
    assert len(told) == len(truth) == 6 and set(truth[0]) == {"boxes", "labels"}
    assert told[5]["boxes"].tolist() == [[1, 2, 30, 40]] and told[5]["labels"].tolist() == [1]
    assert torch.equal(truth[4]["boxes"], batch["boxes"][1]) and torch.equal(truth[4]["labels"], batch["box_labels"][1])
    assert torch.equal(boxes_of([batch]), torch.cat(batch["boxes"]))
