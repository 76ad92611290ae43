"""XML files of VOC's kind wherever people keep them, and pictures without one."""

import shutil

import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.sources.voc import Voc, fits
from frostline.sources.voc_xml import read_voc_boxes


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)


def xml(path, first=3, filename="", more=""):
    box = f"<xmin>{first}</xmin><ymin>4</ymin><xmax>20</xmax><ymax>12</ymax>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><filename>{filename}</filename>{more}<object><name>dog</name><bndbox>{box}</bndbox></object>"
        "</annotation>"
    )


def firsts(source):
    """The left edge of each scene's box, by the picture's path."""
    return {
        scene.image.relative_to(source.root).as_posix(): None if scene.boxes is None else scene.boxes[:, 0].tolist()
        for scene in source.scenes()
    }


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("{}.jpg", "{}.xml"),
        ("images/{}.jpg", "annotations/{}.XML"),
        ("images/{}.jpg", "{}.xml"),
        ("{}.jpg", "xmls/deep/{}.xml"),
        ("train/images/{}.jpg", "train/Annotations/{}.xml"),
        ("jpegimages/{}.jpg", "ANNOTATIONS/{}.xml"),
        ("VOCdevkit/VOC2012/JPEGImages/{}.jpg", "VOCdevkit/VOC2012/Annotations/{}.xml"),
    ],
)
def test_xml_files_anywhere(tmp_path, image, annotation):
    for number, name in enumerate(("a", "b.c")):
        picture(tmp_path / image.format(name))
        xml(tmp_path / annotation.format(name), 3 + number)
    source = Voc(tmp_path)
    assert firsts(source) == {image.format("a"): [2], image.format("b.c"): [3]}
    assert {scene.split for scene in source.scenes()} == {"train" if image.startswith("train") else None}
    assert not any(scene.faults for scene in source.scenes()) and fits(tmp_path).startswith("VOC, 2 XML files")


def test_pictures_of_one_name_take_the_xml_file_of_their_folder(tmp_path):
    for number, split in enumerate(("train", "valid", "test")):
        picture(tmp_path / split / "img" / "1.jpg")
        xml(tmp_path / split / "xml" / "1.xml", 3 + number)
    source = Voc(tmp_path)
    assert firsts(source) == {"train/img/1.jpg": [2], "valid/img/1.jpg": [3], "test/img/1.jpg": [4]}
    assert sorted(scene.split for scene in source.scenes()) == ["test", "train", "val"]
    assert fits(tmp_path) == "VOC, 3 XML files in test/xml, train/xml, valid/xml"


def test_a_folder_that_is_not_called_train_is_no_split(tmp_path):
    picture(tmp_path / "freight_train" / "1.jpg")
    xml(tmp_path / "freight_train" / "1.xml")
    assert [scene.split for scene in Voc(tmp_path).scenes()] == [None]


def test_what_the_file_calls_its_picture_and_what_an_upload_put_before_it(tmp_path):
    for name in ("photo.jpg", "p01.jpg", "dcba4321-p02.jpg"):
        picture(tmp_path / "images" / name)
    xml(tmp_path / "Annotations" / "000001.xml", 3, "C:\\pics\\photo.jpg")
    xml(tmp_path / "Annotations" / "abcd1234-p01.xml", 4)
    xml(tmp_path / "Annotations" / "abcd1234-p02.xml", 5)  # of another upload
    scenes = {scene.id: scene for scene in Voc(tmp_path).scenes()}
    assert scenes["images-photo"].boxes[0, 0] == 2 and scenes["images-p01"].boxes[0, 0] == 3
    assert scenes["images-dcba4321-p02"].boxes is None
    assert [fault.kind for fault in scenes["Annotations-abcd1234-p02"].faults] == ["picture_missing"]


def test_xml_of_another_kind_is_left_alone_and_broken_xml_is_not(tmp_path):
    for name in "abc":
        picture(tmp_path / f"{name}.jpg")
    xml(tmp_path / "a.xml")
    (tmp_path / "b.xml").write_text("<annot")
    (tmp_path / "annotations.xml").write_text("<annotations><image/></annotations>")
    found = {scene.id: [fault.kind for fault in scene.faults] for scene in Voc(tmp_path).scenes()}
    assert found == {"a": [], "b": ["annotation_unreadable"], "c": []}
    (tmp_path / "a.xml").unlink()
    assert fits(tmp_path) is None and fits(tmp_path / "gone") is None
    with pytest.raises(FrostlineError, match="no XML file of VOC's kind anywhere"):
        Voc(tmp_path)


def test_pictures_without_an_xml_file(tmp_path):
    for name in "abc":
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    xml(tmp_path / "Annotations" / "a.xml")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "default.txt").write_text("a\nb.jpg\n")
    (tmp_path / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\n")
    scenes = {scene.id: scene for scene in Voc(tmp_path).scenes()}
    assert [fault.kind for fault in scenes["b"].faults] == ["annotation_missing"] and scenes["c"].boxes is None
    assert "dataset.source.unannotated=empty" in scenes["b"].faults[0].what and len(scenes) == 3
    assert "2 picture(s) have no XML file and are not taken as looked at" in Voc(tmp_path).notes[-1]
    source = Voc(tmp_path, unannotated="empty")
    assert [len(scene.boxes) for scene in source.scenes()] == [1, 0, 0]
    assert not any(scene.faults for scene in source.scenes())


def test_lists_in_the_root_tell_splits(tmp_path):
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.jpg")
        xml(tmp_path / "annotations" / f"{name}.xml")
    (tmp_path / "train.txt").write_text("a\nimages/b.jpg\n")
    (tmp_path / "test.txt").write_text("c.jpg\n")
    assert [scene.split for scene in Voc(tmp_path).scenes()] == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("more", "writer"),
    [
        ("<owner><name>Label Studio</name></owner>", "Label Studio"),
        ("<source><database>roboflow.com</database></source>", "Roboflow"),
        ("<source><database>The VOC2007 Database</database></source>", "PASCAL VOC"),
        ("<path>/a</path><source><database>Unknown</database></source>", "LabelImg"),
        (
            "<source><database>Unknown</database><annotation>Unknown</annotation><image>Unknown</image></source>",
            "datumaro",
        ),
        ("<object><name>dog</name><pose/><truncated/><bndbox/></object>", "pylabel"),
        ("<object><name>dog</name><pose>Left</pose><truncated>0</truncated><bndbox/></object>", None),
        ("", None),
    ],
)
def test_who_wrote_a_file_shows_in_its_marks(tmp_path, more, writer):
    corners = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    (tmp_path / "a.xml").write_text(f"<annotation>{more.replace('<bndbox/>', corners)}</annotation>")
    assert read_voc_boxes(tmp_path / "a.xml").writer == writer


def test_links_are_followed_once(tmp_path):
    picture(tmp_path / "else" / "a.jpg")
    xml(tmp_path / "else" / "a.xml")
    (tmp_path / "root" / "in").mkdir(parents=True)
    (tmp_path / "root" / "in" / "back").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "in" / "xmls").symlink_to(tmp_path / "else")
    shutil.copy(tmp_path / "else" / "a.jpg", tmp_path / "root" / "a.jpg")
    scenes = {scene.image.name: scene for scene in Voc(tmp_path / "root").scenes() if scene.boxes is not None}
    assert scenes["a.jpg"].boxes[0, 0] == 2
