"""A dataset's scenes as columns: the same as they were written, opened at no cost, and read by each process anew."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from frostline.errors import FrostlineError
from frostline.scenes.columns import TEXT, Columns, Form, Writer
from frostline.scenes.needs import NEEDS, lacks, serving
from frostline.scenes.scene import SPLITS

FORMS = {"name": TEXT, "size": Form("<i4", (2,)), "boxes": Form("<f4", (4,), ragged=True)}


@pytest.mark.parametrize("count", [0, 1, 7])
def test_rows_come_back_as_they_were_written(tmp_path, monkeypatch, count):
    monkeypatch.setattr("frostline.scenes.columns.AT_ONCE", 3)  # written in several parts
    rng = np.random.default_rng(0)
    boxes = [rng.random((number % 3, 4)).astype(np.float32) for number in range(count)]
    names = ["", "ä", "\udcff", "日本", "a" * 300, "x", "y"]
    writer = Writer(tmp_path / "columns", FORMS)
    for number in range(count):
        writer.add({"name": names[number], "size": (number, -number), "boxes": boxes[number]})
    table = writer.close()
    columns = Columns(tmp_path / "columns", table, FORMS)
    assert [columns.text("name", row) for row in range(count)] == names[:count]
    assert columns["size"].tolist() == [[number, -number] for number in range(count)]
    assert all(np.array_equal(columns.ragged("boxes", row), boxes[row]) for row in range(count))
    assert [path.name for path in tmp_path.iterdir()] == ["columns"]
    (tmp_path / "columns").write_bytes((tmp_path / "columns").read_bytes()[:-1])
    with pytest.raises(FrostlineError, match="columns is not as it was written: prepare the dataset anew"):
        Columns(tmp_path / "columns", table, FORMS)


def test_nobody_writes_into_what_is_mapped(dataset):
    # Catches a transform that changes a box of the dataset, or what others read of it.
    scenes = dataset.scenes("train")
    with pytest.raises(ValueError, match="read-only"):
        scenes.labels[0] = 1
    first = next(scene for scene in scenes if scene.boxes is not None and len(scene.boxes))
    first.boxes[:] = 0
    again = next(scene for scene in scenes if scene.boxes is not None and len(scene.boxes))
    assert again.boxes.any()


def test_columns_say_what_the_scenes_say(dataset):
    for split in SPLITS:
        scenes = dataset.scenes(split)
        listed = list(scenes)
        assert [scene.id for scene in listed] == sorted(scene.id for scene in listed)
        assert len(scenes) == len(listed) and [scene.id for scene in scenes[1:3]] == [scene.id for scene in listed[1:3]]
        assert scenes[-1].id == listed[-1].id == scenes.id(len(scenes) - 1)
        assert [None if label < 0 else label for label in scenes.labels.tolist()] == [scene.label for scene in listed]
        assert scenes.sizes.tolist() == [list(scene.size) for scene in listed]
        assert scenes.boxes_annotated.tolist() == [scene.boxes is not None for scene in listed]
        assert scenes.box_counts.tolist() == [0 if scene.boxes is None else len(scene.boxes) for scene in listed]
        flat = [label for scene in listed if scene.boxes is not None for label in scene.box_labels.tolist()]
        assert scenes.box_labels.tolist() == flat
        assert scenes.masks_annotated.tolist() == [scene.mask is not None for scene in listed]
        for needs in [{need} for need in NEEDS] + [{"label", "boxes"}, {"boxes", "mask"}]:
            expected = [lacks(scene, needs, dataset.classes) is None for scene in listed]
            assert serving(scenes, needs).tolist() == expected, needs
    with pytest.raises(IndexError):
        scenes[len(scenes)]


def test_another_process_opens_it_by_its_path(dataset):
    # Catches a worker that is sent all scenes: a mapped array is pickled with all that it holds.
    scenes = dataset.scenes("train")
    assert scenes.labels is not None and scenes[0].id
    sent = pickle.dumps(scenes)
    assert len(sent) < 4000
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())[3].id)"
    told = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True).stdout
    assert told.decode().strip() == scenes[3].id


def test_pages_that_were_let_go_are_read_again(dataset, monkeypatch):
    monkeypatch.setattr("frostline.scenes.columns.LET_GO", 2)
    scenes = dataset.scenes("train")
    before = [(scene.id, scene.label) for scene in scenes]
    assert [(scene.id, scene.label) for scene in scenes] == before
