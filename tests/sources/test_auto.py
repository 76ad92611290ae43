"""What lies at a root is recognised, or named: as what, with which command, and what was looked for."""

import re
import shlex

import numpy as np
import pytest
from helpers.cases import case, export
from PIL import Image

from frostline.cli import main
from frostline.config import compose, conf_dir
from frostline.errors import FrostlineError
from frostline.sources import auto
from frostline.sources.auto import PUBLISHED, recognise
from frostline.sources.configured import configured


def refused(root):
    with pytest.raises(FrostlineError) as error:
        recognise(str(root))
    return str(error.value)


def test_only_a_root_is_enough_and_the_layout_is_as_if_it_had_been_named(folders, capsys, monkeypatch):
    """Catches a dataset called auto in the record of a run, and one whose settings cannot be reached."""
    monkeypatch.setattr(auto, "_SAID", set())
    (folders / "a" / "x.cr3").touch()
    named = compose(["dataset=folder", f"dataset.root={folders}", "dataset.split.seed=3", "dataset.group=(.)"])
    for overrides in ([], ["dataset=auto"]):
        assert compose([*overrides, f"dataset.root={folders}", "dataset.split.seed=3", "dataset.group=(.)"]) == named
    said = capsys.readouterr().err
    assert said == (
        "frostline: folders of 2 classes (a, b); 20 pictures; 1 file is passed over: 1 .cr3 (dataset=folder)\n"
    )
    assert compose([])["dataset"]["name"] == "meadow"
    with pytest.raises(FrostlineError, match=r"dataset\.root has no value"):
        compose(["dataset=auto"])


def test_the_doctor_takes_a_path_with_settings(folders, capsys, dataset):
    assert main(["doctor", str(folders)]) == 0 and "20 scenes" in capsys.readouterr().out
    renamed = folders.rename(folders.with_name("my pictures"))
    assert (
        main(["doctor", str(renamed), "dataset.split.train=0.5", "dataset.split.val=0.25", "dataset.split.test=0.25"])
        == 0
    )
    assert main(["doctor", str(dataset.path)]) == 0
    assert recognise(str(dataset.path)) == ["dataset=prepared"]


def test_plain_pictures_are_to_be_sorted_into_folders(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    said = refused(tmp_path)
    command = shlex.split(re.findall("`(.+)`", said)[0])
    assert "no folders of classes" in said and command == [
        "frostline",
        "doctor",
        "dataset=folder",
        f"dataset.root={tmp_path}",
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_known_by_what_it_has(tmp_path, name):
    assert (conf_dir() / "dataset" / f"{name}.yaml").is_file()
    for part in PUBLISHED[name]:
        place = tmp_path / part.replace("*", "x")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch() if place.suffix or "idx3" in place.name else place.mkdir()
    assert recognise(str(tmp_path)) == [f"dataset={name}"]


def test_two_layouts_that_fit_are_both_named(folders, monkeypatch):
    layouts = {"coco": lambda root: "COCO, a file", "yolo": lambda root: "YOLO", "voc": lambda root: None}
    monkeypatch.setattr(auto, "asked", lambda: dict(layouts))
    said = refused(folders)
    for name in ("coco", "yolo"):
        assert f"`frostline doctor dataset={name} dataset.root={folders}`" in said
    assert "voc" not in said and said.startswith("2 layouts fit")


def test_what_is_not_there_or_holds_nothing_is_told(tmp_path):
    assert "nowhere is not there" in refused(tmp_path / "nowhere")
    (tmp_path / "file.bin").touch()
    assert "file.bin is in none of the layouts" in refused(tmp_path / "file.bin")
    (tmp_path / "empty").mkdir()
    assert "no picture lies in it" in refused(tmp_path / "empty")


MEANT = {
    **dict.fromkeys(("formats", "trains", "trains2", "many2", "conflict", "rgbx"), "folder"),
    **dict.fromkeys(("bin255", "m_tiff", "cvat_masks", "seg_one"), "masks"),
    **dict.fromkeys(("robo", "bgco", "winco"), "coco"),
    **dict.fromkeys(("yolo_case", "yolo_part", "yolo_TXT", "yolo_name", "yolo_broken"), "yolo"),
    **dict.fromkeys(("wbc", "voc_mixed", "voc_labelimg", "voc_beside", "voc_nolists"), "voc"),
    **dict.fromkeys(("csv_semicolon", "csv_columns", "csv_file"), "csv"),
}
EXPORTS = {
    "datumaro-masks/voc_segmentation": "masks", "datumaro-masks/camvid": "masks", "datumaro-masks/coco": "coco",
    "datumaro/coco": "coco", "datumaro/voc": "voc", "datumaro/yolo": "yolo", "datumaro/cvat": "cvat",
    "datumaro/open_images": "open_images", "datumaro/label_me": "labelme",
    "globox/coco": "coco", "globox/voc": "voc", "globox/yolo": "yolo",
    "globox/openimage": "open_images", "globox/cvat": "cvat", "globox/labelme": "labelme",
    "supervision/coco": "coco", "supervision/yolo": "yolo", "supervision/voc": "voc", "supervision/labelme": "labelme",
    "supervision/createml": "createml", "label-studio/coco": "coco", "label-studio/voc": "voc",
    "label-studio/yolo": "yolo", "label-studio/yolo_obb": "yolo", "pylabel/coco": "coco", "pylabel/voc": "voc",
    "pylabel/yolo": "yolo", "roboflow/coco": "coco", "roboflow/voc": "voc", "roboflow/csv": "csv",
    "roboflow/yolo": "yolo", "label-studio/in.json": "label_studio", "label-studio/json_min": "label_studio",
    "label-studio/coco_with_images": "coco",
}  # fmt: skip


def test_one_folder_of_pictures_is_no_class(tmp_path):
    """Catches images/ and labels/, of which one holds pictures, as two classes."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    assert "Only one of its folders, 'images', holds pictures, so there are no two classes" in refused(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "labels" / "b.png")
    assert recognise(str(tmp_path)) == ["dataset=folder"]


@pytest.mark.parametrize("name", MEANT)
def test_each_case_is_recognised(name, tmp_path):
    assert recognise(str(case(name, tmp_path))) == [f"dataset={MEANT[name]}"]


@pytest.mark.parametrize("name", EXPORTS)
def test_each_export_is_recognised(name):
    assert recognise(str(export(name))) == [f"dataset={EXPORTS[name]}"]


@pytest.mark.parametrize(
    ("name", "layout"),
    [("pets3", "pets"), ("flowers5", "folder"), ("camvid", "masks"), ("bccd", "voc")],
)
def test_real_data_is_recognised(name, layout, real_data):
    assert recognise(str(real_data / name)) == [f"dataset={layout}"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml")))
def test_a_root_that_is_not_there_is_not_there_whatever_the_layout(tmp_path, name):
    """Catches 'no JPEGImages' where a letter of the path is wrong."""
    if name in ("meadow", "auto"):
        pytest.skip("it has no files, or is no layout")
    root = tmp_path / "nowhere"
    classes = ["dataset.source.classes=[a,b]"] if name == "masks" else []
    with pytest.raises(FrostlineError, match=f"{re.escape(str(root))} is not there: point dataset.root at ..."):
        configured(compose([f"dataset={name}", f"dataset.root={root}", *classes])["dataset"])


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [("voc", "JPEGImages"), ("yolo", "data.yaml"), ("csv", "manifest.csv"), ("pennfudan", "PNGImages"),
     ("pets", "images"), ("flowers102", "jpg"), ("fashion_mnist", "train-images-idx3-ubyte"), ("coco", "annotations"),
     ("masks", "images"), ("prepared", "dataset.json"), ("folder", "folders")],
)  # fmt: skip
def test_a_root_with_nothing_in_it_tells_what_was_looked_for(tmp_path, name, looked_for):
    classes = ["dataset.source.classes=[a,b]"] if name == "masks" else []
    with pytest.raises(FrostlineError, match=looked_for) as error:
        configured(compose([f"dataset={name}", f"dataset.root={tmp_path}", *classes])["dataset"])
    assert str(tmp_path) in str(error.value)
