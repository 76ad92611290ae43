"""A folder that is no prepared dataset: what the doctor offers, and that its command works."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from frostline.cli import main
from frostline.config import compose, conf_dir
from frostline.doctor.offer import LAYOUTS, prepared_in
from frostline.errors import FrostlineError
from frostline.sources.configured import configured


def refused(folder):
    with pytest.raises(FrostlineError) as error:
        prepared_in(str(folder))
    return str(error.value)


def offered(folder):
    return shlex.split(re.findall("`(.+)`", refused(folder))[0])


def test_a_prepared_dataset_is_opened(dataset):
    assert prepared_in(str(dataset.path)).dataset.data_hash == dataset.data_hash


def test_class_folders_are_offered_as_such_and_the_command_works(folders, capsys):
    command = offered(folders)
    assert command == ["frostline", "doctor", "dataset=folder", f"dataset.root={folders}"]
    assert main(command[1:]) == 0 and "20 scenes" in capsys.readouterr().out
    assert main(["doctor", str(folders)]) == 2
    assert "looks like the layout 'folder': `frostline doctor dataset=folder" in capsys.readouterr().err
    assert offered(folders.rename(folders.with_name("my pictures")))[3].endswith("/my pictures")


def test_plain_pictures_are_to_be_sorted_into_folders(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    said = refused(tmp_path)
    assert "no folders of classes" in said and offered(tmp_path)[2:] == ["dataset=folder", f"dataset.root={tmp_path}"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_known_by_what_it_has(tmp_path, name):
    assert (conf_dir() / "dataset" / f"{name}.yaml").is_file()
    for part in LAYOUTS[name]:
        place = tmp_path / part.replace("*", "x")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch() if place.suffix or "idx3" in place.name else place.mkdir()
    assert offered(tmp_path)[2] == f"dataset={name}"


def test_what_is_not_there_or_holds_nothing_is_told(tmp_path):
    assert "nowhere is not there" in refused(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "file is no folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no picture lies in it" in refused(tmp_path / "empty")


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml")))
def test_a_root_that_is_not_there_is_not_there_whatever_the_layout(tmp_path, name):
    """Catches 'no JPEGImages' where a letter of the path is wrong."""
    if name == "meadow":
        pytest.skip("it has no files")
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
