"""YOLO as tools leave it: how it is described, where texts lie, and what stands in a line."""

import math

import numpy as np
import pytest
import yaml
from PIL import Image

from frostline.errors import FrostlineError
from frostline.sources.yolo import Yolo, fits

BOX = "0 0.5 0.5 0.5 0.5\n"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def pair(root, image, text, line=BOX):
    picture(root / image)
    write(root / text, line)


def kinds(source):
    return [fault.kind for scene in source.scenes() for fault in scene.faults]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"data.yaml": {"names": ["cat", "dog"], "train": "images"}}, ("cat", "dog")),
        ({"my own.yml": {"names": {"0": "cat", "1": "dog"}}}, ("cat", "dog")),
        ({"a.yaml": {"lr": 1}, "b.yaml": {"names": {1: "dog", 0: "cat"}, "nc": 2}}, ("cat", "dog")),
        ({"classes.txt": "cat\ndog\n"}, ("cat", "dog")),
        ({"labels/classes.txt": "cat\n\ndog\n"}, ("cat", "dog")),
        ({"notes.json": '{"categories": [{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]}'}, ("dog", "cat")),
        ({"obj.data": "classes = 2\nnames = data/obj.names\n", "obj.names": "cat\ndog\n"}, ("cat", "dog")),
        ({"voc.names": "cat\ndog\n"}, ("cat", "dog")),
    ],
)
def test_whatever_names_the_classes(tmp_path, files, names):
    pair(tmp_path, "images/a.jpg", "labels/a.txt")
    for name, content in files.items():
        write(tmp_path / name, content)
    source = Yolo(tmp_path)
    (scene,) = source.scenes()
    assert source.classes.boxes == names and source.classes.boxes[scene.box_labels[0]] == "cat"
    assert scene.boxes.tolist() == [[10, 5, 30, 15]] and not scene.faults and fits(tmp_path).startswith("YOLO, ")
    assert Yolo(tmp_path, classes=["x", "y"]).classes.boxes == ("x", "y")


def test_texts_alone_ask_for_the_names(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt")
    with pytest.raises(FrostlineError, match="set dataset.source.classes to their names"):
        Yolo(tmp_path)
    assert fits(tmp_path) == "YOLO, text files without a YAML file"
    assert Yolo(tmp_path, classes=["cat"]).classes.boxes == ("cat",)
    write(tmp_path / "labels" / "a.txt", "some words that are no numbers")
    assert fits(tmp_path) is None and fits(tmp_path / "gone") is None


def test_several_yaml_files_with_names_are_told(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt")
    for name in ("one.yaml", "two.yaml"):
        write(tmp_path / name, {"names": [name]})
    with pytest.raises(FrostlineError, match=r"several YAML files \(one.yaml, two.yaml\).*dataset.source.data"):
        Yolo(tmp_path)
    assert Yolo(tmp_path, data="two.yaml").classes.boxes == Yolo(tmp_path / "two.yaml").classes.boxes == ("two.yaml",)
    assert fits(tmp_path / "two.yaml") == "YOLO, two.yaml" and fits(tmp_path / "images" / "a.jpg") is None


def test_gaps_between_numbers_are_named(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt", "0 0.5 0.5 1 1\n3 0.5 0.5 0.5 1\n2 0.5 0.5 1 1\n")
    write(tmp_path / "d.yaml", {"names": {0: "disc", 3: "ring"}})
    source = Yolo(tmp_path)
    (scene,) = source.scenes()
    assert source.classes.boxes == ("disc", "ring") and scene.box_labels.tolist() == [0, 1]
    assert [(fault.kind, fault.line) for fault in scene.faults] == [("label_unknown", 3)]
    assert source.notes[0] == "d.yaml has no name for the number 1, 2: the classes are those that it names"


def test_a_huge_number_costs_nothing(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt", "999999999 0.5 0.5 1 1\n")
    write(tmp_path / "d.yaml", {"names": {0: "disc", 999_999_999: "ring"}, "val": "images", "valid": "images"})
    source = Yolo(tmp_path)
    (scene,) = source.scenes()
    assert scene.box_labels.tolist() == [1] and "the number 1, 2, 3, 4, 5 and others" in source.notes[0]
    write(tmp_path / "d.yaml", {"nc": 1})
    write(tmp_path / "notes.json", '{"categories": [{"id": Infinity, "name": "disc"}]}')
    with pytest.raises(FrostlineError, match="no list of categories"):
        Yolo(tmp_path / "notes.json", classes=None)


def test_paths_start_at_the_file_and_end_where_something_is(tmp_path):
    pair(tmp_path, "data/images/a.jpg", "data/labels/a.txt")
    pair(tmp_path, "data/val/images/b.jpg", "data/val/labels/b.txt")
    for path in (None, ".", "data", "../data", "/home/me/data"):
        keys = {} if path is None else {"path": path}
        entries = {"train": "images", "val": "../../me/exports/val/images", "names": ["cat"]}
        write(tmp_path / "data" / "d.yaml", entries | keys)
        scenes = list(Yolo(tmp_path, data="data/d.yaml").scenes())
        assert [(scene.split, len(scene.boxes)) for scene in scenes] == [("train", 1), ("val", 1)], path


def test_the_same_pictures_for_two_splits_are_the_firsts(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt")
    write(tmp_path / "d.yaml", {"path": "..", "train": "x/images", "val": ["y/images"], "names": ["cat"]})
    source = Yolo(tmp_path)
    assert [scene.split for scene in source.scenes()] == ["train"]
    assert "the same pictures for train and val: they are train's" in source.notes[0]


@pytest.mark.parametrize(
    ("image", "text", "elsewhere"),
    [
        ("Images/train/a.jpg", "Labels/train/a.txt", False),
        ("images/Train/a.jpg", "labels/train/a.TXT", False),
        ("obj_train_data/a.jpg", "obj_train_data/a.txt", False),
        ("train/images/deep/a.jpg", "train/labels/deep/a.txt", False),
        ("images/a.jpg", "images/a.txt", False),
        ("images/a.jpg", "labels/deep/down/a.txt", True),
        ("pictures/a.jpg", "annotations/a.TXT", True),
        ("pictures/abcd1234-a.jpg", "labels/a.txt", True),
    ],
)
def test_texts_wherever_they_lie(tmp_path, image, text, elsewhere):
    pair(tmp_path, image, text)
    source = Yolo(tmp_path, classes=["cat"])
    (scene,) = source.scenes()
    assert len(scene.boxes) == 1 and scene.boxes_file == tmp_path / text and not scene.faults
    assert list(source.notes) == elsewhere * ["the texts of 1 picture(s) were found in other folders by their names"]
    assert scene.split == ("train" if "rain/" in image.replace("obj_train_data", "") else None)


def test_texts_behind_links(tmp_path):
    picture(tmp_path / "root" / "images" / "a.jpg")
    write(tmp_path / "elsewhere" / "a.txt", BOX)
    (tmp_path / "root" / "labels").symlink_to(tmp_path / "elsewhere")
    assert len(next(Yolo(tmp_path / "root", classes=["cat"]).scenes()).boxes) == 1


def test_texts_of_other_pictures_are_not_taken(tmp_path):
    """Two pictures of one name, and a text that may be either's; a text that is another picture's already."""
    pair(tmp_path, "images/one/a.jpg", "labels/three/a.txt")
    picture(tmp_path / "images" / "two" / "a.jpg")
    assert kinds(Yolo(tmp_path, classes=["cat"])) == ["annotation_missing"] * 2
    pair(tmp_path, "images/one/b.jpg", "labels/one/b.txt")
    picture(tmp_path / "images" / "two" / "b.jpg")
    (tmp_path / "images" / "two" / "a.jpg").unlink()
    source = Yolo(tmp_path, classes=["cat"])
    found = {scene.id: scene.boxes for scene in source.scenes()}
    assert len(found["images-one-b"]) == 1 and len(found["images-one-a"]) == 0 and found["images-two-b"] is None


def test_a_folder_where_nobody_looked_is_a_fault_and_a_picture_without_a_text_is_not(tmp_path):
    pair(tmp_path, "images/train/a.jpg", "labels/train/a.txt")
    for name in ("train/b.jpg", "more/c.jpg", "more/d.jpg"):
        picture(tmp_path / "images" / name)
    source = Yolo(tmp_path, classes=["cat"])
    assert kinds(source) == ["annotation_missing"] * 2
    found = {scene.id: scene for scene in source.scenes()}
    assert len(found["images-train-b"].boxes) == 0 and found["images-more-c"].boxes is None
    assert "dataset.source.unannotated=empty" in found["images-more-c"].faults[0].what
    assert source.notes == ["1 picture(s) have no text file and are taken as looked at, without objects"]
    source = Yolo(tmp_path, classes=["cat"], unannotated="empty")
    assert kinds(source) == [] and source.notes[0].startswith("3 picture(s) have no text file")


def test_lists_of_darknet_name_paths_that_are_elsewhere(tmp_path):
    for folder in ("obj_train_data", "obj_valid_data"):
        pair(tmp_path, f"{folder}/1.jpg", f"{folder}/1.txt")
    write(tmp_path / "train.txt", "data/obj_train_data/1.jpg\n")
    write(tmp_path / "valid.txt", "data/obj_valid_data/1.jpg\n")
    write(tmp_path / "obj.names", "cat\n")
    data = "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
    path = write(tmp_path / "obj.data", data)
    for root in (tmp_path, path):
        scenes = list(Yolo(root).scenes())
        assert [(scene.split, scene.image.parent.name) for scene in scenes] == [
            ("train", "obj_train_data"), ("val", "obj_valid_data")
        ]  # fmt: skip
        assert [len(scene.boxes) for scene in scenes] == [1, 1] and fits(root) == "YOLO, obj.data"


def read(tmp_path, text, **settings):
    pair(tmp_path, "images/a.jpg", "labels/a.txt", text)
    source = Yolo(tmp_path, classes=["cat", "dog"], **settings)
    return source, next(source.scenes())


QUADS = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n1 -0.1 0.5 0.25 0.2 0.5 0.5 0.25 0.8\n"
SQUARE = "{} 0.5 0.5 0.25 0.5 {}\n"  # 10 x 10 pixels around the middle
HALF = 5 * math.sqrt(2)


def test_four_corners_each_are_oriented_boxes(tmp_path):
    source, scene = read(tmp_path, QUADS)
    assert np.allclose(scene.boxes, [[10, 5, 30, 15], [0, 4, 20, 16]]) and source.classes.masks is None
    assert "all objects have four corners" in source.notes[0] and not scene.faults
    source, scene = read(tmp_path, QUADS.splitlines()[0], masks="outlines")
    assert source.classes.masks == ("background", "cat", "dog") and scene.mask[10, 20] == 1 and not source.notes
    assert read(tmp_path, QUADS + "0 0.1 0.1 0.2 0.1 0.2 0.3\n")[0].classes.masks is not None
    source, scene = read(tmp_path, QUADS + "0 0.1 0.1 0.2 0.1 0.2 0.3\n", masks="none")
    assert source.classes.masks is None and len(scene.boxes) == 3
    with pytest.raises(FrostlineError, match="dataset.source.masks=outlines needs outlines alone"):
        read(tmp_path, QUADS + BOX, masks="outlines")
    with pytest.raises(FrostlineError, match="dataset.source.masks is 'yes'"):
        read(tmp_path, QUADS, masks="yes")


@pytest.mark.parametrize(
    ("turns", "unit", "half"),
    [
        ((math.pi / 4, -math.pi / 4), "radians", HALF),
        ((45, 135), "degrees", HALF),
        ((0, 10), "degrees", 5),
        ((90, 0), "degrees", 5),
        ((-math.pi / 2, 0), "radians", 5),
    ],
)
def test_boxes_with_an_angle(tmp_path, turns, unit, half):
    source, scene = read(tmp_path, "".join(SQUARE.format(0, turn) for turn in turns))
    expected = [20 - half, 10 - half, 20 + half, 10 + half]
    assert np.allclose(scene.boxes[0], expected, atol=1e-4) and f"an angle, taken for {unit}" in source.notes[0]


def test_a_sixth_number_may_be_a_confidence(tmp_path):
    source, scene = read(tmp_path, SQUARE.format(0, 0.9))
    assert kinds(source) == ["annotation_unreadable"] and "dataset.source.angle is degrees" in scene.faults[0].what
    source, scene = read(tmp_path, SQUARE.format(0, 0.5), angle="radians")
    turned = 5 * (math.cos(0.5) + math.sin(0.5))
    assert np.allclose(scene.boxes, [[20 - turned, 10 - turned, 20 + turned, 10 + turned]]) and not source.notes
    source, _ = read(tmp_path, SQUARE.format(0, 45) + BOX)  # beside plain boxes it is none
    assert kinds(source) == ["annotation_unreadable"]


UPRIGHT = [15, 5, 25, 15]


def test_a_setting_takes_the_sixth_number_for_a_confidence(tmp_path):
    source, scene = read(tmp_path, SQUARE.format(0, 0.9) + SQUARE.format(1, 1), angle="none")
    assert np.allclose(scene.boxes, [UPRIGHT] * 2) and scene.box_labels.tolist() == [0, 1]
    assert not scene.faults and not source.notes
    source, scene = read(tmp_path, SQUARE.format(0, 45) + SQUARE.format(1, 0.4), angle="none")
    assert kinds(source) == ["annotation_unreadable"] and "has 45 where a confidence" in scene.faults[0].what
    assert scene.box_labels.tolist() == [1]


@pytest.mark.parametrize("plain", ["", BOX])
def test_many_sixth_numbers_tell_a_confidence(tmp_path, plain):
    text = plain + "".join(SQUARE.format(0, round(0.3 + 0.03 * n, 2)) for n in range(24))
    source, scene = read(tmp_path, text)
    assert np.allclose(scene.boxes[-24:], [UPRIGHT] * 24) and not scene.faults and len(source.notes) == 1
    assert "taken for a confidence" in source.notes[0] and "dataset.source.angle=radians" in source.notes[0]
    source, scene = read(tmp_path, text + SQUARE.format(1, 45))  # one slip among many changes nothing else
    assert [fault.line for fault in scene.faults] == [25 + bool(plain)] and np.allclose(
        scene.boxes[-24:], [UPRIGHT] * 24
    )
    source, scene = read(tmp_path, text + SQUARE.format(1, 0) * 24)  # boxes turned by nothing are no confidences
    assert len(scene.faults) == 48 and "dataset.source.angle" in scene.faults[0].what


def test_one_slip_does_not_change_the_unit_of_angles(tmp_path):
    text = "".join(SQUARE.format(0, turn) for turn in [math.pi / 4, -math.pi / 4] * 10)
    source, scene = read(tmp_path, text + SQUARE.format(1, 45))
    assert "taken for radians" in source.notes[0] and len(scene.boxes) == 20
    assert np.allclose(scene.boxes[0], [20 - HALF, 10 - HALF, 20 + HALF, 10 + HALF], atol=1e-4)
    assert [(fault.line, fault.kind) for fault in scene.faults] == [(21, "annotation_unreadable")]


def test_one_value_beyond_shares_is_a_slip_and_no_unit(tmp_path):
    source, scene = read(tmp_path, "0 0.5 0.5 25 0.5\n")
    assert [(fault.kind, fault.line) for fault in scene.faults] == [("annotation_unreadable", 1)]
    source, scene = read(tmp_path, SQUARE.format(0, "").rstrip() + "\n0 0.5 0.5 25 0.5\n")
    assert np.allclose(scene.boxes, [UPRIGHT]) and "25, which is no share" in scene.faults[0].what
    for name in "bcd":  # in a dataset of pixels, a small object in a corner is in pixels, too
        pair(tmp_path, f"images/{name}.jpg", f"labels/{name}.txt", "0 20 10 10 10\n")
    source, scene = read(tmp_path, "0 1 1 2 2\n")
    assert scene.boxes.tolist() == [[0, 0, 2, 2]] and [fault.kind for fault in scene.faults] == ["box_units"]


def test_a_picture_is_of_the_innermost_folder_that_is_named(tmp_path):
    pair(tmp_path, "images/a.jpg", "labels/a.txt")
    pair(tmp_path, "images/val/b.jpg", "labels/val/b.txt")
    for train in ("images", ["images", "images/val/..", "images"]):
        write(tmp_path / "d.yaml", {"train": train, "val": "images/val", "names": ["cat"]})
        source = Yolo(tmp_path)
        assert [(scene.split, scene.image.name) for scene in source.scenes()] == [("train", "a.jpg"), ("val", "b.jpg")]
    write(tmp_path / "d.yaml", {"train": "images", "val": "images/val", "names": ["cat"]})
    assert "names 1 picture(s) of val for another split" in Yolo(tmp_path).notes[0]


def test_odd_but_readable_lines(tmp_path):
    source, scene = read(tmp_path, "1.0000 0.5 0.5 0.5 0.5\r\n    \n\t0.0 5e-1 .5 0.5 0.5\n")
    assert scene.box_labels.tolist() == [1, 0] and not scene.faults and len(scene.boxes) == 2
    source, scene = read(tmp_path, "    \n")
    assert len(scene.boxes) == 0 and not scene.faults and not source.notes
