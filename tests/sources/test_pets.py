from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torchvision
from omegaconf import OmegaConf
from PIL import Image

from frostline.checking.prepare import prepare, prepare_from_config
from frostline.errors import FrostlineError
from frostline.scenes.scene import SPLITS
from frostline.sources.pets import Pets
from frostline.sources.voc_xml import read_voc_boxes

CONF = Path(__file__).parents[2] / "conf" / "dataset" / "pets.yaml"


def voc(*boxes):
    objects = "".join(
        f"<object><name>cat</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "</object>"
        for x0, y0, x1, y1 in boxes
    )
    return f"<annotation><size><width>30</width><height>20</height></size>{objects}</annotation>"


@pytest.fixture(params=[".", "oxford-iiit-pet"])
def root(tmp_path, request):
    base = tmp_path / "root" / request.param
    for folder in ("images", "annotations/xmls", "annotations/trimaps"):
        (base / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(24):
        name = f"{('Bengal', 'great_pyrenees')[number % 2]}_{number}"
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(base / "images" / f"{name}.jpg")
        trimap = np.full((20, 30), 2, np.uint8)
        trimap[5:15, 5:15], trimap[4] = 1, 3
        Image.fromarray(trimap).save(base / "annotations" / "trimaps" / f"{name}.png")
        if number < 12:
            (base / "annotations" / "xmls" / f"{name}.xml").write_text(voc((1, 1, 30, 20), (6, 6, 15, 15)))
        listed = "trainval.txt" if number < 16 else "test.txt"
        with (base / "annotations" / listed).open("a") as file:
            file.write(f"{name} 1 1 1\n")
    (base / "images" / "Bengal_0.mat").write_text("not a picture")
    (base / "annotations" / "trimaps" / "._Bengal_0.png").write_text("not a mask")
    return tmp_path / "root"


def test_layout_is_read(root, tmp_path):
    source = Pets(root)
    scenes = {scene.id: scene for scene in source.scenes()}
    assert source.classes.labels == source.classes.boxes == ("Bengal", "great_pyrenees")
    assert len(scenes) == 24
    assert scenes["great_pyrenees_1"].label == 1 and scenes["great_pyrenees_1"].box_labels.tolist() == [1, 1]
    assert scenes["Bengal_0"].boxes.tolist() == [[0, 0, 30, 20], [5, 5, 15, 15]]
    assert scenes["Bengal_12"].boxes is None
    dataset = prepare(source, tmp_path / "out", name="pets", split={"given": True})
    given = {scene.id for scene in scenes.values() if scene.split == "test"}
    assert {scene.id for scene in dataset.scenes("test")} == given
    assert len(dataset.scenes("test")) == 8 and len(dataset.scenes("val")) == 2
    mask = np.asarray(Image.open(dataset.scenes("train")[0].mask))
    assert (mask[0, 0], mask[4, 0], mask[8, 8]) == (1, 2, 0)
    assert "breed" in dataset.info["derived"]["boxes"]


@pytest.mark.parametrize(
    "xml",
    ["<annotation>", "no xml", voc(("", 1, 2, 2)), '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'],
)
def test_a_broken_xml_is_a_fault_that_names_it(root, tmp_path, xml):
    next(root.rglob("Bengal_2.xml")).write_text(xml)
    with pytest.raises(FrostlineError, match=r"1 fault.*Bengal_2\.xml"):
        prepare(Pets(root), tmp_path / "out", name="pets")
    assert prepare(Pets(root), tmp_path / "out", name="pets", on_fault="skip").info["found"]["left out"] == 1


@pytest.mark.parametrize("root", ["oxford-iiit-pet"], indirect=True)
def test_torchvision_reads_the_same(root):
    scenes = {scene.image: scene for scene in Pets(root).scenes()}
    for theirs, ours in (("trainval", "train"), ("test", "test")):
        data = torchvision.datasets.OxfordIIITPet(root, split=theirs, target_types=["category", "segmentation"])
        assert {*data._images} == {path for path, scene in scenes.items() if scene.split == ours}
        assert {*data._segs} == {scene.mask for scene in scenes.values() if scene.split == ours}


def test_an_object_without_a_box_is_no_box(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation><object><name>cat</name></object></annotation>")
    with pytest.raises(ValueError, match="^has a box whose corners are no numbers"):
        read_voc_boxes(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_text("<annotation/>")
    assert read_voc_boxes(tmp_path / "a.xml").corners.shape == (0, 4)


def test_other_layouts_are_told(tmp_path):
    with pytest.raises(FrostlineError, match="no folder 'images'.*torchvision.datasets.OxfordIIITPet.*download=True"):
        Pets(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.jpg").touch()
    with pytest.raises(FrostlineError, match="no picture that is called <breed>_<number>"):
        Pets(tmp_path)


def test_a_name_without_a_breed_is_a_fault(root):
    images = next(root.rglob("images"))
    (images / "Bengal_0.jpg").rename(images / "cat.jpg")
    scenes = {scene.id: scene for scene in Pets(root).scenes()}
    assert [fault.kind for fault in scenes["cat"].faults] == ["label_unknown"] and scenes["cat"].label is None
    assert len(scenes) == 24 and not any(scene.faults for name, scene in scenes.items() if name != "cat")


def test_lists_that_are_no_text_are_told(root):
    next(root.rglob("trainval.txt")).write_bytes(b"\xff\xfe")
    with pytest.raises(FrostlineError, match="trainval.txt cannot be read as text"):
        list(Pets(root).scenes())


def test_the_real_pets(real_data, tmp_path):
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF)}).dataset
    config.root = str(real_data / "pets3")
    dataset = prepare_from_config(config, tmp_path / "out")
    scenes = {split: dataset.scenes(split) for split in SPLITS}
    found = {scene.id: scene for split in SPLITS for scene in scenes[split]}
    assert dataset.classes.labels == ("Abyssinian", "Bengal", "american_bulldog")
    assert len(found) == 600
    boxed = [scene for scene in found.values() if scene.boxes is not None]
    assert len(boxed) == 296 and sum(len(scene.boxes) for scene in boxed) == 297
    assert all((scene.box_labels == scene.label).all() for scene in boxed)
    assert all(dataset.classes.labels[scene.label] == scene.id.rpartition("_")[0] for scene in found.values())
    assert {split: len(scenes[split]) for split in SPLITS} == {"train": 360, "val": 90, "test": 150}
    with_boxes = Counter(split for split in SPLITS for scene in scenes[split] if scene.boxes is not None)
    for split, share in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        assert abs(with_boxes[split] - share * 296) < 3
    odd = {fault["scene"] for fault in dataset.info["faults"] if fault["kind"].startswith("picture_")}
    assert odd == {"Abyssinian_34", "Abyssinian_5"}
    assert all(found[name].image.suffix == ".png" for name in ("Abyssinian_34", "Abyssinian_5"))
    assert set(np.unique(np.asarray(Image.open(found["Bengal_1"].mask)))) == {0, 1, 2}
    assert found["Abyssinian_1"].boxes.tolist() == [[332, 71, 425, 158]]
