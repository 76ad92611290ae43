"""What real annotation tools export, read as it is: the boxes that were drawn, to what each tool's rounding left."""

import json
import re
import shutil

import numpy as np
import pytest
from helpers.cases import CASES, export

from frostline.sources.coco import Coco
from frostline.sources.voc import Voc
from frostline.sources.yolo import Yolo

SOURCES = {"coco": Coco, "voc": Voc, "yolo": Yolo}
SPLITS = {"train": 10, "val": 3, "test": 3}
ROUNDED = 0.5001  # pixels; the file has whole numbers
# tool, layout, settings, the largest distance of a corner in pixels, scenes with boxes, splits, words of the notes
ROWS = [
    ("supervision", "coco", {}, 0, 16, {None: 16}, []),
    ("supervision", "yolo", {}, 1e-3, 16, {None: 16}, []),
    ("supervision", "voc", {}, ROUNDED, 16, {None: 16}, ["counted from 1: 13 of 13 files have the mark of Roboflow"]),
    ("globox", "coco", {}, 0, 16, {None: 16}, []),
    ("globox", "voc", {}, 0, 16, {None: 16}, ["counted from 0: 14 of 20 boxes have corners with fractions"]),
    ("globox", "yolo", {}, 1e-5, 16, {"train": 16}, []),
    ("datumaro", "coco", {}, 0.0101, 16, {None: 16}, []),
    ("datumaro", "voc", {}, 0.0101, 13, {None: 16}, ["counted from 0", "3 picture(s) have no XML file"]),
    ("datumaro", "voc", {"unannotated": "empty"}, 0.0101, 16, {None: 16}, ["counted from 0", "without objects"]),
    ("datumaro", "yolo", {}, 0.0101, 16, {"train": 16}, ["found below yolo by their bare names"]),
    ("label-studio", "coco_with_images", {}, 0, 16, {None: 16}, ["found below coco_with_images by their bare names"]),
    ("label-studio", "voc", {"unannotated": "empty"}, 2, 16, {None: 16}, ["13 of 13 files have the mark of Label", ""]),
    ("pylabel", "coco", {}, 0.0101, 16, {None: 16}, ["3 annotation(s) stand there twice"]),
    ("pylabel", "voc", {}, 1, 16, {None: 16}, ["counted from 0: 13 of 13 files have the mark of pylabel"]),
    ("pylabel", "yolo", {}, 0.0101, 16, {"train": 16}, ["the same pictures for train and val"]),
    ("roboflow", "coco", {}, 0, 16, SPLITS, ["'animals' has no annotation and only groups others"]),
    ("roboflow", "voc", {}, ROUNDED, 16, SPLITS, ["counted from 1"]),
    ("roboflow", "yolo", {}, 1e-5, 16, SPLITS, []),
]


def truth():
    return json.loads((CASES / "exports" / "truth.json").read_text())["images"]


def far_off(source):
    """The largest distance of a corner from the truth, the number of scenes with boxes, and scenes by split."""
    drawn, distance, annotated, splits = truth(), 0.0, 0, {}
    for scene in source.scenes():
        splits[scene.split] = splits.get(scene.split, 0) + 1
        if scene.boxes is None:
            continue
        annotated += 1
        expected = sorted(drawn[re.search(r"p\d\d", scene.image.name)[0] + ".jpg"])
        names = [source.classes.boxes[label] for label in scene.box_labels]
        found = sorted([name, *box] for name, box in zip(names, scene.boxes.tolist(), strict=True))
        assert [name for name, *_ in found] == [name for name, *_ in expected], scene.id
        for (_, *box), (_, *real) in zip(found, expected, strict=True):
            distance = max(distance, float(np.abs(np.subtract(box, real)).max()))
    return distance, annotated, splits


@pytest.mark.parametrize(("tool", "layout", "settings", "at_most", "annotated", "splits", "notes"), ROWS)
def test_boxes_are_where_they_were_drawn(tool, layout, settings, at_most, annotated, splits, notes):
    source = SOURCES[layout.partition("_")[0]](export(f"{tool}/{layout}"), **settings)
    distance, found, by_split = far_off(source)
    assert distance <= at_most and found == annotated and by_split == splits
    assert set(source.classes.boxes) == {"zebra", "ant"} and source.classes.masks is None
    told = [note for note in source.notes if "no text file" not in note]
    assert len(told) == len(notes) and all(words in note for words, note in zip(notes, told, strict=True)), told


def test_listed_pictures_without_an_xml_file_are_faults_that_name_the_setting():
    scenes = list(Voc(export("datumaro/voc")).scenes())
    faults = [(scene.id, fault) for scene in scenes for fault in scene.faults]
    assert [(name, fault.kind, fault.line) for name, fault in faults] == [
        (name, "annotation_missing", line) for name, line in (("p02", 3), ("p07", 8), ("p12", 13))
    ]
    assert all("dataset.source.unannotated=empty" in fault.what for _, fault in faults)


def test_texts_of_which_nothing_names_the_classes(tmp_path):
    root = shutil.copytree(export("globox/yolo"), tmp_path / "yolo")
    (root / "data.yaml").unlink()
    with pytest.raises(Exception, match=r"dataset\.source\.classes"):
        Yolo(root)
    source = Yolo(root, classes=["zebra", "ant"])
    assert far_off(source)[:2] == (pytest.approx(0, abs=1e-5), 16) and source.classes.boxes == ("zebra", "ant")


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(("layout", "notes"), [("yolo", 0), ("yolo_obb", 1)])
def test_label_studios_texts_with_pictures_put_beside_them(tmp_path, layout, notes, hashed):
    """Its pictures are those that were uploaded, called as before, or with the signs that the upload put before."""
    root = shutil.copytree(export(f"label-studio/{layout}"), tmp_path / layout)
    (root / "images").mkdir()
    for path in export("label-studio/voc/images").iterdir():
        shutil.copy(path, root / "images" / (path.name if hashed else path.name.partition("-")[2]))
    source = Yolo(root)
    assert far_off(source)[:2] == (pytest.approx(0, abs=1e-4), 16)
    assert source.classes.masks is None and [note for note in source.notes if "four corners" in note][:1] == (
        [source.notes[-1]] if notes else []
    )


def test_names_that_lead_out_of_the_root_are_named_where_nobody_has_the_picture():
    scenes = list(Coco(export("label-studio/coco")).scenes())
    assert [[fault.kind for fault in scene.faults] for scene in scenes] == [["path_outside"]] * 16
    assert "abcd1234-p00.jpg" in scenes[0].faults[0].what


def test_masks_that_are_all_written_as_crowds():
    root = export("datumaro-masks/coco")
    scenes = list(Coco(root).scenes())
    found = [fault for scene in scenes for fault in scene.faults]
    assert [fault.kind for fault in found] == ["crowds_alone"] * 13
    assert all("dataset.source.crowds=instances" in fault.what for fault in found)
    assert not any(scene.faults for scene in Coco(root, crowds="unknown").scenes())
    source = Coco(root, crowds="instances")
    painted = np.load(root.parent / "truth.npz")
    counted = 0
    for scene in source.scenes():
        mask = painted[scene.image.stem]
        assert not scene.faults and np.array_equal(scene.mask, mask), scene.id
        counted += len(scene.boxes)
    assert counted == 13 and source.classes.masks == ("background", "zebra", "ant")
