import shutil
from pathlib import PurePath

import pytest

from frostline.checking.prepare import prepare
from frostline.errors import FrostlineError
from frostline.scenes.scene import SPLITS, scene_ids
from frostline.sources.folder import Folder


def test_sorted_folders_are_the_classes(folders):
    (folders / "a" / "deep" / "er").mkdir(parents=True)
    (folders / "a" / "0.png").rename(folders / "a" / "deep" / "er" / "0.PNG")
    (folders / "a" / "notes.txt").write_text("no picture")
    (folders / ".hidden").mkdir()
    shutil.copy(folders / "a" / "2.png", folders / "a" / "._2.png")
    source = Folder(folders)
    scenes = {scene.id: scene for scene in source.scenes()}
    assert source.classes.labels == ("a", "b") and source.classes.boxes is None
    assert len(scenes) == 20
    assert scenes["a-deep-er-0"].label == 0 and scenes["b-1"].label == 1


def test_folders_named_after_splits_hold_those_of_the_classes(folders, tmp_path):
    for number, split in enumerate(("train", "valid", "test")):
        for name in "ab":
            (tmp_path / "root2" / split / name).mkdir(parents=True)
            for at in range(4):
                picture = folders / name / f"{6 * at + 2 * number + (name == 'b')}.png"
                if picture.exists():
                    shutil.copy(picture, tmp_path / "root2" / split / name)
    source = Folder(tmp_path / "root2")
    scenes = {scene.id: scene for scene in source.scenes()}
    assert source.classes.labels == ("a", "b") and len(scenes) == 20
    assert (scenes["valid-b-3"].split, scenes["valid-b-3"].label, scenes["train-a-0"].split) == ("val", 1, "train")
    dataset = prepare(source, tmp_path / "out", name="x", split={"given": True})
    assert {scene.id for scene in dataset.scenes("test")} == {name for name in scenes if name.startswith("test")}
    (tmp_path / "root2" / "rose").mkdir()
    assert Folder(tmp_path / "root2").classes.labels == ("rose", "test", "train", "valid")


def test_missing_or_empty_roots_are_told(tmp_path):
    with pytest.raises(FrostlineError, match=r"nowhere is not there: point dataset\.root"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(FrostlineError, match="holds no folders"):
        Folder(tmp_path)


def test_ids_are_distinct_and_safe():
    paths = ["rose/2.jpg", "rose/2.png", "Rose/2.jpg", "a b/ö:1.gif", "rose-2.bmp"]
    assert scene_ids(map(PurePath, paths)) == ["rose-2", "rose-2~1", "Rose-2~2", "a-b-ö-1", "rose-2~3"]


def test_ids_fit_on_a_disk_and_stay_distinct():
    deep = [PurePath(*["ä" * 90] * 8, f"{n}.png") for n in range(3)]
    ids = scene_ids(deep)
    assert len(set(ids)) == 3 and all(len(name.encode()) < 210 for name in ids) and ids[2].endswith("-2")
    assert scene_ids(deep) == ids


def test_thousands_of_one_name_take_no_time():
    ids = scene_ids([PurePath("a.png")] * 50_000)
    assert len(set(ids)) == 50_000 and ids[:3] == ["a", "a~1", "a~2"]


def test_flowers_duplicates_are_found(real_data, tmp_path):
    """A part of the real pictures: roses and tulips with equal names are the same picture, labelled both ways."""
    flowers = real_data / "flowers5"
    both = {path.name for path in (flowers / "rose").iterdir()} & {path.name for path in (flowers / "tulip").iterdir()}
    assert len(both) == 4
    for name in ("rose", "tulip"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for path in [flowers / name / file for file in both] + sorted((flowers / name).iterdir())[:20]:
            shutil.copy(path, tmp_path / "root" / name)
    dataset = prepare(Folder(tmp_path / "root"), tmp_path / "out", name="flowers")
    assert [fault["kind"] for fault in dataset.info["faults"] if fault["done"] == "left out"] == ["label_conflict"] * 8
    names = {scene.id.split("-", 1)[1] for split in SPLITS for scene in dataset.scenes(split)}
    assert not names & {name.removesuffix(".jpg") for name in both}


def test_flowers_are_all_there(real_data):
    source = Folder(real_data / "flowers5")
    labels = [scene.label for scene in source.scenes()]
    assert source.classes.labels == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert [labels.count(number) for number in range(5)] == [690, 945, 710, 639, 869]
