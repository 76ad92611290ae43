"""What the doctor says first: what is there, by split; and that much that is wrong stays readable."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from frostline.checking.whole import Finding
from frostline.doctor.diagnosis import diagnose, table, to_json
from frostline.doctor.inventory import MOST, Inventory
from frostline.doctor.page import to_html
from frostline.scenes.faults import Fault, policies
from frostline.scenes.scene import VOID, Classes, Scene
from frostline.scenes.splits import Split
from frostline.sources.base import Source


class Some(Source):
    """Scenes as they are given; what was taken for granted is known at the end."""

    classes = Classes(("a", "b"), ("x", "[y]"), ("back", "front"))

    def __init__(self, scenes):
        self.found = scenes

    def scenes(self):
        self.notes = []
        yield from self.found
        self.notes = ["corners are counted from 1."]


def picture(seed, size=(32, 24)):
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)


@pytest.fixture
def source():
    boxes = {"boxes": np.array([[1, 1, 9, 9], [2, 2, 20, 20]], np.float32), "box_labels": np.array([1, 1])}
    none = {"boxes": np.zeros((0, 4), np.float32), "box_labels": np.zeros(0, np.int64)}
    mask = np.full((24, 32), VOID, np.uint8)
    mask[:3] = 1
    return Some(
        [
            Scene("s0", picture(0), 0, split="train", **boxes),
            Scene("s1", picture(1), 1, split="train", **none),
            Scene("s2", picture(2, (64, 48)), None, split="train"),
            Scene("s3", picture(3), 0, split="train", mask=mask),
            Scene("s4", picture(4), 1, split="test", **none),
            Scene("s5", picture(5), 1, split="val"),
            Scene("s6", picture(6), 1),
        ]
    )


def examined(source, given="auto"):
    return diagnose(source, Split(given=given), policies("skip", {}), "some")


def test_what_is_there_is_counted(source):
    """Catches boxes that nobody drew counted as looked at, and the unknown of masks counted as a class."""
    there = Inventory.of(examined(source), source)
    head, train, val, test = there.rows
    assert dict(zip(head, train, strict=True)) == {
        "split": "train", "pictures": "4", "px": "32 x 24 to 64 x 48, median 32 x 24", "with label": "3",
        "looked at for boxes": "2", "with mask": "1", "boxes": "2", "looked at, no box": "1", "not annotated": "1",
    }  # fmt: skip
    assert test[1:] == ["1", "32 x 24", "1", "1", "0", "0", "1", "0"] and val[-1] == "0"
    assert there.class_rows("boxes") == [["class (boxes)", "train", "val", "test"], ["x", *"000"], ["[y]", *"200"]]
    assert there.class_rows("masks")[1:] == [["back", *"000"], ["front", *"100"]]
    assert there.notes == (
        "corners are counted from 1",
        "its own train, val and test are kept (dataset.split.given=false splits anew)",
        "1 scenes are in none of its splits, and are left out",
        "1 of 7 scenes are in no split: 1 in none of the given splits",
    )
    told = json.loads(to_json(examined(source), "some", there))["inventory"]
    assert told["splits"]["train"]["classes"]["boxes"] == {"x": 0, "[y]": 2} and len(told["notes"]) == 4
    page = to_html(examined(source), "some", there)
    assert page.index("corners are counted from 1") < page.index("<td>[y]") < page.index("<h2")
    moved = Inventory.of(examined(source, False), source).notes[-1]
    assert moved.endswith("not in the split of origin: dataset.split.given=true keeps them")


def test_nobody_is_advised_to_keep_what_is_kept():
    # A split that is drawn out of the given train moves scenes, whatever dataset.split.given says.
    source = Some([Scene(f"s{n}", picture(n), n % 2, split="train") for n in range(20)])
    notes = Inventory.of(examined(source), source).notes
    assert "its own train is kept (dataset.split.given=false splits anew)" in notes
    assert "val and test are drawn from its train, as it gives none" in notes
    assert not any("origin" in note for note in notes)
    dealt = diagnose(source, Split(folds=5), policies("skip", {}), "some")  # which refuses to keep any
    assert Inventory.of(dealt, source).notes[-1].endswith("not in the split of origin")
    none = Some([Scene(f"s{n}", picture(n), n % 2, split="test") for n in range(20)])
    assert Inventory.of(examined(none), none).notes[-1].endswith("not in the split of origin")


def test_of_many_classes_some_are_shown(source):
    source.classes = Classes(tuple(f"c{n:03}" for n in range(500)), source.classes.boxes, source.classes.masks)
    rows = Inventory.of(examined(source), source).class_rows("labels")
    assert len(rows) == MOST + 2 and rows[1 + MOST // 2][0] == "… 480 classes between"
    assert [row[0] for row in rows[1:3]] == ["c001", "c000"]


def test_a_hundred_thousand_findings_are_a_page_that_can_be_read(source):
    """Catches a list of all of them, and looking through all for each kind."""
    kinds = ("box_empty", "mask_value", "duplicate")
    findings = [Finding(f"s{n}", Fault(kinds[n % 3], f"{n}.jpg", "is wrong"), "skip") for n in range(100_000)]
    many = replace(examined(source), findings=findings)
    start = time.perf_counter()
    page, rows = to_html(many, "many"), table(many, "many").rows
    assert len(rows) == 3 and len(page) < 100_000 and page.count('class="card"') == 72
    assert "33334" in page and time.perf_counter() - start < 5
