from dataclasses import replace

import numpy as np

from frostline.annotate.boxes import Box, box_names
from frostline.annotate.proposals import class_called, mask_boxes, propose
from frostline.scenes.scene import SPLITS, Classes, Scene


def by_scene(proposals):
    return {proposal.scene: proposal for proposal in proposals}


def test_a_box_around_each_region_of_each_class():
    mask = np.zeros((30, 40), np.uint8)
    mask[2:10, 3:20] = 1
    mask[12:20, 25:35] = 1
    mask[20, 35] = 1  # touches at a corner
    mask[29, 0] = 1  # a speck: under a hundredth of the largest
    mask[0:3, 30:40] = 2
    mask[25:30, 10:12] = 255
    found = mask_boxes(mask, {1: "rose", 2: "tulip"})
    assert found == (Box("rose", (3, 2, 20, 10)), Box("rose", (25, 12, 36, 21)), Box("tulip", (30, 0, 40, 3)))
    assert mask_boxes(mask, {2: "tulip"}) == found[2:] and mask_boxes(mask, {7: "x"}) == ()


def test_boxes_that_are_there_come_before_all_others(boxed):
    found = by_scene(propose(boxed))
    assert len(found) == 15
    truth = {scene.id: scene for split in SPLITS for scene in boxed.scenes(split)}
    for scene, proposal in found.items():
        assert proposal.annotated == (truth[scene].boxes is not None) and proposal.uncertainty is None
        if proposal.annotated:
            assert [list(box.corners) for box in proposal.boxes] == truth[scene].boxes.tolist()
            assert [("zebra", "ant").index(box.label) for box in proposal.boxes] == truth[scene].box_labels.tolist()
    assert found["b03"].annotated and found["b03"].boxes == ()
    assert not found["b04"].annotated and found["b04"].by is None


def test_only_missing_and_split(boxed):
    assert [proposal.scene for proposal in propose(boxed, only_missing=True)] == ["b04", "b05"]
    assert [proposal.scene for proposal in propose(boxed, ["test"])] == ["b02", "b05", "b08", "b11", "b14"]
    assert [proposal.scene for proposal in propose(boxed, ["test"], only_missing=True)] == ["b05"]


def test_masks_give_boxes_called_as_the_picture_is_labelled(flowers):
    found = by_scene(propose(flowers))
    assert found["f00"].boxes == (Box("rose", (10, 5, 40, 25)),) and found["f00"].by == "mask"
    assert found["f06"].boxes == (Box("rose", (10, 5, 40, 31)),) and not found["f06"].annotated
    assert found["f04"].boxes == () and found["f04"].by is None  # its mask shows nothing
    assert all(found[f"f{number:02}"].boxes == () for number in range(1, 12, 2))
    assert found["f00"].file == "f00.png" and found["f00"].size == (60, 40)


def test_what_a_mask_shows_but_boxes_do_not_tell_gets_no_box():
    scene, unlabelled = (Scene("s", np.zeros((1, 1, 3), np.uint8), label=label) for label in (0, None))
    masks = ("pet", "background", "border", "head")
    assert class_called(scene, Classes(labels=("cat",), boxes=("head",), masks=masks)) == {3: "head"}
    assert (
        class_called(scene, Classes(labels=("cat",), boxes=("cat",), masks=masks)) == {}
    )  # of three, which is the cat?
    assert class_called(scene, Classes(masks=masks)) == {0: "pet", 2: "border", 3: "head"}
    flowers = Classes(labels=("rose",), masks=("background", "flower"))
    assert class_called(scene, flowers) == class_called(scene, replace(flowers, boxes=("bee", "rose"))) == {1: "rose"}
    assert class_called(scene, replace(flowers, boxes=("bee",))) == class_called(unlabelled, flowers) == {}
    assert class_called(scene, replace(flowers, boxes=("flower", "rose"))) == {1: "flower"}


def test_classes_of_boxes_default_to_the_labels():
    assert box_names(Classes(("a",), ("x",), ("background", "m"))) == ("x",)
    assert box_names(Classes(("a",), None, ("background", "m"))) == ("a",)
    assert box_names(Classes(None, None, ("m", "background"))) == ("m",)


def test_a_run_is_asked_about_the_rest_and_the_most_uncertain_comes_first(flowers):
    asked = []

    def predict(scenes):
        asked.extend(scene.id for scene in scenes)
        return [((Box("rose", (0, 0, 1, 1), 0.5),) if n % 2 else (), n / 10) for n, _ in enumerate(scenes)]

    found = propose(flowers, predict=predict, run="mine")
    assert set(asked) == {"f04", "f01", "f03", "f05", "f07", "f09", "f11"}  # no mask, or one that shows nothing
    uncertain = [proposal for proposal in found if proposal.uncertainty is not None]
    assert found[:7] == uncertain and [proposal.scene for proposal in uncertain] == asked[::-1]
    assert all(proposal.by == "mine" for proposal in uncertain)
    assert all(proposal.by == "mask" for proposal in found[7:])
    assert len(uncertain[0].boxes) == 0 and len(uncertain[1].boxes) == 1
