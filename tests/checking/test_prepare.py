import importlib
import inspect
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from frostline.checking.prepare import prepare, prepare_from_config
from frostline.checking.scene import check
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.scenes.dataset import Dataset
from frostline.scenes.faults import KINDS, Fault, policies
from frostline.scenes.scene import SPLITS, VOID, Classes, Scene
from frostline.scenes.splits import Split
from frostline.sources.configured import configured
from frostline.sources.folder import Folder
from frostline.sources.grouped import Grouped


def every(dataset):
    return {scene.id: scene for split in SPLITS for scene in dataset.scenes(split)}


def gradient(width=40, height=30):
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 0 * x], -1).astype(np.uint8)


def test_what_goes_in_comes_out(tmp_path, listed, drawn):
    scenes = drawn(20)
    scenes[3] = Scene("s003", scenes[3].image, None, None, None, None)
    scenes[4] = Scene("s004", scenes[4].image, 0, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None)
    dataset = prepare(listed(scenes), tmp_path / "out", name="drawn")
    found = every(dataset)
    assert sorted(found) == [scene.id for scene in scenes]
    for scene in scenes:
        back = found[scene.id]
        assert (np.asarray(Image.open(back.image)) == scene.image).all()
        assert back.label == scene.label and back.size == (32, 24)
        for kind in ("boxes", "box_labels"):
            was, now = getattr(scene, kind), getattr(back, kind)
            assert (was is None) == (now is None)
            assert was is None or np.array_equal(was, now)
        assert (scene.mask is None) == (back.mask is None)
        assert scene.mask is None or (np.asarray(Image.open(back.mask)) == scene.mask).all()
    assert dataset.classes == Classes(("a", "b"), ("x", "y"), ("back", "front"))
    assert found["s003"].boxes is None and len(found["s004"].boxes) == 0


def test_coco_files_say_what_coco_means(tmp_path, listed, drawn):
    prepare(listed(drawn(20)), tmp_path / "out", name="drawn")
    coco = json.loads((tmp_path / "out" / "val.json").read_text())
    scene = {scene.id: scene for scene in drawn(20)}[coco["images"][0]["scene"]]
    annotation = next(found for found in coco["annotations"] if found["image_id"] == coco["images"][0]["id"])
    x0, y0, x1, y1 = scene.boxes[0].tolist()
    assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0] and annotation["area"] == 120
    assert annotation["iscrowd"] == 0
    assert {found["id"]: found["name"] for found in coco["categories"]}[annotation["category_id"]] == "xy"[scene.label]
    assert coco["images"][0]["width"] == 32 and coco["images"][0]["height"] == 24


def test_dataset_json_has_the_hash_of_every_file(tmp_path, listed, drawn):
    dataset = prepare(listed(drawn(20)), tmp_path / "out", name="drawn")
    files = {path.relative_to(dataset.path).as_posix() for path in dataset.path.rglob("*") if path.is_file()}
    assert files == {*dict(dataset.files()), "dataset.json"}
    for file, digest in dataset.files():
        assert sha256((dataset.path / file).read_bytes()).hexdigest() == digest
    assert str(tmp_path) not in (dataset.path / "dataset.json").read_text()


def test_data_hash_depends_on_content_alone(tmp_path, folders):
    first = prepare(Folder(folders), tmp_path / "one", name="one", workers=1)
    shutil.copytree(folders, tmp_path / "elsewhere")
    moved = prepare(Folder(tmp_path / "elsewhere"), tmp_path / "two", name="two", workers=3)
    assert first.data_hash == moved.data_hash
    other_seed = prepare(Folder(folders), tmp_path / "three", name="one", split={"seed": 1})
    assert first.data_hash != other_seed.data_hash
    pixels = np.asarray(Image.open(folders / "a" / "0.png")).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(folders / "a" / "0.png")
    assert prepare(Folder(folders), tmp_path / "four", name="one").data_hash != first.data_hash


def test_an_existing_dataset_is_reused_until_contents_or_settings_change(tmp_path, folders):
    def made():
        prepare(Folder(folders), tmp_path / "out", name="x", split={"seed": seed})
        return (tmp_path / "out" / "dataset.json").stat().st_ino

    seed = 0
    first = made()
    assert made() == first
    seed = 1
    second = made()
    assert second != first
    (folders / "a" / "0.png").unlink()
    assert made() != second
    assert len(every(Dataset.open(tmp_path / "out"))) == 19
    path = folders / "a" / "2.bmp"
    Image.open(folders / "a" / "2.png").save(path)
    third, status = made(), path.stat()
    assert made() == third
    path.write_bytes(path.read_bytes()[:-9] + b"something")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size  # nor is it older or younger
    changed = made()
    assert changed != third
    shutil.copy(folders / "b" / "1.png", folders / "b" / "new.png")
    assert made() != changed
    hidden = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("."))
    assert hidden == [".out.lock", ".out.made-of"]


def test_the_order_in_which_a_source_tells_its_scenes_does_not_matter(tmp_path, listed, drawn):
    scenes = drawn(20)
    first = prepare(listed(scenes), tmp_path / "out", name="x")
    made = (first.path / "dataset.json").stat().st_ino
    again = prepare(listed(scenes[::-1]), tmp_path / "out", name="x")
    assert (again.path / "dataset.json").stat().st_ino == made  # opened as it was
    anew = prepare(listed(scenes[::-1]), tmp_path / "anew", name="x")
    assert anew.data_hash == first.data_hash


def test_a_change_of_our_code_makes_it_anew_and_leaves_equal_files(tmp_path, listed, drawn, monkeypatch):
    # Catches training cells that DVC takes for stale, as dataset.json tells which code made it.
    first = prepare(listed(drawn(20)), tmp_path / "out", name="x")
    made, content = (first.path / "dataset.json").stat().st_ino, (first.path / "dataset.json").read_bytes()
    monkeypatch.setattr("frostline.checking.prepare.code_hash", lambda *parts: "changed")
    again = prepare(listed(drawn(20)), tmp_path / "out", name="x")
    assert (again.path / "dataset.json").stat().st_ino != made
    assert (again.path / "dataset.json").read_bytes() == content


def test_what_remembers_nothing_is_always_made_anew(tmp_path, listed, drawn):
    # Catches a study's dataset that was made by other code, and a note that DVC would hash with it.
    source = listed(drawn(20))
    source.fingerprint = "drawn 1"
    prepare(source, tmp_path / "out", name="x")
    source.found = drawn(21)
    dataset = prepare(source, tmp_path / "out", name="x", remember=False)
    assert len(every(dataset)) == 21 and not (tmp_path / ".out.made-of").exists()
    source.found = drawn(22)
    assert len(every(prepare(source, tmp_path / "out", name="x"))) == 22  # nothing tells what it was made of


def test_a_source_that_knows_its_fingerprint_is_not_read_again(tmp_path, listed, drawn):
    source = listed(drawn(20))
    source.fingerprint = "drawn 1"
    first = prepare(source, tmp_path / "out", name="drawn")
    source.found = []
    assert prepare(source, tmp_path / "out", name="drawn").data_hash == first.data_hash
    source.fingerprint = "drawn 2"
    with pytest.raises(FrostlineError, match="no scenes"):
        prepare(source, tmp_path / "out", name="drawn")
    assert Dataset.open(tmp_path / "out").data_hash == first.data_hash


def test_what_is_no_dataset_is_never_replaced(tmp_path, folders):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FrostlineError, match="no prepared dataset"):
        prepare(Folder(folders), tmp_path / "out", name="x")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_plain_jpeg_is_copied_byte_for_byte_whatever_its_suffix(tmp_path, folders):
    Image.fromarray(gradient()).save(folders / "a" / "photo.png", "JPEG")
    Image.fromarray(gradient(20)).convert("L").save(folders / "a" / "grey.JPEG", "JPEG")
    found = every(prepare(Folder(folders), tmp_path / "out", name="x"))
    assert found["a-photo"].image.name == "a-photo.jpg"
    assert found["a-photo"].image.read_bytes() == (folders / "a" / "photo.png").read_bytes()
    assert found["a-grey"].image.read_bytes() == (folders / "a" / "grey.JPEG").read_bytes()


def rgba(path):
    pixels = np.dstack([gradient(), np.full((30, 40), 255, np.uint8)])
    pixels[:, 20:, 3] = 0
    Image.fromarray(pixels).save(path, "PNG")
    expected = gradient()
    expected[:, 20:] = 255
    return expected


def gif(path):
    Image.fromarray(np.repeat(gradient()[:, :, :1] // 64 * 64, 3, 2)).convert("P").save(path, "GIF")
    return np.asarray(Image.open(path).convert("RGB"))


def cmyk(path):
    Image.fromarray(gradient()).convert("CMYK").save(path, "JPEG", quality=100)
    return gradient()


def deep(path):
    Image.fromarray(gradient()[:, :, 0].astype(np.uint16) * 256 + 13).save(path, "PNG")
    return np.repeat(gradient()[:, :, :1], 3, 2)


@pytest.mark.parametrize("write", [rgba, gif, cmyk, deep])
def test_other_pictures_become_plain_png(tmp_path, folders, write):
    expected = write(folders / "a" / "odd.jpg")
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    scene = every(dataset)["a-odd"]
    image = Image.open(scene.image)
    assert (scene.image.suffix, image.format, image.mode) == (".png", "PNG", "RGB")
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= (12 if write is cmyk else 0)
    assert {(fault["scene"], fault["done"]) for fault in dataset.info["faults"]} == {("a-odd", "mended")}
    kinds = {rgba: {"picture_alpha"}, gif: set(), cmyk: {"picture_cmyk"}, deep: {"picture_16_bit"}}[write]
    kinds |= set() if write is cmyk else {"picture_extension"}
    assert {fault["kind"] for fault in dataset.info["faults"]} == kinds


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_rotation_is_applied_and_boxes_stay_on_their_object(tmp_path, listed, drawn, orientation):
    displayed = np.zeros((48, 64, 3), np.uint8)
    displayed[8:16, 40:56] = 255
    stored = {
        2: np.fliplr(displayed),
        3: np.rot90(displayed, 2),
        4: np.flipud(displayed),
        5: displayed.transpose(1, 0, 2),
        6: np.rot90(displayed, 1),
        7: np.rot90(displayed, 2).transpose(1, 0, 2),
        8: np.rot90(displayed, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    box = np.array([[40, 8, 56, 16]], np.float32)
    turned = Scene("turned", tmp_path / "turned.jpg", 0, box, np.array([1]), (displayed[..., 0] > 0).astype(np.uint8))
    scene = every(prepare(listed([*drawn(20), turned]), tmp_path / "out", name="x"))["turned"]
    y, x = np.nonzero(np.asarray(Image.open(scene.image))[..., 0] > 128)
    assert scene.size == (64, 48)
    assert scene.boxes[0].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1] == [40, 8, 56, 16]
    assert not Image.open(scene.image).getexif()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_the_picture_as_stored_are_turned_with_it(tmp_path, listed, drawn, orientation):
    """Whose size says so; PIL's own transposition tells where they belong."""
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[8:16, 40:56] = 255
    mask = (stored[..., 0] > 0).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    box = np.array([[40, 8, 56, 16]], np.float32)
    as_stored = Scene("stored", tmp_path / "turned.jpg", 0, box, np.array([1]), mask, size=(64, 48))
    carrier = Image.fromarray(mask)
    carrier.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(carrier))
    scene = every(prepare(listed([*drawn(20), as_stored]), tmp_path / "out", name="x"))["stored"]
    y, x = np.nonzero(expected)
    assert scene.size == (48, 64) and np.array_equal(np.asarray(Image.open(scene.mask)), expected)
    assert scene.boxes[0].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1] != box[0].tolist()


def test_annotations_of_the_picture_as_displayed_stay(tmp_path, listed, drawn):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(64, 48)).save(tmp_path / "turned.jpg", exif=exif)
    box, labels = np.array([[5, 8, 30, 60]], np.float32), np.array([1])
    scenes = [Scene(f"t{n}", tmp_path / "turned.jpg", 0, box, labels, size=size) for n, size in enumerate([(48, 64)])]
    found = every(prepare(listed([*drawn(20), *scenes]), tmp_path / "out", name="x"))
    assert found["t0"].boxes.tolist() == box.tolist()


def test_sixteen_bits_a_channel_and_no_others(tmp_path, folders):
    header = struct.pack("<2sIHHI", b"BM", 14 + 40 + 12 + 40 * 30 * 2, 0, 0, 14 + 40 + 12)
    header += struct.pack("<IiiHHIIiiII", 40, 40, 30, 1, 16, 3, 0, 0, 0, 0, 0) + struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    (folders / "a" / "small.bmp").write_bytes(header + np.random.default_rng(0).bytes(40 * 30 * 2))
    deep = Image.fromarray(gradient()[:, :, 0].astype(np.uint16) * 256 + 13)
    deep.save(folders / "a" / "deep.png", transparency=13)
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    assert {(fault["scene"], fault["kind"]) for fault in dataset.info["faults"]} == {("a-deep", "picture_16_bit")}
    found = every(dataset)
    assert np.array_equal(np.asarray(Image.open(found["a-deep"].image))[..., 0], gradient()[..., 0])
    assert np.array_equal(
        np.asarray(Image.open(found["a-small"].image)), np.asarray(Image.open(folders / "a" / "small.bmp"))
    )


def text(folder, scene):
    (folder / "bad.jpg").write_text("not a picture")
    return {"image": folder / "bad.jpg"}, "bad.jpg is no picture"


def truncated(folder, scene):
    Image.fromarray(gradient(200, 200)).save(folder / "bad.jpg", quality=95)
    (folder / "bad.jpg").write_bytes((folder / "bad.jpg").read_bytes()[:-800])
    return {"image": folder / "bad.jpg"}, "bad.jpg cannot be decoded"


def empty_file(folder, scene):
    (folder / "bad.jpg").touch()
    return {"image": folder / "bad.jpg"}, "bad.jpg is no picture"


def pipe(folder, scene):
    os.mkfifo(folder / "bad.jpg")
    return {"image": folder / "bad.jpg"}, "bad.jpg cannot be read (no regular file)"


def too_long(folder, scene):
    return {"image": folder / f"{'long' * 100}.jpg"}, "cannot be read (File name too long)"


def missing(folder, scene):
    return {"image": folder / "bad.jpg"}, "bad.jpg is not there"


def bomb(folder, scene):
    Image.new("RGB", (200, 200)).save(folder / "bad.png")
    return {"image": folder / "bad.png"}, "bad.png has 200 x 200 pixels, more than"


def float_picture(folder, scene):
    Image.fromarray(np.ones((24, 32), np.float32)).save(folder / "bad.tif")
    return {"image": folder / "bad.tif"}, "bad.tif has floating-point"


def box(*corners):
    def fault(folder, scene):
        return {"boxes": np.array([corners], np.float32), "box_labels": np.array([0])}, "has a box"

    return fault


def box_label(folder, scene):
    return {"box_labels": np.array([2])}, "box with the label 2, which is no class"


def boxes_without_labels(folder, scene):
    return {"box_labels": None}, "has 1 boxes, 0 labels of boxes"


def label(folder, scene):
    return {"label": 2}, "label 2, which is no class"


def mask_size(folder, scene):
    return {"mask": np.zeros((32, 24), np.uint8)}, "mask of 24 x 32 pixels on a picture displayed with 32 x 24"


def mask_value(folder, scene):
    Image.fromarray(np.full((24, 32), 2, np.uint8)).save(folder / "mask.png")
    return {"mask": folder / "mask.png"}, "mask.png is a mask with the value 2"


def mask_text(folder, scene):
    (folder / "mask.png").write_text("not a mask")
    return {"mask": folder / "mask.png"}, "mask.png cannot be read as a mask (is no picture)"


def mask_colours(folder, scene):
    Image.new("RGB", (32, 24), "red").save(folder / "mask.png")
    return {"mask": folder / "mask.png"}, "mask.png has colours where a mask has numbers"


def told_by_the_source(folder, scene):
    return {"faults": (Fault("annotation_unreadable", "boxes.xml", "is broken", 3),)}, "boxes.xml:3 is broken"


@pytest.mark.parametrize(
    "fault",
    [text, truncated, empty_file, pipe, too_long, missing, bomb, float_picture, label, box_label, boxes_without_labels]
    + [box(5, 5, 5, 9), box(9, 5, 5, 9), box(0, 0, 34, 9), box(-2, 0, 9, 9), box(0, 0, np.nan, 9), box(32, 1, 33, 5)]
    + [mask_size, mask_value, mask_text, mask_colours, told_by_the_source],
)
def test_a_fault_is_refused_by_name_or_skipped_and_counted(tmp_path, listed, drawn, fault):
    scenes = drawn(20)
    change, told = fault(tmp_path, scenes[7])
    scenes[7] = Scene(**{**vars(scenes[7]), **change})
    options = {"name": "drawn", "max_pixels": 200 * 200 - 1} if fault is bomb else {"name": "drawn"}
    with pytest.raises(FrostlineError, match=r"1 fault\(s\) in 20 scene.*dataset\.on_fault=skip") as error:
        prepare(listed(scenes), tmp_path / "out", **options)
    assert told in str(error.value) and "\n" not in str(error.value)
    kind = re.findall(r"dataset\.faults\.(\w+)=skip", str(error.value))[0]
    assert (f"dataset.faults.{kind}=fix" in str(error.value)) == bool(KINDS[kind].fixable)  # nobody can mend all
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.partial").exists()
    dataset = prepare(listed(scenes), tmp_path / "out", on_fault="skip", **options)
    assert "s007" not in every(dataset) and len(every(dataset)) == 19
    assert dataset.info["found"] == {"scenes": 20, "kept": 19, "left out": 1, "gone": {"faulty": 1}}
    assert [fault["scene"] for fault in dataset.info["faults"]] == ["s007"]
    assert not list(dataset.path.rglob("s007*"))


def test_many_faults_are_one_short_sentence(tmp_path, folders):
    for number in range(9):
        (folders / "a" / f"bad{number}.jpg").write_text("no")
    with pytest.raises(
        FrostlineError, match=r"9 fault\(s\) in 29 scene\(s\), in .*bad0.*bad1.*bad2.*and 6 more"
    ) as error:
        prepare(Folder(folders), tmp_path / "out", name="x")
    assert "bad3" not in str(error.value)
    assert f", in {folders / 'a'}: bad0.jpg is" in str(error.value) and str(error.value).count(str(folders)) == 1
    (folders / "b" / "bad.jpg").write_text("no")
    for number in range(1, 9):
        (folders / "a" / f"bad{number}.jpg").unlink()
    with pytest.raises(FrostlineError, match=f", in {folders}: a/bad0.jpg .*; b/bad.jpg "):
        prepare(Folder(folders), tmp_path / "out", name="x")


def test_boxes_that_need_no_mending_are_taken_as_they_are_and_no_others(monkeypatch):
    """Looked at together, they give what each by itself does."""
    from frostline.checking import boxes

    rng = np.random.default_rng(0)
    scene = Scene("a", Path("a.png"), boxes=None)
    together = boxes._nothing_to_mend
    taken = 0
    for _ in range(400):
        corners = rng.integers(0, 5, (rng.integers(0, 3), 4)).astype(np.float32)
        corners[:, 2:] += rng.integers(0, 3, 2)
        corners[rng.random(corners.shape) < 0.02] = rng.choice([np.nan, np.inf, -0.0, -1, 6.5])
        both = []
        for look in (together, lambda *_: False):
            monkeypatch.setattr(boxes, "_nothing_to_mend", look)
            labels, faults = (corners[:, 0] == 4).astype(np.int64), []
            one = replace(scene, boxes=corners, box_labels=labels)
            both.append((repr(boxes.mended_boxes(one, ("x",), (6, 6), None, faults)), list(map(str, faults))))
        assert both[0] == both[1]
        taken += together(corners, labels, [0] * len(corners), 1, (6, 6))
    assert 40 < taken < 360


def test_a_box_up_to_a_pixel_outside_is_clipped(tmp_path, listed, drawn):
    scenes = drawn(20)
    scenes[7] = Scene(**{**vars(scenes[7]), "boxes": np.array([[-1, 3, 32.5, 24]], np.float32)})
    dataset = prepare(listed(scenes), tmp_path / "out", name="drawn")
    assert every(dataset)["s007"].boxes.tolist() == [[0, 3, 32, 24]]
    assert not dataset.info["faults"]  # rounding, no fault


def test_mask_values_are_mapped_and_void_stays(tmp_path, listed, drawn):
    scenes = drawn(20)
    raw = np.full((24, 32), 2, np.uint8)
    raw[0], raw[1] = 1, VOID
    palette = Image.fromarray(raw, "L").convert("P")
    palette.putdata(raw.flatten().tolist())
    palette.save(tmp_path / "mask.png")
    changed = {"mask": tmp_path / "mask.png", "mask_map": {1: 0, 2: 1}}
    scenes[7] = Scene(**{**vars(scenes[7]), **changed})
    mask = Image.open(every(prepare(listed(scenes), tmp_path / "out", name="drawn"))["s007"].mask)
    assert mask.mode == "L"
    assert np.asarray(mask)[:3, 0].tolist() == [0, VOID, 1]


def test_identical_pictures_are_kept_once_or_not_at_all(tmp_path, folders):
    shutil.copy(folders / "a" / "2.png", folders / "a" / "22.png")
    Image.open(folders / "a" / "4.png").save(folders / "a" / "44.png", compress_level=0)
    shutil.copy(folders / "a" / "6.png", folders / "b" / "66.png")
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    ids = set(every(dataset))
    assert {"a-2", "a-4"} <= ids and not {"a-22", "a-44", "a-6", "b-66"} & ids
    assert {path.stem for path in (dataset.path / "images").iterdir()} == ids
    gone = {"as copies that disagree": 2, "as copies": 2}
    assert dataset.info["found"] == {"scenes": 23, "kept": 19, "mended": 2, "left out": 2, "gone": gone}
    assert {fault["scene"]: (fault["kind"], fault["what"]) for fault in dataset.info["faults"]} == {
        "a-22": ("duplicate", "is identical to a-2"),
        "a-44": ("duplicate", "is identical to a-4"),
        "a-6": ("label_conflict", "is identical to b-66, which is annotated otherwise"),
        "b-66": ("label_conflict", "is identical to a-6, which is annotated otherwise"),
    }


def test_identical_pictures_of_which_only_one_is_annotated_agree(tmp_path, listed, drawn):
    scenes = drawn(20)
    scenes += [Scene("bare", scenes[3].image), Scene("other", scenes[4].image), Scene("third", scenes[4].image, 1)]
    dataset = prepare(listed(scenes), tmp_path / "out", name="x")
    told = {fault["scene"]: fault["what"] for fault in dataset.info["faults"]}
    assert told.pop("s003") == "is identical to bare" and {*told} == {"s004", "other", "third"}
    assert told["s004"] == "is identical to third, which is annotated otherwise"
    assert told["third"] == "is identical to s004, which is annotated otherwise"


def test_only_direct_likeness_across_given_splits_counts(tmp_path, listed, drawn):
    """Of frames that turn into each other, those that a held-out one shows nearly are left out of train, no others."""
    frames = [Image.fromarray(noise_at(n)) for n in range(12)]
    scenes = [
        Scene(f"f{n:02}", np.asarray(frame), n % 2, split="test" if n < 3 else "train")
        for n, frame in enumerate(frames)
    ]
    scenes += [
        Scene(f"v{n}", np.asarray(Image.fromarray(noise_at(900 + 90 * n))), n % 2, split="val") for n in range(2)
    ]
    dataset = prepare(listed(scenes), tmp_path / "out", name="x", split={"given": True})
    across = {f["scene"]: f["what"] for f in dataset.info["faults"] if f["kind"] == "duplicate_across_splits"}
    assert across and set(across) < {f"f{n:02}" for n in range(3, 10)} and "f03" in across
    assert across["f03"].endswith("in test") and "f11" in every(dataset)
    assert "f09" not in {fault["scene"] for fault in dataset.info["faults"]}  # what it is like is left out
    together = every(prepare(listed([*scenes, *drawn(20)]), tmp_path / "two", name="x"))
    assert len({together[f"f{n:02}"].split for n in range(12)}) == 1  # a chain stays in one split


def noise_at(shift):
    """A stretch of one long smooth picture."""
    cells = np.random.default_rng(5).integers(0, 256, (12, 100, 3), np.uint8)
    image = Image.fromarray(cells).resize((1600, 192), Image.Resampling.BICUBIC)
    return np.asarray(image.transform((192, 192), Image.Transform.AFFINE, (1, 0, shift, 0, 1, 0)))


def test_a_killed_prepare_goes_on(tmp_path, listed, drawn, monkeypatch):
    class Killed(listed):
        def scenes(self):
            yield from self.found[:30]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Killed(drawn(40)), tmp_path / "out", name="x")
    journal = tmp_path / ".out.partial" / "journal.jsonl"
    noted = {json.loads(line)["id"] for line in journal.read_text().splitlines()[1:]}
    assert {"s003", "s005"} < noted and len(noted) > 8 and not (tmp_path / "out").exists()
    checked = []
    monkeypatch.setattr(
        "frostline.checking.work.check", lambda scene, *rest: checked.append(scene.id) or check(scene, *rest)
    )
    with journal.open("a") as file:
        file.write('{"id": "half a li')
    scenes = drawn(40)
    scenes[3] = Scene(**{**vars(scenes[3]), "label": 0})  # changed since
    (tmp_path / ".out.partial" / "images" / "s005.png").unlink()
    dataset = prepare(listed(scenes), tmp_path / "out", name="x")
    assert sorted(checked) == sorted({scene.id for scene in scenes} - noted | {"s003", "s005"})
    assert dataset.data_hash == prepare(listed(scenes), tmp_path / "fresh", name="x").data_hash
    assert not journal.parent.exists() and not (dataset.path / "journal.jsonl").exists()
    with pytest.raises(KeyboardInterrupt):
        prepare(Killed(drawn(40)), tmp_path / "again", name="x")
    checked.clear()
    prepare(listed(drawn(40)), tmp_path / "again", name="x", max_pixels=10_000)  # checked otherwise: from the start
    assert len(checked) == 40


def test_many_scenes_are_checked_by_processes_that_give_the_same_files(tmp_path, listed, drawn, monkeypatch):
    """And go on where it was killed, and tell the same faults."""
    scenes = [*drawn(40), Scene("gone", tmp_path / "gone.jpg"), Scene("odd", drawn(1)[0].image, 7)]
    threads = prepare(listed(scenes), tmp_path / "threads", name="x", on_fault="skip", workers=2)
    monkeypatch.setattr("frostline.checking.work.check", None)  # only here: the processes have their own
    monkeypatch.setattr("frostline.checking.work.FEW", 0)
    monkeypatch.setattr("frostline.checking.work.MOST", 2)

    class Killed(listed):
        def scenes(self):
            yield from self.found[:30]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Killed(scenes), tmp_path / "processes", name="x", on_fault="skip", workers=2)
    partial = tmp_path / ".processes.partial"
    noted = [json.loads(line)["picture"] for line in (partial / "journal.jsonl").read_text().splitlines()[1:]]
    kept = {name: (partial / name).stat().st_mtime_ns for name in noted}
    processes = prepare(listed(scenes), tmp_path / "processes", name="x", on_fault="skip", workers=2)
    assert {name: (processes.path / name).stat().st_mtime_ns for name in kept} == kept and len(kept) == 16
    assert dict(processes.files()) == dict(threads.files()) and len(dict(threads.files())) == 80 + 5
    info = [(each.path / "dataset.json").read_bytes() for each in (threads, processes)]
    assert info[0] == info[1]


def test_a_process_killed_at_any_time_leaves_what_can_go_on(tmp_path, folders):
    code = (
        "import sys, time\n"
        "from frostline.sources.folder import Folder\n"
        "from frostline.checking.prepare import prepare\n"
        "class Slow(Folder):\n"
        "    def scenes(self):\n"
        "        for scene in super().scenes():\n"
        "            time.sleep(0.1)\n"
        "            yield scene\n"
        "prepare(Slow(sys.argv[1]), sys.argv[2], name='x')\n"
    )
    for after in (2, 8, 13):
        process = subprocess.Popen([sys.executable, "-c", code, str(folders), str(tmp_path / "out")])
        images = tmp_path / ".out.partial" / "images"
        while process.poll() is None and len(list(images.glob("*"))) < after:
            time.sleep(0.01)
        assert process.poll() is None, "it was through before it was killed"
        process.kill()
        process.wait()
        assert not (tmp_path / "out").exists()
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    assert dataset.data_hash == prepare(Folder(folders), tmp_path / "fresh", name="x").data_hash
    for file, digest in dataset.files():
        assert sha256((dataset.path / file).read_bytes()).hexdigest() == digest


def test_groups_stay_together(tmp_path, listed, drawn):
    scenes = [Scene(**{**vars(scene), "id": f"{'abcdefghij'[n // 6]}_{n}"}) for n, scene in enumerate(drawn(60))]
    split = {"train": 0.5, "val": 0.25, "test": 0.25}

    def drives(source):
        found = every(prepare(source, tmp_path / "out", name="x", split=split))
        return [{scene.split for scene in found.values() if scene.id[0] == drive} for drive in "abcdefghij"]

    assert any(len(splits) > 1 for splits in drives(listed(scenes)))
    together = drives(Grouped(listed(scenes), r"^(\w)_"))
    assert all(len(splits) == 1 for splits in together) and len(set.union(*together)) == 3
    assert [scene.group for scene in Grouped(listed(scenes), "[bc]_").scenes()][:13] == [None] * 6 + ["b_"] * 6 + ["c_"]
    with pytest.raises(FrostlineError, match=r"finds 'patient' in the name of no scene, such as 'j_59'"):
        prepare(Grouped(listed(scenes), "patient"), tmp_path / "out", name="x")
    with pytest.raises(FrostlineError, match="no regular expression"):
        Grouped(listed(scenes), "(")
    known = listed(scenes)
    known.fingerprint = "drawn 1"
    assert Grouped(known, "a").fingerprint != Grouped(known, "b").fingerprint != known.fingerprint


def test_a_group_is_a_line_of_the_configuration(tmp_path, folders):
    config = compose(["dataset=folder", f"dataset.root={folders}", r'dataset.group="-(1)\w$"'])["dataset"]
    source, _ = configured(config)
    assert {scene.id: scene.group for scene in source.scenes()}["b-13"] == "1"
    assert [scene.group for scene in source.scenes()].count("1") == 10


def test_nothing_to_prepare_is_told(tmp_path, listed, folders, capsys):
    with pytest.raises(FrostlineError, match="no scenes"):
        prepare(listed([]), tmp_path / "out", name="x")
    (folders / "c").mkdir()
    with pytest.raises(FrostlineError, match=r"split train has no example of 'c' \(labels\)"):
        prepare(Folder(folders), tmp_path / "out", name="x")
    shutil.copy(folders / "a" / "0.png", folders / "c")
    (folders / "a" / "0.png").unlink()
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    assert "split val has no example of 'c' (labels)" in capsys.readouterr().err
    assert [(fault["kind"], fault["done"]) for fault in dataset.info["faults"]] == [("class_absent", "let be")] * 2


def test_ids_must_differ_even_where_case_does_not_count(tmp_path, listed, drawn):
    scenes = drawn(20)
    scenes[1] = Scene("S000", scenes[1].image, 1)
    with pytest.raises(FrostlineError, match="twice"):
        prepare(listed(scenes), tmp_path / "out", name="x")


def test_opening_what_is_not_there_or_not_whole(tmp_path, folders):
    with pytest.raises(FrostlineError, match="no prepared dataset"):
        Dataset.open(tmp_path)
    dataset = prepare(Folder(folders), tmp_path / "out", name="x")
    next((dataset.path / "images").iterdir()).unlink()  # told where it is read, as to look for all takes long
    assert len([scene for scene in every(Dataset.open(dataset.path)).values() if scene.image.is_file()]) == 19
    assert all(scene.image.is_file() for scene in every(prepare(Folder(folders), tmp_path / "out", name="x")).values())
    for file, change, told in (
        ("faults.jsonl", None, "lacks its file faults.jsonl"),
        ("scenes.bin", lambda content: content[:-1], "scenes.bin is not as it was written"),
        ("dataset.json", lambda content: content.replace(b'"format": 4', b'"format": 2'), "format 2 and .* anew"),
        ("dataset.json", lambda content: content.replace(b'"rows": 20', b'"rows": 21'), "counts 20 scenes, and has 21"),
        ("dataset.json", lambda content: content.replace(b'"label": [', b'"lable": ['), "no column 'label'"),
    ):
        copy = Path(shutil.copytree(dataset.path, tmp_path / "copy"))
        if change is None:
            (copy / file).unlink()
        else:
            (copy / file).write_bytes(change((copy / file).read_bytes()))
        with pytest.raises(FrostlineError, match=told):
            Dataset.open(copy)
        shutil.rmtree(copy)


CONF = Path(__file__).parents[2] / "conf"


def test_the_configuration_builds_and_its_mistakes_are_told(tmp_path, folders):
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF / "dataset" / "folder.yaml")}).dataset
    with pytest.raises(FrostlineError, match=r"dataset\.root=PATH"):
        prepare_from_config(config, tmp_path / "out")
    with pytest.raises(FrostlineError, match="nowhere is not there"):
        nowhere = compose(["dataset=folder", f"dataset.root={tmp_path}/nowhere"])["dataset"]
        prepare_from_config(nowhere, tmp_path / "out")
    whole = compose(["dataset=folder", f"dataset.root={folders}"])["dataset"]
    assert prepare_from_config(whole, tmp_path / "out").name == "folder"


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (CONF / "dataset").glob("*.yaml") if path.stem != "auto"),  # which becomes another one
    ids=lambda path: path.stem,
)
def test_each_dataset_names_every_setting_of_its_source(path):
    needed = [] if path.stem == "meadow" else ["dataset.root=somewhere"]
    needed += ["dataset.source.classes=[a,b]"] if path.stem == "masks" else []
    config = compose([f"dataset={path.stem}", *needed])["dataset"]
    module, _, name = config["source"].pop("_target_").rpartition(".")
    takes = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert set(config["source"]) <= set(takes) and config["name"] == path.stem
    if path.stem != "camvid":  # of the same source as masks, with one layout
        assert set(config["source"]) == set(takes)
    policies(config["on_fault"], config["faults"])
    assert config["on_fault"] == "fail" and Split(**config["split"])


def test_every_kind_of_fault_can_be_overridden_in_conf():
    assert set(compose(["dataset=folder", "dataset.root=x"])["dataset"]["faults"]) == set(KINDS) - {"split_empty"}
    usual = policies("skip", compose(["dataset=folder", "dataset.root=x"])["dataset"]["faults"])
    assert usual == policies("skip", {}) and usual["picture_alpha"] == "fix" and usual["box_empty"] == "skip"
    assert policies("fail", {"picture_alpha": "fail"})["picture_alpha"] == "fail"


def test_policies_that_make_no_sense_are_told():
    for faults, words in (
        ({"box_empti": "fix"}, "box_empti is no kind of fault"),
        ({"box_empty": "drop"}, "box_empty is 'drop': set it to fail, skip, fix"),
        ({"picture_huge": "fix"}, "picture_huge is fix, but that cannot be mended"),
    ):
        with pytest.raises(FrostlineError, match=words):
            policies("fail", faults)
    with pytest.raises(FrostlineError, match="on_fault is 'refuse'"):
        policies("refuse", {})


@pytest.mark.parametrize("override", ["dataset.source.train=abc", "dataset.split.given=perhaps"])
def test_values_that_make_no_sense_are_told_in_one_sentence(tmp_path, override):
    with pytest.raises(FrostlineError) as error:
        prepare_from_config(compose([override])["dataset"], tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("fields", [{"train": "abc"}, {"val": None}, {"train": -1.0}, {"test": True}, {"seed": 0.5}])
def test_shares_that_are_no_numbers_are_told(fields):
    with pytest.raises(FrostlineError, match=next(iter(fields))):
        Split(**fields)


@pytest.mark.parametrize(("column", "value"), [("box_labels", 2), ("box_labels", -1), ("label", 2), ("label", -2)])
def test_a_class_number_that_is_none_is_refused(dataset, tmp_path, column, value):
    # Catches a loss that indexes beyond its classes, in the middle of a training.
    copy = Dataset.open(shutil.copytree(dataset.path, tmp_path / "copy"))
    with (copy.path / "scenes.bin").open("r+b") as file:
        file.seek(copy.columns.table.places[column][0])
        file.write(np.array([value], "<i4").tobytes())
    with pytest.raises(FrostlineError, match=f"gives the scene s.* the class number {value}, and there are 2"):
        list(copy.scenes("train"))


def test_a_dataset_that_is_read_is_not_replaced(tmp_path, listed, drawn):
    # Catches a run that trains on one state of the pictures and is evaluated on another.
    dataset = prepare(listed(drawn(20)), tmp_path / "out", name="x")
    with dataset.held(), dataset.held():
        assert prepare(listed(drawn(20)), tmp_path / "out", name="x").data_hash == dataset.data_hash  # nothing to do
        with pytest.raises(FrostlineError, match="out is to be replaced.*a run is reading it: wait"):
            prepare(listed(drawn(21)), tmp_path / "out", name="x")
        assert Dataset.open(tmp_path / "out").data_hash == dataset.data_hash
    new = prepare(listed(drawn(21)), tmp_path / "out", name="x")
    assert new.data_hash != dataset.data_hash
    with pytest.raises(FrostlineError, match="out has been prepared anew meanwhile: start again"), dataset.held():
        pass
