"""What is written of predictions, read back by others' readers, or by hand."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from frostline.errors import FrostlineError
from frostline.predict.gathered import count_of, gathered
from frostline.predict.kinds import Classified, Detected, Located, Placement, Segmented
from frostline.predict.written import FORMATS, check_format, written
from frostline.sources.yolo import Yolo

CLASSES = ("rose", "bud, ‘red’")
PLACE = Placement(64, (0, 0, 64, 64), (128, 96))
MASK = np.zeros((96, 128), np.uint8)
MASK[:24] = 1
BOXES = np.array([[0, 0, 32, 32], [16, 16, 64, 64]], np.float32)
FOUND = {
    "classification": Classified(CLASSES, np.float32([0.25, 0.75])),
    "localization": Located(CLASSES, np.float32([0.75, 0.25]), np.float32([0.5, 0.5, 0.5, 0.25]), PLACE),
    "detection": Detected(CLASSES, BOXES, np.float32([0.9, 0.4]), np.array([1, 0]), PLACE),
    "segmentation": Segmented(CLASSES, MASK),
}
BAD = FrostlineError("two.jpg is no picture")


def write(form, task, out=None, stdout=None, names=("one.jpg", "two.jpg", "sub/one.jpg")):
    with written(form, out, stdout or sys.stdout, CLASSES, 2) as told:
        for name in names:
            told(f"in/{name}", name, BAD if name == "two.jpg" else FOUND[task])


@pytest.mark.parametrize("task", FOUND)
def test_json_is_a_list_in_which_a_bad_picture_has_its_error(task, tmp_path):
    write("json", task, tmp_path / "x.json")
    one, bad, two = json.loads((tmp_path / "x.json").read_text())
    assert one == {"picture": "in/one.jpg", **FOUND[task].to_json()} and two["picture"] == "in/sub/one.jpg"
    assert bad == {"picture": "in/two.jpg", "error": "two.jpg is no picture"}
    out = io.StringIO()
    write("json", task, None, out, ())
    assert json.loads(out.getvalue()) == []


def test_csv_has_a_row_for_each_thing(tmp_path):
    rows = {}
    for task in FOUND:
        write("csv", task, tmp_path / "x.csv")
        with (tmp_path / "x.csv").open(newline="") as file:
            rows[task] = list(csv.DictReader(file))
    assert [(row["picture"], row["rank"], row["class"]) for row in rows["classification"][:2]] == [
        ("in/one.jpg", "1", CLASSES[1]),
        ("in/one.jpg", "2", CLASSES[0]),
    ]
    assert len(rows["classification"]) == 4
    assert rows["detection"][1] == {
        "picture": "in/one.jpg", "class": "rose", "score": "0.400000",
        "x0": "32.00", "y0": "24.00", "x1": "128.00", "y1": "96.00",
    }  # fmt: skip
    assert rows["localization"][0]["x0"] == "32.00" and rows["localization"][0]["y1"] == "60.00"
    assert rows["segmentation"][1]["pixels"] == str(24 * 128) and rows["segmentation"][1]["share"] == "0.250000"


def test_coco_is_read_by_its_own_tools(tmp_path):
    """Catches boxes as corners, numbers of classes from 0 where names say otherwise, and pictures that are missing."""
    write("coco", "detection", tmp_path / "x.json")
    coco = COCO(tmp_path / "x.json")
    assert [one["file_name"] for one in coco.loadImgs(coco.getImgIds())] == ["in/one.jpg", "in/sub/one.jpg"]
    first = coco.loadAnns(coco.getAnnIds(imgIds=[1]))[0]
    assert first["bbox"] == [0, 0, 64, 48] and coco.cats[first["category_id"]]["name"] == CLASSES[1]
    assert first["score"] == pytest.approx(0.9)
    write("coco", "localization", tmp_path / "none.json", names=())
    assert json.loads((tmp_path / "none.json").read_text())["annotations"] == []


def test_yolo_is_read_as_a_dataset(tmp_path):
    """Catches labels in pixels, and two pictures of one name of which one takes the other's file."""
    write("yolo", "detection", tmp_path / "y", names=("one.jpg", "one.jpg"))
    assert sorted(path.name for path in (tmp_path / "y" / "labels").iterdir()) == ["one-2.txt", "one.txt"]
    (tmp_path / "y" / "images").mkdir()
    for name in ("one", "one-2"):
        Image.new("RGB", (128, 96)).save(tmp_path / "y" / "images" / f"{name}.jpg")
    scenes = list(Yolo(tmp_path / "y", angle="none").scenes())
    assert len(scenes) == 2 and len(scenes[0].boxes) == 2


def test_masks_are_class_numbers_in_colours(tmp_path):
    write("masks", "segmentation", tmp_path / "m")
    assert (tmp_path / "m" / "classes.txt").read_text().splitlines() == list(CLASSES)
    with Image.open(tmp_path / "m" / "sub" / "one.png") as image:
        assert image.mode == "P" and (np.asarray(image) == MASK).all()
        assert np.asarray(image.convert("RGB"))[0, 0].any()


def test_a_file_is_whole_or_not_at_all(tmp_path):
    """Catches half a file where the command is killed or a model fails."""
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(ZeroDivisionError), written("json", tmp_path / "x.json", sys.stdout, CLASSES, 1) as told:
        told("a", "a", FOUND["detection"])
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"] and (tmp_path / "x.json").read_text() == "old"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("task", FOUND)
def test_a_form_that_has_no_room_for_a_task_is_refused_beforehand(form, task, tmp_path):
    fits = not FORMATS[form] or task in FORMATS[form]
    try:
        check_format(form, task, tmp_path / "new")
    except FrostlineError as error:
        assert not fits and "take --format json" in str(error)
    else:
        assert fits


def test_pictures_are_named_by_files_folders_patterns_and_lists(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "notes.txt", "sub/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = str(tmp_path)
    assert [name for _, name in gathered([folder])] == ["a.PNG", "b.jpg", "sub/c.webp"]
    assert [name for _, name in gathered([f"{folder}/**/*"])] == ["a.PNG", "b.jpg", "sub/c.webp"]
    assert [name for _, name in gathered([f"{folder}/notes.txt", "gone.jpg"])] == ["notes.txt", "gone.jpg"]
    assert count_of([folder, f"{folder}/*.jpg"]) == 4 and count_of(["-"]) is None
    monkeypatch.setattr("sys.stdin", io.StringIO("x/one.jpg\r\n\ntwo words.jpg\n"))
    assert [path for path, _ in gathered(["-"])] == ["x/one.jpg", "two words.jpg"]
    (tmp_path / "empty").mkdir()
    for nothing in (f"{folder}/empty", f"{folder}/*.gif"):
        with pytest.raises(FrostlineError, match="holds no pictures"):
            list(gathered([nothing]))
