"""Boxes that count neither way: from a source, through a dataset, to the items that a model is trained on."""

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from frostline.checking.prepare import prepare
from frostline.config import compose
from frostline.doctor.diagnosis import diagnose
from frostline.doctor.inventory import Inventory
from frostline.errors import FrostlineError
from frostline.loading.items import SceneItems
from frostline.loading.module import SceneDataModule
from frostline.runs.build import build_data
from frostline.scenes.faults import policies
from frostline.scenes.needs import lacks, serving
from frostline.scenes.scene import COUNTED, CROWD, DIFFICULT, SPLITS, Classes
from frostline.scenes.splits import Split
from frostline.sources.prepared import Prepared

NAMES = ("counts", "crowd", "hard")  # of the classes: each has one mark, so that a box tells what its own was
# Of a dataset that was made before there were marks.
HASH = "fe844247bbfb089cabc92c7503458c23ec0289f5163ffd40178593dd137e4d1f"
BOXES = np.array([[2, 2, 10, 12], [4, 4, 30, 22], [12, 3, 20, 20]], np.float32)


@pytest.fixture
def marked(drawn):
    """12 scenes; of each third one all boxes are of crowds, others have one of each mark."""
    scenes = []
    for number, scene in enumerate(drawn(12)):
        order = np.array([1]) if number % 3 == 0 else np.roll([0, 1, 2], number)
        found = {"boxes": BOXES[order], "box_labels": order.astype(np.int64), "box_marks": order.astype(np.uint8)}
        scenes.append(replace(scene, label=None, mask=None, split=SPLITS[number % 4 % 3], **found))
    return scenes


@pytest.fixture
def dataset(listed, marked, tmp_path):
    return prepare(
        listed(marked, Classes(boxes=NAMES)), tmp_path / "marked", name="marked", split={"given": True}, on_fault="fix"
    )


def test_marks_come_back_as_they_were(dataset, marked, tmp_path):
    before = {scene.id: scene for scene in marked}
    for split in SPLITS:
        scenes = dataset.scenes(split)
        for scene in scenes:
            was = before[scene.id]
            assert np.array_equal(scene.boxes, was.boxes) and np.array_equal(scene.box_marks, was.box_marks)
        assert scenes.counted_boxes.tolist() == [int(scene.counted.sum()) for scene in scenes]
        assert scenes.box_counts.tolist() == [len(scene.boxes) for scene in scenes]
        for needs in ({"boxes"}, {"label", "boxes"}):
            expected = [lacks(scene, needs, dataset.classes) is None for scene in scenes]
            assert serving(scenes, needs).tolist() == expected, needs
        assert serving(scenes, {"label", "boxes"}).sum() < len(scenes) == serving(scenes, {"boxes"}).sum()
    again = prepare(Prepared(dataset.path), tmp_path / "again", name="marked", split={"given": True}, on_fault="fix")
    assert again.data_hash == dataset.data_hash


def test_other_tools_are_told(dataset):
    seen = {0: set(), 1: set(), 2: set()}
    for split in SPLITS:
        for each in json.loads((dataset.path / f"{split}.json").read_text())["annotations"]:
            seen[each["category_id"] - 1].add((each["iscrowd"], each.get("ignore", 0)))
    assert seen == {COUNTED: {(0, 0)}, CROWD: {(1, 0)}, DIFFICULT: {(0, 1)}}


def test_what_does_not_count_is_no_example_of_its_class(dataset):
    counts = dataset.info["counts"]
    assert counts["train"]["boxes"]["counts"] == 4 and counts["train"]["boxes"]["crowd"] == 0
    assert counts["train"]["boxes_ignored"] == 10
    kinds = {(fault["kind"], fault["what"]) for fault in dataset.info["faults"]}
    assert ("class_untrained", "has no example of 'crowd' (boxes)") in kinds
    occurrences = SceneDataModule(dataset, {"boxes"}, 32, 4).occurrences
    assert occurrences.by_class(3).tolist() == [4, 0, 0]


def test_the_hash_of_a_dataset_tells_marks_and_is_as_ever_without_them(listed, drawn, tmp_path):
    def hash_of(name, mark):
        scenes = drawn(8)
        marks = None if mark is None else np.array([mark], np.uint8)
        scenes = [scenes[0], *scenes[1:-1], replace(scenes[-1], box_marks=marks)]
        return prepare(listed(scenes), tmp_path / name, name="x", split={"seed": 1}, on_fault="fix").data_hash

    plain, counted, crowd, hard = (hash_of(str(mark), mark) for mark in (None, COUNTED, CROWD, DIFFICULT))
    assert plain == counted == HASH and len({plain, crowd, hard}) == 3


def test_a_box_that_counts_is_no_double_of_one_that_does_not(listed, drawn, tmp_path):
    scenes = drawn(8)
    twice = {"boxes": BOXES[[0, 0, 0]], "box_labels": np.zeros(3, np.int64)}
    scenes[0] = replace(scenes[0], **twice, box_marks=np.array([COUNTED, CROWD, CROWD], np.uint8))
    with pytest.raises(FrostlineError, match=r"1 fault\(s\) .* has a box twice"):
        prepare(listed(scenes), tmp_path / "x", name="x")
    found = prepare(listed(scenes), tmp_path / "x", name="x", on_fault="fix")
    (scene,) = [scene for split in SPLITS for scene in found.scenes(split) if scene.id == "s000"]
    assert scene.box_marks.tolist() == [COUNTED, CROWD]
    scenes[0] = replace(scenes[0], box_marks=np.zeros(2, np.uint8))
    with pytest.raises(FrostlineError, match="has 3 boxes, 3 labels of boxes, 2 marks and 3 lines"):
        prepare(listed(scenes), tmp_path / "x", name="x")


def test_pictures_whose_marks_differ_are_annotated_otherwise(listed, drawn, tmp_path):
    scenes = drawn(8)
    scenes.append(replace(scenes[0], id="copy", box_marks=np.array([CROWD], np.uint8)))
    found = prepare(listed(scenes), tmp_path / "x", name="x")
    assert {(fault["kind"], fault["scene"]) for fault in found.info["faults"]} == {
        ("label_conflict", "s000"), ("label_conflict", "copy"),
    }  # fmt: skip


def test_localization_takes_the_largest_box_that_counts(dataset):
    items = SceneItems(dataset, "train", {"label", "boxes"}, 32)
    assert len(items) == 4
    for position in range(len(items)):
        item = items.plain(position)
        assert item["box_labels"].tolist() == [0] and item["box_marks"].tolist() == [COUNTED] and item["label"] == 0


@pytest.mark.parametrize("options", [["light"], ["strong", "augment/mix=mosaic"], ["crops", "augment.side=32"]])
def test_marks_follow_their_boxes_and_go_with_them(dataset, options):
    config = compose(["task=detection", "image_size=64", "augment.views=2", f"augment={options[0]}", *options[1:]])
    items = build_data(config, dataset).items("train")
    counts = Counter()
    for position, view in product(range(len(items)), range(6)):
        item = items[position, view]
        assert item["box_marks"].tolist() == item["box_labels"].tolist()
        assert len(item["box_marks"]) == len(item["boxes"]) and item["box_marks"].dtype == torch.uint8
        counts[len(item["boxes"])] += 1
    assert len(counts) > 2 or options == ["light"]  # some boxes were cut off


def test_the_doctor_counts_them_apart(listed, marked):
    source = listed(marked, Classes(boxes=NAMES))
    there = Inventory.of(diagnose(source, Split(given=True), policies("fix", {}), "some"), source)
    head, train, *_ = there.rows
    row = dict(zip(head, train, strict=True))
    assert (row["boxes"], row["boxes that do not count"]) == ("4", "10")
    assert there.as_json()["splits"]["train"]["boxes_ignored"] == 10
    plain = listed([replace(scene, box_marks=None) for scene in marked], Classes(boxes=NAMES))
    whole = Inventory.of(diagnose(plain, Split(given=True), policies("fix", {}), "some"), plain)
    assert "boxes that do not count" not in whole.rows[0]
