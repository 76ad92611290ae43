"""A dataset out to a tool's file and back, through the command line where that adds something."""

import json
import shutil
import zipfile
from hashlib import sha256
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from frostline.annotate import exchange
from frostline.annotate.boxes import Answer, Answers, Box
from frostline.annotate.corrected import Corrected
from frostline.annotate.exchange import export, import_
from frostline.checking.prepare import prepare_from_config
from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS, Classes
from frostline.sources.prepared import Prepared


def every(dataset):
    return {scene.id: scene for split in SPLITS for scene in dataset.scenes(split)}


def pixels(path):
    return None if path is None else np.asarray(Image.open(path)).tobytes()


def same(one, other, *, boxes=True):
    """Whether two scenes of prepared datasets are alike in all that was annotated and shown."""
    assert one.id == other.id and one.split == other.split and one.label == other.label and one.size == other.size
    assert one.image.read_bytes() == other.image.read_bytes() and pixels(one.mask) == pixels(other.mask)
    if boxes:
        assert (one.boxes is None) == (other.boxes is None)
        if one.boxes is not None:
            assert np.allclose(one.boxes, other.boxes, rtol=0, atol=1e-3)
            assert one.box_labels.tolist() == other.box_labels.tolist()
            assert one.counted.all() or one.box_marks.tolist() == other.box_marks.tolist()
            assert one.counted.tolist() == other.counted.tolist()
    return True


def files_of(folder):
    return {path: sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["label-studio", "cvat", "coco"])
def test_out_and_back_loses_nothing(boxed, tmp_path, form, capsys):
    before = files_of(boxed.path)
    out = tmp_path / "tasks.txt"
    assert main(["annotate", "export", str(boxed.path), "--to", form, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("15 pictures: 13 annotated, 2 blank\n")
    command = ["annotate", "import", str(boxed.path), str(out), "--from", form, "--out", str(tmp_path / "new")]
    assert main(command) == 0
    assert "13 scenes annotated, 1 of them without a box; 2 as before\n" in capsys.readouterr().out
    new, old = Dataset.open(tmp_path / "new"), every(boxed)
    assert new.name == "boxed" and new.classes == boxed.classes and every(new).keys() == old.keys()
    assert all(same(old[scene.id], scene) for scene in every(new).values())
    assert files_of(boxed.path) == before
    assert "13 scenes have theirs from tasks.txt" in new.info["derived"]["boxes"]


def test_proposals_count_only_once_somebody_has_said_so(flowers, tmp_path):
    # In Label Studio's file a prediction is no annotation; in the others a box is a box.
    export(flowers.path, "label-studio", tmp_path / "tasks.json")
    with pytest.raises(FrostlineError, match="no picture that somebody has annotated"):
        import_(flowers.path, tmp_path / "tasks.json", "label-studio", tmp_path / "new")
    for form in ("cvat", "coco"):
        export(flowers.path, form, tmp_path / form)
        new, _ = import_(flowers.path, tmp_path / form, form, tmp_path / f"{form}-new")
        assert new.classes.boxes == ("rose", "tulip") and new.classes.labels == flowers.classes.labels
        old = every(flowers)
        for scene in every(new).values():
            assert same(old[scene.id], scene, boxes=False)
            derived = scene.id in ("f00", "f02", "f06", "f08", "f10")
            assert (scene.boxes is not None) == derived  # without --complete, no boxes are no answer
        assert every(new)["f06"].boxes.tolist() == [[10, 5, 40, 31]]


def test_label_studio_is_told_where_the_pictures_are(flowers, tmp_path):
    files, told = export(flowers.path, "label-studio", tmp_path / "tasks.json", only_missing=True, splits=["val"])
    assert [file.name for file in files] == ["tasks.json", "tasks.config.xml"]
    assert told == "4 pictures: 2 with boxes from their masks, 2 blank"
    tasks = json.loads(files[0].read_text())
    assert [task["data"]["scene"] for task in tasks] == ["f02", "f03", "f08", "f09"]
    name = tasks[0]["data"]["image"].removeprefix("/data/local-files/?d=flowers/")
    assert (flowers.path / name).is_file()
    labels = ElementTree.parse(files[1]).getroot().find("RectangleLabels")
    assert [label.get("value") for label in labels] == ["rose", "tulip"]
    export(flowers.path, "label-studio", tmp_path / "web.json", url_prefix="https://x/y/")
    assert json.loads((tmp_path / "web.json").read_text())[0]["data"]["image"].startswith("https://x/y/images/f0")


def answered(tmp_path, flowers, boxes):
    """The tasks as Label Studio gives them back, with these boxes (label, x, y, width, height in percent) by scene."""
    export(flowers.path, "label-studio", tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = []
        if task["data"]["scene"] in boxes:
            result = [
                {
                    "type": "rectanglelabels",
                    "original_width": 60,
                    "original_height": 40,
                    "value": {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": [label]},
                }
                for label, x, y, w, h in boxes[task["data"]["scene"]]
            ]
            task["annotations"] = [{"result": result, "was_cancelled": False, "updated_at": "2024-01-01T00:00:00Z"}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    return tmp_path / "export.json"


def test_new_classes_come_after_the_old_ones_sorted(flowers, boxed, tmp_path):
    file = answered(tmp_path, flowers, {"f00": [("wasp", 0, 0, 50, 50), ("tulip", 50, 50, 50, 50)], "f01": []})
    found, notes = import_(flowers.path, file, "label-studio", tmp_path / "new")
    assert found.classes.boxes == ("rose", "tulip", "wasp") and "new classes of boxes: wasp" in notes
    new, old = every(found), every(flowers)
    assert new["f00"].boxes.tolist() == [[0, 0, 30, 20], [30, 20, 60, 40]] and new["f00"].box_labels.tolist() == [2, 1]
    assert new["f01"].boxes.shape == (0, 4)
    assert all(new[name].boxes is None for name in new if name not in ("f00", "f01"))
    assert all(same(old[name], new[name], boxes=False) for name in old)
    assert notes[-1] == "2 scenes annotated, 1 of them without a box; 10 as before"
    (tmp_path / "tasks.json").unlink()
    (tmp_path / "tasks.config.xml").unlink()
    ants = {"b01": [("mite", 0, 0, 50, 50)], "b04": [("bee", 1, 1, 50, 50)]}
    found, notes = import_(boxed.path, answered(tmp_path, boxed, ants), "label-studio", tmp_path / "more")
    assert found.classes.boxes == ("zebra", "ant", "bee", "mite")
    assert every(found)["b04"].box_labels.tolist() == [2]
    assert all(same(every(boxed)[name], scene) for name, scene in every(found).items() if name not in ants)


def test_what_slips_from_a_hand_is_mended(flowers, tmp_path):
    file = answered(tmp_path, flowers, {"f00": [("rose", 0, 0, 0, 50), ("rose", 50, 50, 60, 50)]})
    found, notes = import_(flowers.path, file, "label-studio", tmp_path / "new")
    assert every(found)["f00"].boxes.tolist() == [[30, 20, 60, 40]]
    assert "2 faults of boxes were mended, see dataset.json" in notes


def test_pictures_without_boxes(boxed, tmp_path):
    export(boxed.path, "cvat", tmp_path / "tasks.xml")
    root = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    for image in root.findall("image"):
        for box in image.findall("box"):
            image.remove(box)
    ElementTree.ElementTree(root).write(tmp_path / "export.xml")
    careful, notes = import_(boxed.path, tmp_path / "export.xml", "cvat", tmp_path / "careful")
    # Of those annotated before, somebody took all boxes away; of the others nobody knows.
    assert [name for name, scene in every(careful).items() if scene.boxes is None] == ["b04", "b05"]
    assert any("2 pictures without boxes stay not annotated" in note for note in notes)
    assert all(len(scene.boxes) == 0 for scene in every(careful).values() if scene.boxes is not None)
    complete, notes = import_(boxed.path, tmp_path / "export.xml", "cvat", tmp_path / "complete", complete=True)
    assert all(len(scene.boxes) == 0 for scene in every(complete).values())


def test_a_new_dataset_can_be_trained_on_and_corrected_again(flowers, tmp_path):
    boxes = {f"f{number:02}": [("rose", 5, 5, 50, 50)] for number in range(6)}
    first, _ = import_(flowers.path, answered(tmp_path, flowers, boxes), "label-studio", tmp_path / "first")
    config = compose(["dataset=prepared", f"dataset.root={first.path}"])["dataset"]
    again = prepare_from_config(config, tmp_path / "again")  # no tulip has a box, which is let be
    assert all(same(every(first)[name], scene) for name, scene in every(again).items())
    export(first.path, "coco", tmp_path / "coco.json", only_missing=True)
    second, _ = import_(first.path, tmp_path / "coco.json", "coco", tmp_path / "second")
    assert sum(scene.boxes is not None for scene in every(second).values()) == 6 + 3
    assert second.info["derived"]["boxes"] == (
        "6 scenes have theirs from export.json; 3 scenes have theirs from coco.json"
    )


def coco_answer(dataset, path, annotations, **images):
    """COCO's instances on the first picture of a dataset, 60 x 40."""
    scene = every(dataset)["f01"]
    image = {"id": 7, "file_name": f"images/{scene.image.name}", "width": 60, "height": 40} | images
    categories = [{"id": 3, "name": "thorn"}, {"id": 9, "name": "rose"}]
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))
    return path


def instance(number, category, box, segmentation):
    return {"id": number, "image_id": 7, "category_id": category, "bbox": box, "segmentation": segmentation}


def test_a_label_that_came_from_the_boxes_comes_from_the_corrected_ones(boxed, monkeypatch):
    prepared = Prepared(boxed.path)
    prepared.classes = Classes(labels=("zebra", "ant"), boxes=("zebra", "ant"))
    prepared.derived = {"labels": "where all boxes have one class"}
    box = (0.0, 0.0, 9.0, 9.0)
    of = {
        "b01": Answer((Box("ant", box),)),
        "b02": Answer((Box("ant", box), Box("zebra", box))),
        "b06": Answer((Box("bee", box),)),
    }
    source = Corrected(prepared, Answers(of, tells_empty=True), boxed.path)
    labels = {scene.id: scene.label for scene in source.scenes()}
    assert (labels["b01"], labels["b02"], labels["b06"]) == (1, None, None)


def test_an_earlier_import_is_never_replaced(flowers, tmp_path):
    file = answered(tmp_path, flowers, {"f00": [("rose", 1, 1, 9, 9)]})
    import_(flowers.path, file, "label-studio", tmp_path / "new")
    with pytest.raises(FrostlineError, match="is there already, and may hold people's work"):
        import_(flowers.path, file, "label-studio", tmp_path / "new")


def test_outlines_in_coco_bring_a_mask(flowers, tmp_path):
    thorn = instance(1, 3, [10, 10, 20, 5], [[10, 10, 30, 10, 30, 15, 10, 15]])
    found, _ = import_(flowers.path, coco_answer(flowers, tmp_path / "c.json", [thorn]), "coco", tmp_path / "new")
    assert found.classes.masks == ("background", "flower", "thorn", "rose")
    assert found.classes.boxes == ("rose", "tulip", "thorn")
    scene = every(found)["f01"]
    assert scene.boxes.tolist() == [[10, 10, 30, 15]] and scene.box_labels.tolist() == [2]
    expected = np.zeros((40, 60), np.uint8)
    expected[10:15, 10:30] = 2
    assert np.array_equal(np.asarray(Image.open(scene.mask)), expected)
    assert all(same(every(flowers)[name], other) for name, other in every(found).items() if name != "f01")


@pytest.fixture
def yolo(flowers, tmp_path):
    """f01 and f02 with boxes, f03 looked at without any."""
    root = tmp_path / "yolo"
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True)
    for name in ("f01", "f02", "f03"):
        shutil.copy(every(flowers)[name].image, root / "images/train")
    (root / "labels/train/f01.txt").write_text("1 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.1 0.1\n")
    (root / "labels/train/f02.txt").write_text("0 0.5 0.5 1 1\n")
    (root / "labels/train/f03.txt").write_text("")
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images/train", "names": ["tulip", "bud"]}))
    return root


@pytest.mark.parametrize("place", ["", "data.yaml"])
def test_yolo_is_read(flowers, yolo, tmp_path, place):
    found, _ = import_(flowers.path, yolo / place, "yolo", tmp_path / "new", complete=True)
    new = every(found)
    assert found.classes.boxes == ("rose", "tulip", "bud")
    assert np.allclose(new["f01"].boxes, [[15, 10, 45, 30], [12, 8, 18, 12]], atol=1e-4)
    assert new["f01"].box_labels.tolist() == [2, 1] and new["f02"].boxes.tolist() == [[0, 0, 60, 40]]
    assert len(new["f03"].boxes) == 0 and new["f04"].boxes is None
    assert new["f01"].split == every(flowers)["f01"].split == "train" and new["f02"].split == "val"


def test_masks_that_a_tool_marked_as_crowds_bring_their_boxes(flowers, tmp_path):
    crowd = instance(1, 3, [10, 10, 20, 5], {"size": [40, 60], "counts": [410, 5, 1985]}) | {"iscrowd": 1}
    found, notes = import_(flowers.path, coco_answer(flowers, tmp_path / "c.json", [crowd]), "coco", tmp_path / "new")
    assert every(found)["f01"].boxes.tolist() == [[10, 10, 30, 15]]
    assert "1 of 1 annotations are crowds, and taken for single objects" in notes


def voc_xml(*objects):
    told = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for name, a, b, c, d in objects
    )
    return f"<annotation><size><width>60</width><height>40</height><depth>3</depth></size>{told}</annotation>"


@pytest.fixture
def voc(flowers, tmp_path):
    """f05 with two boxes; a function makes it, from the name of the second one's class."""

    def make(name):
        root = tmp_path / "voc"
        for folder in ("JPEGImages", "Annotations"):
            (root / folder).mkdir(parents=True)
        shutil.copy(every(flowers)["f05"].image, root / "JPEGImages")
        (root / "Annotations" / "f05.xml").write_text(voc_xml(("dog", 1, 1, 60, 40), (name, 11, 6, 20, 10)))
        return root

    return make


def test_voc_is_read(flowers, voc, tmp_path):
    found, notes = import_(flowers.path, voc("bee"), "voc", tmp_path / "new")
    scene = every(found)["f05"]
    assert scene.boxes.tolist() == [[0, 0, 60, 40], [10, 5, 20, 10]]  # VOC counts pixels from 1
    assert any(note.startswith("corners are counted from 1") for note in notes)
    assert [found.classes.boxes[label] for label in scene.box_labels] == ["dog", "bee"]


def test_where_vocs_corners_are_counted_from_can_be_said(flowers, voc, tmp_path, capsys):
    words = ["annotate", "import", str(flowers.path), str(voc("bee")), "--from", "voc", "--out", str(tmp_path / "new")]
    assert main([*words, "--corners", "zero_based"]) == 0
    assert every(Dataset.open(tmp_path / "new"))["f05"].boxes.tolist() == [[1, 1, 60, 40], [11, 6, 20, 10]]
    assert main([*words[:-1], str(tmp_path / "other")]) == 0
    assert "--corners=zero_based takes the other" in capsys.readouterr().out
    words[5] = "cvat"
    assert main([*words[:-1], str(tmp_path / "third"), "--corners", "zero_based"]) == 2
    assert "--corners is about VOC's XML" in capsys.readouterr().err


def test_masks_in_voc_come_in_where_their_numbers_are_told(flowers, voc, tmp_path):
    def masked(root):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:9] = 12  # VOC's dog
        (root / "SegmentationClass").mkdir()
        Image.fromarray(mask).save(root / "SegmentationClass" / "f05.png")
        return root

    found, _ = import_(flowers.path, masked(voc("cat")), "voc", tmp_path / "new")
    mask = np.asarray(Image.open(every(found)["f05"].mask))
    assert (mask[5:9] == found.classes.masks.index("dog")).all() and mask.sum() == mask[5:9].sum()
    assert np.asarray(Image.open(every(found)["f00"].mask)).max() == 1 == found.classes.masks.index("flower")
    shutil.rmtree(tmp_path / "voc")
    with pytest.raises(FrostlineError, match="take its folder SegmentationClass away"):
        import_(flowers.path, masked(voc("bee")), "voc", tmp_path / "other")


def test_outlines_in_yolo_bring_a_mask(flowers, yolo, tmp_path):
    for name in ("f02", "f03"):
        (yolo / f"labels/train/{name}.txt").unlink()
        (yolo / f"images/train/{name}.png").unlink()
    (yolo / "labels/train/f01.txt").write_text("1 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5 0.25 0.4\n")
    found, _ = import_(flowers.path, yolo, "yolo", tmp_path / "new")
    mask = np.asarray(Image.open(every(found)["f01"].mask))
    expected = np.zeros((40, 60), np.uint8)
    expected[10:20, 15:30] = found.classes.masks.index("bud")
    assert np.array_equal(mask, expected) and every(found)["f01"].boxes.tolist() == [[15, 10, 30, 20]]


def resized(flowers, yolo):
    Image.open(yolo / "images/train/f01.png").resize((30, 20)).save(yolo / "images/train/f01.png")
    return yolo


def renamed(flowers, yolo):
    (yolo / "images/train/f01.png").rename(yolo / "images/train/zz.png")
    return yolo


def broken(flowers, yolo):
    (yolo / "labels/train/f01.txt").write_text("7 0.5 0.5 0.5 0.5\n")
    return yolo


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (resized, "scene 'f01', gives its picture 30 x 20 pixels, and the dataset's has 60 x 40"),
        (renamed, "names the picture 'zz.png', which is no scene"),
        (broken, "f01.txt:1 has an object of class 7"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(flowers, yolo, tmp_path, change, words):
    with pytest.raises(FrostlineError, match=words):
        import_(flowers.path, change(flowers, yolo), "yolo", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("annotations", "image", "words"),
    [
        ([instance(1, 4, [1, 1, 5, 5], [])], {}, "the annotation 1 of category 4"),
        ([instance(1, 3, [1, 1, 5], [])], {}, "without a bbox of four numbers"),
        ([instance(1, 3, [1, 1, 5, 5], [])], {"width": 30}, "scene 'f01', gives its picture 30 x 40 pixels"),
        ([instance(1, 3, [1, 1, 5, 5], [])], {"file_name": "zz.png"}, "names the picture 'zz.png'"),
        ([instance(1, 3, [1, 1, 5, 5], [])], {"file_name": None}, "names the picture None"),
    ],
)
def test_coco_that_does_not_fit_is_refused(flowers, tmp_path, annotations, image, words):
    file = coco_answer(flowers, tmp_path / "c.json", annotations, **image)
    with pytest.raises(FrostlineError, match=words):
        import_(flowers.path, file, "coco", tmp_path / "new")


def test_mistakes_are_told_in_one_sentence(flowers, tmp_path, capsys, monkeypatch):
    def refused(*command):
        assert main(["annotate", *map(str, command)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("frostline: ") and error.count("\n") == 1
        return error

    (tmp_path / "mine.json").write_text("[]")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    to = ("export", flowers.path, "--to", "coco", "--out")
    assert "is there already" in refused(*to, tmp_path / "mine.json")
    assert "there is no folder" in refused(*to, tmp_path / "none" / "x.json")
    assert "leave it out" in refused(*to, tmp_path / "x.json", "--url-prefix", "http://x/")
    assert "holds no finished run" in refused(*to, tmp_path / "x.json", "--run", tmp_path)
    assert "no prepared dataset" in refused("export", tmp_path, "--to", "coco", "--out", tmp_path / "x.json")
    back = ("import", flowers.path)
    new = ("--from", "cvat", "--out", tmp_path / "new")
    assert "cannot be read" in refused(*back, tmp_path / "nothing.xml", *new)
    assert "is a ZIP archive: unpack it" in refused(*back, tmp_path / "export.zip", *new)
    assert "the dataset itself" in refused(*back, tmp_path / "mine.json", "--from", "cvat", "--out", flowers.path)
    monkeypatch.setattr(exchange, "MAX_BYTES", 1)
    assert "larger than" in refused(*back, tmp_path / "mine.json", *new)
    assert (tmp_path / "mine.json").read_text() == "[]" and not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("command", [["annotate"], ["annotate", "export"], ["annotate", "import"]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0 and "usage: frostline annotate" in capsys.readouterr().out
