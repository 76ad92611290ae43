from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from frostline.errors import FrostlineError
from frostline.scenes.scene import VOID
from frostline.sources.masks import Masks

CAMVID = Path(__file__).parents[2] / "conf" / "dataset" / "camvid.yaml"


def save(path, channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 30, 3) if channels == 3 else (20, 30), np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    for name in ("a.1", "train/b", "val/b"):
        save(root / "images" / f"{name}.jpg")
        save(root / "masks" / f"{name}.png", 1)
    save(root / "masks" / "._a.1.png", 1)
    return root


@pytest.fixture
def lists(tmp_path):
    root = tmp_path / "lists"
    for name in "abc":
        save(root / "train" / f"{name}.jpg")
        save(root / "trainannot" / f"{name}.png", 1)
    (root / "train.txt").write_text("train/a.jpg trainannot/a.png\n\ntrain/c.jpg trainannot/c.png\n")
    (root / "test.txt").write_text("train/b.jpg trainannot/b.png\n")
    return root


def scenes_of(root, classes=("back", "front"), **settings):
    source = Masks(root, classes, **settings)
    return source, {scene.id: scene for scene in source.scenes()}


def faults(scene):
    return [(fault.kind, fault.file.name, fault.line) for fault in scene.faults]


def test_folders_are_matched_by_name(root):
    source, scenes = scenes_of(root)
    assert source.classes.masks == ("back", "front") and source.classes.labels is None and source.classes.boxes is None
    assert list(scenes) == ["a.1", "train-b", "val-b"]
    assert scenes["val-b"].image == root / "images" / "val" / "b.jpg"
    assert scenes["val-b"].mask == root / "masks" / "val" / "b.png"
    assert [scene.split for scene in scenes.values()] == [None, "train", "val"]
    assert not any(scene.faults for scene in scenes.values())


def test_what_has_no_partner_is_told(root):
    (root / "masks" / "a.1.png").unlink()
    (root / "images" / "val" / "b.jpg").unlink()
    _, scenes = scenes_of(root)
    assert faults(scenes["a.1"]) == [("annotation_missing", "a.1.jpg", None)] and scenes["a.1"].mask is None
    assert "masks/a.1.png" in scenes["a.1"].faults[0].what
    assert faults(scenes["val-b"]) == [("picture_missing", "b.png", None)] and "val/b" in scenes["val-b"].faults[0].what


@pytest.mark.parametrize(
    ("void", "expected"),
    [(255, {0: 0, 1: 1, 255: VOID}), (11, {0: 0, 1: 1, 11: VOID}), (0, {0: VOID, 1: 0, 2: 1})],
)
def test_values_become_class_numbers(root, void, expected):
    assert scenes_of(root, void=void)[1]["a.1"].mask_map == expected


def test_lists_pair_pictures_and_masks(lists):
    _, scenes = scenes_of(lists)
    assert list(scenes) == ["train-a", "train-c", "train-b"]
    assert scenes["train-c"].image == lists / "train" / "c.jpg"
    assert scenes["train-c"].mask == lists / "trainannot" / "c.png"
    assert [scene.split for scene in scenes.values()] == ["train", "train", "test"]
    assert not any(scene.faults for scene in scenes.values())


def test_paths_of_another_machine_are_found_by_their_end(lists):
    """The lists that came with SegNet say /SegNet/CamVid/train/..."""
    (lists / "train.txt").write_text(
        "/SegNet/CamVid/train/a.jpg /SegNet/CamVid/trainannot/a.png\n"
        f"{lists.absolute()}/train/c.jpg {lists.absolute()}/trainannot/c.png\n"
    )
    _, scenes = scenes_of(lists)
    found = [scene for scene in scenes.values() if scene.split == "train"]
    assert [scene.image for scene in found] == [lists / "train" / "a.jpg", lists / "train" / "c.jpg"]
    assert found[0].mask == lists / "trainannot" / "a.png" and not found[0].faults


def test_of_two_pictures_with_one_name_the_second_is_a_fault(root):
    save(root / "images" / "a.1.png")
    save(root / "masks" / "train" / "z.PNG", 1)
    _, scenes = scenes_of(root)
    assert scenes["a.1"].image.name == "a.1.jpg" and not scenes["a.1"].faults
    assert faults(scenes["a.1.png"]) == [("annotation_missing", "a.1.png", None)]
    assert faults(scenes["train-z"]) == [("picture_missing", "z.PNG", None)]


def test_faulty_lines_are_told(lists):
    save(lists.parent / "secret.png", 1)
    (lists / "val.txt").write_text(
        "train/z.jpg trainannot/z.png\ntrain/a.jpg\n\ntrain/a.jpg ../secret.png\n/etc/hostname trainannot/a.png\n"
    )
    scenes = [scene for scene in Masks(lists, ["back"]).scenes() if scene.split == "val"]
    assert [faults(scene) for scene in scenes] == [
        [("picture_missing", "val.txt", 1), ("annotation_missing", "val.txt", 1)],
        [("annotation_missing", "val.txt", 2)],
        [("path_outside", "val.txt", 4)],
        [("path_outside", "val.txt", 5)],
    ]
    assert scenes[2].mask is None and scenes[3].image is None


def test_other_layouts_and_settings_are_told(root, tmp_path):
    with pytest.raises(FrostlineError, match="nowhere is not there"):
        Masks(tmp_path / "nowhere", ["a"])
    with pytest.raises(FrostlineError, match="has neither the folders 'images' and 'labels' nor a list"):
        Masks(root, ["a"], masks="labels")
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(FrostlineError, match="cannot be read as text"):
        Masks(tmp_path, ["a"])
    for classes in ("a", [], ["a"] * 255):
        with pytest.raises(FrostlineError, match="classes is no list"):
            Masks(root, classes)
    for void in (-1, 256, "11", True):
        with pytest.raises(FrostlineError, match="void is"):
            Masks(root, ["a"], void=void)


def test_the_real_camvid(real_data):
    settings = OmegaConf.load(CAMVID).source
    source = Masks(real_data / "camvid", settings.classes, settings.void)
    scenes = list(source.scenes())
    assert Counter(scene.split for scene in scenes) == {"train": 367, "val": 101, "test": 233}
    assert not any(scene.faults for scene in scenes)
    scene = scenes[0]
    mask = np.asarray(Image.open(scene.mask))
    assert mask.shape == (360, 480) and {*np.unique(mask)} <= set(scene.mask_map)
    names = {number: source.classes.masks[number] for number in set(scene.mask_map.values()) - {VOID}}
    assert names[scene.mask_map[np.bincount(mask[300:, 200:280].ravel()).argmax()]] == "road"
    assert names[scene.mask_map[np.bincount(mask[:20].ravel()).argmax()]] in ("sky", "building", "tree")
