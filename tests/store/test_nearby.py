"""Copies of datasets in the node's own folder: made once, whole, looked at, and making way for others."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frostline.checking.prepare import prepare
from frostline.environment import NODE_FOLDER
from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.store import nearby
from frostline.store.nearby import cache_folder, near
from frostline.store.room import on_disk

READER = """
import sys
from pathlib import Path
from frostline.scenes.dataset import Dataset
from frostline.store import nearby
make, copy = nearby._make, nearby._copy
def counted(*args):
    with open(sys.argv[2], "a") as file:
        file.write("made\\n")
    make(*args)
def slow(source, *args):
    if len(sys.argv) > 3 and source.name == sys.argv[3]:
        print("half", flush=True)
        sys.stdin.read()
    return copy(source, *args)
nearby._make, nearby._copy = counted, slow
with nearby.near(Dataset.open(sys.argv[1])) as dataset:
    scenes = dataset.scenes("train")
    print(dataset.copy, [scene.image.read_bytes()[-8:].hex() for scene in scenes][3], flush=True)
"""


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", str(tmp_path / "disk"))
    monkeypatch.setenv(NODE_FOLDER, "$WHERE/of node")
    monkeypatch.setattr(nearby, "SPARE", 1 << 20)
    return tmp_path / "disk" / "of node" / f"frostline-{os.getuid()}"


@pytest.fixture
def own(dataset, tmp_path):
    """A dataset that may be spoilt."""
    shutil.copytree(dataset.path, tmp_path / "own")
    return Dataset.open(tmp_path / "own")


def copies(node):
    return sorted(path.name for path in (node / "datasets").iterdir() if not path.name.startswith("."))


def start(dataset, log, *more):
    command = [sys.executable, "-c", READER, str(dataset.path), str(log), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_all_that_a_run_reads_comes_from_the_copy(own, dataset, node, capsys):
    with near(own) as read:
        assert read.copy.parent == node / "datasets" and (read.path, read.info) == (own.path, own.info)
        for name in ("images", "masks", "scenes.bin"):
            (own.path / name).rename(own.path / f"{name}.away")
        for split in ("train", "val", "test"):
            for one, expected in zip(read.scenes(split), dataset.scenes(split), strict=True):
                assert (one.id, one.label) == (expected.id, expected.label)
                assert one.image.read_bytes() == expected.image.read_bytes()
                assert one.mask.read_bytes() == expected.mask.read_bytes()
        with read.held():  # dataset.json is still asked of the dataset itself
            pass
    assert capsys.readouterr().err == ""


def test_without_a_folder_nothing_changes(dataset, monkeypatch, tmp_path):
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    with near(dataset) as read:
        assert read is dataset
    assert cache_folder("runs/cache") == Path("runs/cache")
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path))
    assert cache_folder("runs/cache") == tmp_path / f"frostline-{os.getuid()}" / "cache"


def test_processes_that_begin_at_once_make_one_copy(dataset, node, tmp_path):
    started = [start(dataset, tmp_path / "log") for _ in range(4)]
    said = {process.communicate(timeout=120)[0] for process in started}
    assert len(said) == 1 and all(process.returncode == 0 for process in started)
    assert (tmp_path / "log").read_text() == "made\n" and len(copies(node)) == 1


def test_a_killed_copy_is_made_anew(dataset, node, tmp_path):
    scene = dataset.scenes("train")[10]
    doomed = start(dataset, tmp_path / "log", scene.image.name)
    assert doomed.stdout.readline().startswith("half")  # by one thread, or several
    assert (node / "datasets" / ".partial").is_dir() and not copies(node)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    with near(dataset) as read:
        assert all(one.image.is_file() for one in read.scenes("train"))
    assert not (node / "datasets" / ".partial").exists()


def test_a_file_that_is_not_as_it_was_prepared_ends_the_run(own, node):
    image = own.scenes("train")[5].image
    content = image.read_bytes()
    image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FrostlineError, match=f"{image.name} has changed since the dataset was prepared"), near(own):
        pass
    image.unlink()
    with pytest.raises(FrostlineError, match=f"{image.name}, which the dataset needs, cannot be read"), near(own):
        pass
    assert copies(node) == []
    image.write_bytes(content)
    with near(own) as read:
        assert read.scenes("train")[5].image.read_bytes() == content


def test_a_copy_that_somebody_cleared_in_part_is_made_anew(dataset, node, capsys):
    with near(dataset) as read:
        lost = read.scenes("train")[2].image
        lost.unlink()
        with near(dataset) as other:  # but not under the eyes of who reads it
            assert other is dataset
        assert "files are gone from" in capsys.readouterr().err
    with near(dataset) as read:
        assert lost.is_file() and read.copy == lost.parent.parent


def test_without_room_the_dataset_itself_is_read(dataset, node, monkeypatch, capsys):
    monkeypatch.setattr(nearby, "SPARE", 1 << 60)
    with near(dataset) as read:
        assert read is dataset
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the disk has 0 GB for it" in said and f"{dataset.path} itself is read" in said
    assert copies(node) == []


def test_a_disk_that_refuses_is_told(dataset, node, monkeypatch, capsys):
    node.mkdir(parents=True)
    (node / "datasets").write_text("")
    with near(dataset) as read:
        assert read is dataset
    assert "gets no copy of the dataset, as File exists" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_meanwhile_is_told_and_left_clean(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nearby, "SPARE", -(1 << 40))  # as if others had filled it since somebody looked
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], check=True)
    try:
        monkeypatch.setenv(NODE_FOLDER, str(small))
        with near(dataset) as read:
            assert read is dataset
        said = capsys.readouterr().err
        assert "gets no copy of the dataset, as No space left on device" in said and said.count("\n") == 1
        assert not list(small.rglob("*.png")) and not list(small.rglob(".partial"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_copy_that_was_used_least_recently_makes_way_and_none_that_is_read(
    dataset, node, monkeypatch, drawn, listed, tmp_path
):
    others = [
        prepare(listed(drawn(40)), tmp_path / name, name=name, split={"train": 0.6, "val": 0.2, "test": 0.2})
        for name in ("a", "b", "c")
    ]
    names = {}
    for number, other in enumerate(others):
        with near(other) as read:
            names[other.name] = read.copy.name
        os.utime(read.copy / "used", (1000 + number, 1000 + number))
    size = sum(on_disk(size) for size in nearby._tree(node / "datasets" / names["a"]))
    usage = shutil.disk_usage(node)
    room = [nearby.SPARE + size // 2]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room[0]))
    with near(others[0]) as oldest:
        os.utime(oldest.copy / "used", (1000, 1000))
        with near(dataset) as read:  # a is read, so b goes
            assert set(copies(node)) == {names["a"], names["c"], read.copy.name}
    # Where all that could go would not do, nothing goes.
    room[0] = -10 * size
    with near(others[1]) as read:
        assert read is others[1] and len(copies(node)) == 3


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("$NO_SUCH_FOLDER/x", "'$NO_SUCH_FOLDER/x', and no such variable is set on"),
        ("relative/x", "'relative/x', and that is no absolute path"),
        ("/dev/null", "'/dev/null', and Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_is_said_once_and_done_without(dataset, named, words, monkeypatch, capsys):
    monkeypatch.setenv(NODE_FOLDER, named)
    nearby._ours.cache_clear()
    with near(dataset) as read:
        assert read is dataset and cache_folder("kept") == Path("kept")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and words in said and "does without the node's own folder" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_has_laid_there_is_not_used(dataset, tmp_path, monkeypatch, capsys):
    (tmp_path / "scratch" / f"frostline-{os.getuid()}").mkdir(parents=True)
    os.chown(tmp_path / "scratch" / f"frostline-{os.getuid()}", 12345, 12345)
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path / "scratch"))
    with near(dataset) as read:
        assert read is dataset
    assert "is another user's" in capsys.readouterr().err


def test_referenced_pictures_stay_where_they_are(folders, tmp_path, node):
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose

    config = compose([f"dataset.root={folders}", "dataset.store=reference"])
    dataset = prepare_from_config(config["dataset"], tmp_path / "referenced")
    with near(dataset) as read:
        assert read is dataset


def test_copying_waits_for_nobody_who_reads(dataset, node):
    """A lock that readers kept would have every run wait for the end of the one before."""
    with near(dataset):
        since = time.monotonic()
        with near(dataset):
            pass
        assert time.monotonic() - since < 5
