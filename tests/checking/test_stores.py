import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from frostline.annotate.exchange import export
from frostline.checking.fingerprint import TICK
from frostline.checking.prepare import prepare
from frostline.checking.scene import check
from frostline.checking.stores import STORES
from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.loading.module import SceneDataModule
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS, Scene
from frostline.sources.folder import Folder
from frostline.sources.prepared import Prepared

SIDE, LONG, SHORT = 32, 120, 90


def photograph(seed, width=LONG, height=SHORT):
    """Something smooth, each another, as noise would be nothing but loss where it is made smaller."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photographs(tmp_path, listed):
    """A source of 24 JPEGs with all annotations; number 3 is to be turned, 4 is smaller than any side that is asked
    for, 5 a PNG, and 6 has 16 bits."""
    folder, scenes = tmp_path / "owner" / "deep", []
    folder.mkdir(parents=True)
    for number in range(24):
        path, image = folder / f"{number:02}.jpg", photograph(number)
        if number == 3:
            exif = Image.Exif()
            exif[0x0112] = 3
            image.save(path, exif=exif)
        elif number == 4:
            photograph(4, SIDE, 24).save(path, quality=60)
        elif number == 5:
            image.save(path := path.with_suffix(".png"))
        elif number == 6:
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(
                path := path.with_suffix(".png")
            )
        else:
            image.save(path, quality=90)
        width, height = Image.open(path).size
        mask = np.zeros((height, width), np.uint8)
        mask[5:19, 4:21] = 1
        box = np.array([[4, 5, 21.5, 19.25]], np.float32)
        scenes.append(Scene(f"s{number:02}", path, number % 2, box, np.array([number % 2]), mask))
    return listed(scenes)


@pytest.fixture
def held(tmp_path, photographs):
    """Prepares them: which store -> the dataset."""

    def made(store, source=photographs, out=None, **options):
        side = {"side": SIDE} if store == "encoded" else {}
        return prepare(source, tmp_path / (out or store), name="x", store=store, **side, **options)

    return made


def every(dataset):
    return {scene.id: scene for split in SPLITS for scene in dataset.scenes(split)}


def squares(dataset, needs=("label", "boxes", "mask")):
    items = [SceneDataModule(dataset, needs, SIDE, 4).items(split) for split in SPLITS]
    return {item["id"]: item for each in items for item in map(each.plain, range(len(each)))}


def test_each_store_has_the_same_scenes_boxes_and_masks(held, photographs):
    # Catches boxes or masks in pixels of what is stored, a lossy reference, and a picture that was enlarged.
    before = {path: path.read_bytes() for path in photographs.found[0].image.parent.iterdir()}
    copied, referred, encoded = map(held, STORES)
    assert copied.data_hash == referred.data_hash != encoded.data_hash
    assert "store" not in copied.info and referred.info["store"] == "reference" and encoded.info["side"] == SIDE
    for dataset in (referred, encoded):
        for scene, other in zip(every(copied).values(), every(dataset).values(), strict=True):
            assert (scene.id, scene.label, scene.size, scene.split) == (other.id, other.label, other.size, other.split)
            assert (scene.boxes == other.boxes).all() and (scene.box_labels == other.box_labels).all()
            assert scene.mask.read_bytes() == other.mask.read_bytes()
    own = {path.name for path in (referred.path / "images").iterdir()}
    assert own == {"s03.png", "s06.png"}  # which had to be made plain
    for scene in every(referred).values():
        assert (scene.image in before) == (scene.image.name not in own)
    for name, scene in every(encoded).items():
        small = Image.open(scene.image)
        if name == "s04":
            assert scene.image.read_bytes() == before[photographs.found[4].image]
        else:
            assert (small.format, small.size) == ("JPEG", (43, SIDE)) and scene.size == (LONG, SHORT)
    assert before == {path: path.read_bytes() for path in photographs.found[0].image.parent.iterdir()}


def test_a_network_sees_the_same_of_each_store(held):
    # Catches a reference that is read otherwise, and an encoding that is no better than a thumbnail.
    copied, referred, encoded = (squares(held(store)) for store in STORES)
    for name, item in copied.items():
        assert torch.equal(item["image"], referred[name]["image"])
        assert (item["image"].int() - encoded[name]["image"].int()).abs().float().mean() < 3
        for kind in ("boxes", "mask"):
            assert torch.equal(item[kind], referred[name][kind]) and torch.equal(item[kind], encoded[name][kind])
        if "native_mask" in item:
            assert encoded[name]["native_mask"].shape == item["native_mask"].shape
            assert encoded[name]["picture_size"] == item["picture_size"]


def test_an_epoch_trains_from_each_store(held, tiny):
    # Catches a store whose pictures a loader's own epoch cannot take, or takes otherwise.
    weights = {}
    for store in STORES:
        data = SceneDataModule(held(store), {"label"}, SIDE, 4, augment=v2.RandomHorizontalFlip())
        task = tiny.make("full", 1, classes=data.classes)
        tiny.fit(task, 1, data=data)
        weights[store] = torch.cat([weight.flatten() for weight in task.model.parameters()])
    copied, referred, encoded = weights.values()
    assert torch.equal(copied, referred) and not torch.equal(copied, encoded)
    assert torch.allclose(copied, encoded, atol=0.02)


def test_a_picture_that_changed_or_is_gone_is_told_where_it_is_read(held, photographs, capsys):
    # Catches runs trained on other pictures than their data_hash says, and a worker's traceback in place of a sentence.
    dataset = held("reference")
    changed, gone = every(dataset)["s01"].image, every(dataset)["s02"].image
    content = changed.read_bytes()
    changed.write_bytes(content[:-2] + b"\0\0" + content[-2:])  # still a picture
    with pytest.raises(FrostlineError, match=r"deep/01\.jpg has changed since .*: put the old file back, or prepare"):
        squares(dataset)
    loaders = SceneDataModule(dataset, {"label"}, SIDE, 32, workers=1)
    with pytest.raises(FrostlineError, match=r"^\S*/01\.jpg has changed since the dataset was prepared: [^\n]*\.$"):
        for split in SPLITS:
            list(loaders.loader_of(split, [(n, 0) for n in range(len(loaders.items(split)))]))
    changed.write_bytes(content)
    gone.unlink()
    with pytest.raises(FrostlineError, match=r"deep/02\.jpg, which .* cannot be read \(No such file or directory\)"):
        squares(dataset)
    changed.write_bytes(photographs.found[7].image.read_bytes())
    assert main(["doctor", str(dataset.path)]) == 1
    told = capsys.readouterr().out
    assert all(kind in told for kind in ("picture_missing", "file_changed", "read where they lie"))


@pytest.mark.parametrize("tick", [0, TICK])  # whether the files' state tells, or their contents have to
@pytest.mark.parametrize("store", STORES)
def test_prepared_again_unchanged_it_is_opened_as_it_is(store, tick, held, photographs, tmp_path, monkeypatch):
    # Catches a dataset that refers to where its pictures were.
    monkeypatch.setattr("frostline.checking.fingerprint.TICK", tick)

    def made(source):
        return (held(store, source).path / "dataset.json").stat().st_ino

    first = made(photographs)
    assert made(photographs) == first
    owner = photographs.found[0].image.parents[1]
    owner.rename(moved := tmp_path / "moved")  # the same files, and yet another place
    found = [replace(scene, image=moved / scene.image.relative_to(owner)) for scene in photographs.found]
    again = made(replace(photographs, found=found))
    assert (again == first) == (store != "reference")
    squares(Dataset.open(tmp_path / store))


@pytest.mark.parametrize("store", STORES)
def test_a_killed_prepare_goes_on(store, held, photographs, monkeypatch, tmp_path):
    class Killed(type(photographs)):
        def scenes(self):
            yield from self.found[:18]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(store, Killed(photographs.found))
    journal = tmp_path / f".{store}.partial" / "journal.jsonl"
    noted = {json.loads(line)["id"] for line in journal.read_text().splitlines()[1:]}
    checked = []
    monkeypatch.setattr(
        "frostline.checking.work.check", lambda scene, *rest: checked.append(scene.id) or check(scene, *rest)
    )
    dataset = held(store)
    assert sorted(checked) == sorted({scene.id for scene in photographs.found} - noted) and noted
    assert (dataset.path / "dataset.json").read_bytes() == (held(store, out="fresh").path / "dataset.json").read_bytes()
    assert all(scene.image.is_file() for scene in photographs.found)
    with pytest.raises(KeyboardInterrupt):
        held(store, Killed(photographs.found), out="other")
    checked.clear()
    held("copy" if store != "copy" else "encoded", out="other")  # held otherwise: from the start
    assert len(checked) == len(photographs.found)


def test_what_is_left_out_of_a_dataset_stays_with_its_owner(held, photographs, tmp_path):
    # Catches a `prepare` that clears away pictures which are not its own.
    one = photographs.found[8]
    twice = Path(shutil.copy(one.image, one.image.with_name("twice.jpg")))
    source = replace(photographs, found=[*photographs.found, replace(one, id="s99", image=twice)])
    dataset = held("reference", source)
    assert len(every(dataset)) == 24 and twice.is_file() and one.image.is_file()


def test_a_reference_is_as_its_owner_named_it(tmp_path, folders, monkeypatch):
    # Catches a dataset that is bound to one machine, as whoever shares a study has its pictures elsewhere.
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "project").mkdir()
    folders.rename(tmp_path / "here" / "root")
    monkeypatch.chdir(tmp_path / "here" / "project")
    made = prepare(Folder("../root"), "runs/data/x", name="x", store="reference")
    assert str(tmp_path) not in "".join(path.read_text("latin-1") for path in made.path.iterdir() if path.is_file())
    named = json.loads((made.path / "train.json").read_text())["images"][0]["file_name"]
    assert (made.path / named).is_file() and named.startswith("../../../../root/")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(squares(Dataset.open("there/project/runs/data/x"), {"label"})) == 20
    prepare(Folder(tmp_path / "there" / "root"), "y", name="x", store="reference")
    os.rename("y", "there/y")
    assert len(squares(Dataset.open("there/y"), {"label"})) == 20


def test_an_encoded_dataset_can_be_checked_and_prepared_again(held, tmp_path):
    # Catches boxes that leave, and masks that do not fit, pictures which are smaller than they are said to be.
    encoded = held("encoded")
    assert main(["doctor", str(encoded.path)]) == 0
    again = prepare(Prepared(encoded.path), tmp_path / "again", name="x", split={"given": True})
    assert again.data_hash == encoded.data_hash
    smaller = prepare(
        Prepared(encoded.path), tmp_path / "smaller", name="x", split={"given": True}, store="encoded", side=16
    )
    for name, scene in every(encoded).items():
        assert every(again)[name].image.read_bytes() == scene.image.read_bytes()
        assert every(smaller)[name].size == scene.size and min(Image.open(every(smaller)[name].image).size) == 16
    for store in ("encoded", "reference"):
        with pytest.raises(FrostlineError, match="does not hold its pictures as they are, and people need them"):
            export(held(store).path, "coco", tmp_path / "out.json")


def test_pictures_are_encoded_as_large_as_training_wants_them(tmp_path, listed, drawn):
    def side(*more):
        return compose(["dataset=folder", "dataset.root=x", "image_size=96", *more])["dataset"]["side"]

    assert side() is None and side("dataset.store=encoded") == 96
    assert side("dataset.store=encoded", "dataset.side=128") == 128
    with pytest.raises(FrostlineError, match="image_size=96 would enlarge what is stored"):
        side("dataset.store=encoded", "dataset.side=64")
    with pytest.raises(FrostlineError, match=r"dataset\.store is encoded, and dataset\.side is not set"):
        prepare(listed(drawn(8)), tmp_path / "x", name="x", store="encoded")
    with pytest.raises(FrostlineError, match=r"dataset\.store is 'link': set it to copy, reference, encoded"):
        prepare(listed(drawn(8)), tmp_path / "x", name="x", store="link")


def test_what_is_encoded_does_not_fail_where_jpeg_ends(tmp_path, listed, drawn):
    # Catches a traceback of the encoder for a strip that is longer than a JPEG can be.
    strip = replace(drawn(1)[0], id="strip", image=np.zeros((9, 80_000, 3), np.uint8), boxes=None, mask=None)
    dataset = prepare(listed([*drawn(20), strip]), tmp_path / "x", name="x", store="encoded", side=8)
    assert Image.open(every(dataset)["strip"].image).size == (80_000, 9)
    assert v2.functional.pil_to_tensor(Image.open(every(dataset)["s001"].image)).shape == (3, 8, 11)
