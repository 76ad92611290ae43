"""COCO as tools leave it: files and pictures at other places, categories that are no classes, crowds, doubles."""

import json

import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.scenes.scene import CROWD, DIFFICULT
from frostline.sources.coco import Coco, fits

OUTLINE = [[1, 1, 9, 1, 9, 9, 1, 9]]
CODE = {"size": [20, 30], "counts": [100, 40, 460]}


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)


def write(path, names, annotations=(), categories=({"id": 1, "name": "cat"},), **more):
    """A file that lists pictures numbered from 0, each with the boxes of its annotations."""
    images = [{"id": number, "file_name": name, "width": 30, "height": 20} for number, name in enumerate(names)]
    content = {"images": images, "annotations": list(annotations), "categories": list(categories), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def one(number=0, of=0, category=1, **more):
    return {"id": number, "image_id": of, "category_id": category, "bbox": [1, 2, 3, 4], "iscrowd": 0} | more


def kinds(source):
    return [fault.kind for scene in source.scenes() for fault in scene.faults]


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("annotations.json", "a.jpg"),
        ("result.json", "images/a.jpg"),
        ("labels.json", "data/a.jpg"),
        ("annotations/instances_default.json", "images/default/a.jpg"),
        ("Annotations/all.JSON", "a.jpg"),
        ("pictures/my_own.json", "pictures/a.jpg"),
        ("train/_annotations.coco.json", "train/a.jpg"),
    ],
)
def test_a_file_beside_the_pictures_or_above_them(tmp_path, file, image):
    picture(tmp_path / image)
    path = write(tmp_path / file, ["a.jpg"], [one()])
    assert fits(tmp_path).startswith("COCO, one instance file") and fits(path) == "COCO, one instance file"
    for root in (tmp_path, path):
        (scene,) = Coco(root).scenes()
        assert scene.image.samefile(tmp_path / image) and scene.boxes.tolist() == [[1, 2, 4, 6]]
        assert scene.split == ("train" if file.startswith("train") and root != path else None)


def test_other_kinds_and_other_json_are_left_alone(tmp_path):
    picture(tmp_path / "a.jpg")
    write(tmp_path / "annotations" / "instances_train.json", ["a.jpg"], [one()])
    for name in ("stuff_train", "captions_train", "image_info_train"):
        write(tmp_path / "annotations" / f"{name}.json", ["gone.jpg"])
    assert len(list(Coco(tmp_path).scenes())) == 1 and fits(tmp_path) == "COCO, one instance file in annotations"
    flat = tmp_path / "flat"
    picture(flat / "a.jpg")
    write(flat / "labels.json", ["a.jpg"], [one()])
    write(flat / "image_info_all.json", ["gone.jpg"])
    (flat / "a.json").write_text(json.dumps({"version": "5", "shapes": [], "imagePath": "a.jpg", "images": []}))
    (flat / "tasks.json").write_text(json.dumps([{"images": [], "annotations": []}]))
    (flat / "broken.json").write_text("{")
    assert len(list(Coco(flat).scenes())) == 1 and kinds(Coco(flat)) == []


def test_what_is_no_coco_does_not_fit(tmp_path):
    picture(tmp_path / "a.jpg")
    for name, text in (
        ("a.json", "[]"),
        ("b.json", "\0"),
        ("c.json", '{"shapes": [], "images": []}'),
        ("notes.json", '{"categories": []}'),
    ):
        (tmp_path / name).write_text(text)
        assert fits(tmp_path / name) is None
    assert fits(tmp_path) is None and fits(tmp_path / "gone") is None and fits(tmp_path / "a.jpg") is None
    with pytest.raises(FrostlineError, match="holds no JSON files of COCO's kind"):
        Coco(tmp_path)


def test_a_category_that_only_groups_others_is_no_class(tmp_path):
    picture(tmp_path / "a.jpg")
    above = [{"id": 0, "name": "fruit"}, {"id": 1, "name": "apple", "supercategory": "fruit"}]
    path = write(tmp_path / "all.json", ["a.jpg"], [one()], above)
    source = Coco(tmp_path)
    assert source.classes.boxes == ("apple",) and next(source.scenes()).box_labels.tolist() == [0]
    assert source.notes == ["the category 'fruit' has no annotation and only groups others: it is no class"]
    # One that is annotated is a class, and so is one that is its own group alone.
    write(path, ["a.jpg"], [one(), one(1, category=0, bbox=[2, 2, 2, 2])], above)
    assert Coco(tmp_path).classes.boxes == ("fruit", "apple") and not Coco(tmp_path).notes
    write(path, ["a.jpg"], [one()], [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear", "supercategory": "pear"}])
    assert Coco(tmp_path).classes.boxes == ("apple", "pear")


def test_a_category_called_background_is_the_background(tmp_path):
    picture(tmp_path / "a.jpg")
    categories = [{"id": 0, "name": "Background"}, {"id": 1, "name": "disc"}]
    path = write(tmp_path / "all.json", ["a.jpg"], [one(segmentation=OUTLINE)], categories)
    source = Coco(tmp_path)
    assert source.classes.masks == ("background", "disc") and source.classes.boxes == ("disc",)
    assert next(source.scenes()).mask.max() == 1 and "'Background' has no annotation" in source.notes[0]
    # Drawn: its pixels are the background's, and it keeps its boxes.
    within = one(1, category=0, segmentation=[[3, 3, 6, 3, 6, 6, 3, 6]], bbox=[3, 3, 3, 3])
    write(path, ["a.jpg"], [one(segmentation=OUTLINE), within], categories)
    source = Coco(tmp_path)
    scene = next(source.scenes())
    assert source.classes.masks == ("background", "disc") and source.classes.boxes == ("Background", "disc")
    assert scene.mask[4, 4] == 0 and scene.mask[2, 2] == 1 and scene.box_labels.tolist() == [1, 0]


def test_masks_that_are_all_crowds_are_found_and_taken_as_a_setting_says(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / name)
    path = write(tmp_path / "all.json", ["a.jpg", "b.jpg"], [one(segmentation=CODE, iscrowd=1)])
    assert kinds(Coco(tmp_path)) == ["crowds_alone"]
    assert kinds(Coco(tmp_path, crowds="unknown")) == []
    assert next(Coco(tmp_path, crowds="unknown").scenes()).box_marks.tolist() == [CROWD]
    source = Coco(tmp_path, crowds="instances")
    scene = next(source.scenes())
    assert (
        scene.boxes.tolist() == [[1, 2, 4, 6]]
        and scene.counted.all()
        and set(np.unique(scene.mask)) == {0, 1}
        and kinds(source) == []
    )
    assert source.notes == ["1 of 1 annotations are crowds, and taken for single objects"]
    # As COCO itself has them: few, among outlines.
    write(path, ["a.jpg"], [one(segmentation=OUTLINE), one(1, segmentation=CODE, iscrowd=1, bbox=[2, 2, 2, 2])])
    source = Coco(tmp_path)
    assert kinds(source) == [] and "1 of 2 annotations are crowds: their boxes count neither way" in source.notes[0]
    crowds = [one(number, segmentation=CODE, iscrowd=1, bbox=[number, 2, 2, 2]) for number in (5, 6)]
    write(path, ["a.jpg"], [*crowds, one(1), one(2, bbox=[3, 3, 3, 3])])
    assert kinds(Coco(tmp_path)) == []
    # Boxes of crowds without outlines are what they say; "ignore" is what converters of VOC write.
    marked = [one(iscrowd=1), one(1, bbox=[3, 3, 3, 3], iscrowd=1), one(2, bbox=[4, 4, 3, 3], ignore=1)]
    write(path, ["a.jpg"], marked)
    assert kinds(Coco(tmp_path)) == [] and next(Coco(tmp_path).scenes()).box_marks.tolist() == [CROWD, CROWD, DIFFICULT]
    # A crowd may have its pixels alone.
    bare = {key: value for key, value in one(1, segmentation=CODE, iscrowd=1).items() if key != "bbox"}
    write(path, ["a.jpg"], [one(segmentation=OUTLINE), bare])
    assert kinds(Coco(tmp_path)) == [] and len(next(Coco(tmp_path).scenes()).boxes) == 1
    with pytest.raises(FrostlineError, match="dataset.source.crowds is 'yes': set it to auto, unknown, instances"):
        Coco(tmp_path, crowds="yes")


def test_annotations_that_stand_there_twice_are_taken_once(tmp_path):
    picture(tmp_path / "a.jpg")
    other = one(3, category=2)
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    write(tmp_path / "all.json", ["a.jpg"], [one(), one(), one(7), other], categories)
    source = Coco(tmp_path)
    assert next(source.scenes()).box_labels.tolist() == [0, 1]
    assert source.notes == ["2 annotation(s) stand there twice, word for word, and are taken once"]


def test_names_of_another_machine_are_told(tmp_path):
    picture(tmp_path / "set" / "pics" / "p00.jpg")
    picture(tmp_path / "secret.jpg")
    names = ["../../up/abcd1234-p00.jpg", "../secret.jpg", "https://example.org/gone.jpg"]
    write(tmp_path / "set" / "result.json", names, [one()])
    source = Coco(tmp_path / "set")
    scenes = list(source.scenes())
    assert scenes[0].image == tmp_path / "set" / "pics" / "p00.jpg" and len(scenes[0].boxes) == 1
    assert [[fault.kind for fault in scene.faults] for scene in scenes] == [[], ["path_outside"], ["picture_missing"]]
    assert source.notes[0].startswith("1 of 3 pictures are not where they should be")


def test_pictures_that_no_file_names_are_counted(tmp_path):
    write(tmp_path / "instances.json", ["a.png"], [one()])
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    source = Coco(tmp_path)
    assert source.notes == ["2 of 3 pictures are named nowhere (such as b.png) and are left out"]
    assert len(list(source.scenes())) == 1
