from collections import Counter

import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.parsing.corners import from_one
from frostline.scenes.scene import COUNTED, DIFFICULT
from frostline.sources.voc import VOC_NAMES, Voc
from frostline.sources.voc_xml import read_voc_boxes


def voc(*objects):
    """Objects of name, xmin, ymin, xmax, ymax, and perhaps difficult; the first box stands in line 6, then every 4."""
    text = "\n".join(
        f"<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult>\n<bndbox>\n"
        f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>\n</bndbox></object>"
        for name, x0, y0, x1, y1, *difficult in objects
    )
    return f"<annotation>\n<size>\n<width>30</width><height>20</height>\n</size>\n{text}\n</annotation>"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in "abcde":
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
    (root / "Annotations" / "a.xml").write_text(voc(("dog", 1, 1, 30, 20), ("cat", 6, 7, 15, 19, "difficult")))
    (root / "Annotations" / "b.xml").write_text(voc())
    (root / "Annotations" / "c.xml").write_text(voc(("cat", 2, 3, 4, 5)))
    (root / "Annotations" / "._c.xml").write_text("not an annotation")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\nc\n")
    return root


def scenes_of(root, **settings):
    source = Voc(root, **settings)
    return source, {scene.id: scene for scene in source.scenes()}


def faults(scene):
    return [(fault.kind, fault.file.name, fault.line) for fault in scene.faults]


def test_layout_is_read(root):
    source, scenes = scenes_of(root)
    assert source.classes.boxes == ("cat", "dog") and source.classes.masks is None and source.classes.labels is None
    assert list(scenes) == ["a", "b", "c", "d", "e"]
    assert scenes["a"].boxes.tolist() == [[0, 0, 30, 20], [5, 6, 15, 19]] and scenes["a"].boxes.dtype == np.float32
    assert scenes["a"].box_labels.tolist() == [1, 0] and list(scenes["a"].box_lines) == [6, 10]
    assert scenes["a"].boxes_file == root / "Annotations" / "a.xml"
    assert scenes["b"].boxes.shape == (0, 4) and scenes["d"].boxes is None
    assert [scene.split for scene in scenes.values()] == ["train", "val", "train", None, None]
    assert not any(scene.faults for scene in scenes.values())


def test_one_zero_anywhere_means_that_pixels_count_from_zero(root):
    (root / "Annotations" / "e.xml").write_text(voc(("cat", 5, 0, 9, 9)))
    _, scenes = scenes_of(root)
    assert scenes["a"].boxes.tolist()[0] == [1, 1, 30, 20] and scenes["e"].boxes.tolist() == [[5, 0, 9, 9]]


def test_a_box_without_area_says_nothing_of_where_pixels_count_from(root):
    (root / "Annotations" / "e.xml").write_text(voc(("cat", 0, 0, 0, 0)))
    source, scenes = scenes_of(root)
    assert source.counting.first == 1 and scenes["a"].boxes.tolist()[0] == [0, 0, 30, 20]


def test_the_size_says_which_picture_was_annotated(root):
    _, scenes = scenes_of(root)
    assert scenes["a"].size == (30, 20) and scenes["d"].size is None
    for size in ("", "<size><width>big</width><height>20</height></size>", "<size><width>-3</width></size>"):
        (root / "Annotations" / "e.xml").write_text(f"<annotation>{size}</annotation>")
        assert scenes_of(root)[1]["e"].size is None


def test_a_huge_xml_is_not_read(root, monkeypatch):
    monkeypatch.setattr("frostline.sources.voc_xml._MOST_XML", 100)
    _, scenes = scenes_of(root)
    assert faults(scenes["a"]) == [("annotation_unreadable", "a.xml", None)]
    assert "more than 100 bytes" in scenes["a"].faults[0].what


def test_faulty_boxes_stay_faulty(root):
    (root / "Annotations" / "e.xml").write_text(
        voc(("cat", 5, 4, 5, 9), ("cat", 9, 9, 2, 2), ("cat", 2, 2, 99, 9), ("cat", "nan", 1, 2, 2))
    )
    _, scenes = scenes_of(root)
    assert scenes["e"].boxes.tolist()[:3] == [[5, 4, 5, 9], [9, 9, 2, 2], [1, 1, 99, 9]] and not scenes["e"].faults


def test_difficult_boxes_count_neither_way_or_as_a_setting_says(root):
    source, scenes = scenes_of(root)
    assert scenes["a"].box_marks.tolist() == [COUNTED, DIFFICULT] and scenes["c"].box_marks.tolist() == [COUNTED]
    assert any("1 boxes marked difficult count neither way" in note for note in source.notes)
    source, scenes = scenes_of(root, difficult="objects")
    assert scenes["a"].box_marks.tolist() == [COUNTED, COUNTED] and not any("difficult" in n for n in source.notes)
    _, scenes = scenes_of(root, difficult="skip")
    assert scenes["a"].boxes.tolist() == [[0, 0, 30, 20]] and list(scenes["a"].box_lines) == [6]
    assert scenes["a"].box_marks.tolist() == [COUNTED]
    with pytest.raises(FrostlineError, match="dataset.source.difficult is 'no': set it to ignored, objects, skip"):
        Voc(root, difficult="no")


def test_a_name_that_is_not_given_is_told_with_its_line(root):
    source, scenes = scenes_of(root, classes=["horse", "dog"])
    assert source.classes.boxes == ("horse", "dog")
    assert scenes["a"].box_labels.tolist() == [1] and faults(scenes["a"]) == [("label_unknown", "a.xml", 10)]


def test_lists_promise_pictures_and_annotations(root):
    (root / "ImageSets" / "Main" / "test.txt").write_text("\nd\nz\n../../secret\n")
    (root.parent / "secret.jpg").write_bytes((root / "JPEGImages" / "a.jpg").read_bytes())
    (root / "Annotations" / "y.xml").write_text(voc())
    _, scenes = scenes_of(root)
    assert faults(scenes["d"]) == [("annotation_missing", "test.txt", 2)]
    assert faults(scenes["z"]) == [("picture_missing", "test.txt", 3)]
    assert faults(scenes["y"]) == [("picture_missing", "y.xml", None)]
    (outside,) = [scene for name, scene in scenes.items() if "secret" in name]
    assert faults(outside) == [("path_outside", "test.txt", 4)]
    assert outside.image is None and outside.split == "test"


BOMB = '<!DOCTYPE a [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "xml",
    [
        "<annotation>",
        "",
        "<html/>",
        '<?xml version="1.0" encoding="klingon"?><annotation/>',
        voc(("cat", "", 1, 2, 2)),
        "<annotation><object><name>cat</name></object></annotation>",
        "<a>" * 100_000,
        BOMB + voc(("&b;", 1, 1, 9, 9)),
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>' + voc(("&b;", 1, 1, 9, 9)),
    ],
)
def test_a_broken_or_dangerous_xml_is_a_fault(root, xml):
    (root / "Annotations" / "e.xml").write_text(xml)
    source, scenes = scenes_of(root)
    assert faults(scenes["e"]) == [("annotation_unreadable", "e.xml", None)] and scenes["e"].boxes is None
    assert source.classes.boxes == ("cat", "dog")


def test_entities_are_refused_not_expanded(tmp_path):
    (tmp_path / "a.xml").write_text(BOMB + voc(("cat", "&b;", 1, 9999, 9)))
    with pytest.raises(ValueError, match="is no readable XML"):
        read_voc_boxes(tmp_path / "a.xml")


def test_minima_move_and_empty_boxes_do_not():
    corners = np.array([[1, 1, 2, 3], [5, 5, 5, 9], [5, 9, 7, 8]], np.float32)
    assert from_one(corners).tolist() == [[0, 0, 2, 3], [5, 5, 5, 9], [5, 9, 7, 8]]
    assert from_one(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_masks_have_vocs_names_or_given_ones(root):
    (root / "SegmentationClass").mkdir()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(root / "SegmentationClass" / "a.png")
    source, scenes = scenes_of(root)
    assert source.classes.masks == ("background", *VOC_NAMES) and source.classes.masks[15] == "person"
    assert scenes["a"].mask == root / "SegmentationClass" / "a.png" and scenes["a"].mask_map is None
    assert scenes["b"].mask is None
    assert scenes_of(root, classes=["cat", "dog"])[0].classes.masks == ("background", "cat", "dog")
    (root / "Annotations" / "e.xml").write_text(voc(("kettle", 1, 1, 2, 2)))
    with pytest.raises(FrostlineError, match="list their names"):
        Voc(root)


def test_other_layouts_are_told(root, tmp_path):
    for path in (root / "Annotations").glob("*.xml"):
        path.unlink()
    (root / "Annotations").rename(root / "notes")
    with pytest.raises(FrostlineError, match="no XML file of VOC's kind anywhere"):
        Voc(root)
    for year in ("VOC2007", "VOC2012"):
        for folder in ("JPEGImages", "Annotations"):
            (tmp_path / "kit" / year / folder).mkdir(parents=True)
    with pytest.raises(FrostlineError, match=r"holds several data sets \(VOC2007, VOC2012\)"):
        Voc(tmp_path / "kit")


@pytest.mark.parametrize("setting", ["corners", "turned", "unannotated"])
def test_settings_are_checked(root, setting):
    with pytest.raises(FrostlineError, match=f"dataset.source.{setting} is 'maybe': set it to "):
        Voc(root, **{setting: "maybe"})


def test_of_two_pictures_with_one_name_the_second_is_a_fault(root):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "JPEGImages" / "a.png")
    _, scenes = scenes_of(root)
    assert len(scenes["a"].boxes) == 2 and scenes["a"].image.name == "a.jpg" and not scenes["a"].faults
    assert scenes["a.png"].boxes is None and faults(scenes["a.png"]) == [("annotation_missing", "a.png", None)]


def test_the_real_blood_cells(real_data):
    source, scenes = scenes_of(real_data / "bccd")
    assert source.classes.boxes == ("Platelets", "RBC", "WBC") and source.counting.first == 1
    assert Counter(scene.split for scene in scenes.values()) == {"train": 205, "val": 87, "test": 72}
    assert not any(scene.faults for scene in scenes.values())
    labels = Counter(label for scene in scenes.values() for label in scene.box_labels.tolist())
    assert labels == {0: 361, 1: 4155, 2: 372}
    empty = {
        (scene.id, line)
        for scene in scenes.values()
        for box, line in zip(scene.boxes, scene.box_lines, strict=True)
        if (box[:2] >= box[2:]).any()
    }
    assert len(empty) == 2 and {name for name, _ in empty} == {"BloodImage_00338", "BloodImage_00343"}
    text = (real_data / "bccd" / "Annotations" / "BloodImage_00338.xml").read_text().split("\n")
    line = dict(empty)["BloodImage_00338"]
    assert "<bndbox>" in text[line - 1] and "<xmin>504<" in text[line] and "<xmax>504<" in text[line + 2]
