import json
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import loadmat, savemat

from frostline.errors import FrostlineError
from frostline.sources.flowers102 import COUNT, Flowers102
from frostline.sources.mat import read_arrays

BLUE = (0, 0, 254)


def segmented(*rectangles, colour=(200, 40, 90)):
    """A picture of 120 x 80, blue but for noisy rectangles."""
    picture = np.full((80, 120, 3), BLUE, np.uint8)
    rng = np.random.default_rng(0)
    for x0, y0, x1, y1 in rectangles:
        picture[y0:y1, x0:x1] = np.clip(np.array(colour) + rng.integers(-30, 30, (y1 - y0, x1 - x0, 3)), 0, 255)
    return picture


@pytest.fixture(params=[".", "flowers-102"])
def root(tmp_path, request):
    base = tmp_path / "root" / request.param
    (base / "jpg").mkdir(parents=True)
    for number in range(1, 7):
        Image.fromarray(segmented((0, 0, 120, 80))).save(base / "jpg" / f"image_{number:05}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 5, 5, 9]], np.uint8)})
    splits = {"trnid": [[6, 1]], "valid": [[2]], "tstid": [[3, 4]]}
    savemat(base / "setid.mat", {key: np.array(value, np.uint16) for key, value in splits.items()})
    return base


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_are_those_that_scipy_reads(packed):
    rng = np.random.default_rng(0)
    kinds = ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8")
    said = {f"of_{kind}": rng.integers(1, 100, (1, 7)).astype(kind) for kind in kinds}
    said |= {"x": np.array([[3]]), "empty": np.zeros((1, 0)), "column": rng.integers(0, 9, (5, 1))}
    file = BytesIO()
    savemat(file, said | {"text": "rose", "cell": np.array(["a", 2], object)}, do_compression=packed)
    found = read_arrays(file.getvalue())
    file.seek(0)
    theirs = loadmat(file)
    assert set(said) <= set(found) and "cell" not in found
    assert all(found[name].tolist() == theirs[name].ravel().tolist() for name in said)


def test_a_packed_array_does_not_grow_without_end():
    bomb = zlib.compress(bytes(1 << 25))
    header = b"x" * 124 + b"\0\x01IM"
    with pytest.raises(ValueError, match="more than"):
        read_arrays(header + struct.pack("<2I", 15, len(bomb)) + bomb)


def add_segmentations(root, **pictures):
    (root / "segmim").mkdir(exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(root / "segmim" / f"segm{name}.jpg", quality=75)


def scenes_of(root):
    source = Flowers102(root)
    return source, {scene.id: scene for scene in source.scenes()}


def faults(scene):
    return [(fault.kind, fault.file.name) for fault in scene.faults]


def test_layout_is_read(root):
    source, scenes = scenes_of(root)
    assert len(source.classes.labels) == COUNT and source.classes.labels[::101] == ("flower 1", "flower 102")
    assert source.classes.boxes is None and source.classes.masks is None and source.derived == {}
    assert list(scenes) == [f"image_{number:05}" for number in range(1, 7)]
    assert [scene.label for scene in scenes.values()] == [76, 0, 101, 4, 4, 8]
    assert [scene.split for scene in scenes.values()] == ["train", "val", "test", "test", None, "train"]
    assert scenes["image_00003"].image == root / "jpg" / "image_00003.jpg"
    assert not any(scene.faults or scene.mask is not None for scene in scenes.values())
    assert {scene.id for scene in Flowers102(root.parent if root.name == "flowers-102" else root).scenes()} == {*scenes}


@pytest.mark.parametrize("root", ["flowers-102"], indirect=True)
def test_torchvision_reads_the_same(root, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda self: True)
    scenes = {scene.image: scene for scene in Flowers102(root.parent).scenes()}
    for split in ("train", "test"):
        theirs = torchvision.datasets.Flowers102(root.parent, split=split)
        said = dict(zip(theirs._image_files, theirs._labels, strict=True))
        assert said == {path: scene.label for path, scene in scenes.items() if scene.split == split} and said


def test_what_is_not_blue_is_flower(root):
    add_segmentations(root, im_00002=segmented((30, 10, 90, 50), (100, 60, 112, 74)), im_00003=segmented())
    source, scenes = scenes_of(root)
    scene = scenes["image_00002"]
    truth = np.zeros((80, 120), np.uint8)
    truth[10:50, 30:90] = truth[60:74, 100:112] = 1
    assert scene.mask.dtype == np.uint8 and scene.mask.shape == truth.shape
    overlap = (scene.mask & truth).sum() / (scene.mask | truth).sum()
    assert overlap > 0.9 and {*np.unique(scene.mask)} == {0, 1}
    assert np.abs(scene.boxes - [[30, 10, 90, 50]]).max() <= 2 and scene.box_labels.tolist() == [0]
    assert source.classes.masks == ("background", "flower") and source.classes.boxes == source.classes.labels
    assert {*source.derived} == {"masks", "boxes"}
    assert scenes["image_00003"].mask is None and scenes["image_00003"].boxes is None  # nothing but blue
    assert scenes["image_00001"].mask is None and not any(scene.faults for scene in scenes.values())


@pytest.mark.parametrize("colour", [(60, 60, 190), (90, 20, 200), (40, 40, 90), (250, 250, 250), (35, 35, 35)])
def test_blue_dark_and_white_flowers_are_flowers(root, colour):
    add_segmentations(root, im_00002=segmented((30, 10, 90, 50), colour=colour))
    assert scenes_of(root)[1]["image_00002"].mask[15:45, 35:85].mean() > 0.9


def test_specks_of_jpeg_are_no_flower(root):
    picture = segmented((30, 10, 90, 50))
    picture[70, 10:110:9] = (120, 90, 150)
    add_segmentations(root, im_00002=picture)
    assert not scenes_of(root)[1]["image_00002"].mask[60:].any()


def test_names_come_from_either_file(root):
    names = [f"kind {number}" for number in range(COUNT)]
    (root / "cat_to_name.json").write_text(json.dumps({str(at): name for at, name in enumerate(names, start=1)}))
    assert scenes_of(root)[0].classes.labels == tuple(names)
    (root / "class_names.txt").write_text("\n".join(names[::-1]))
    assert scenes_of(root)[0].classes.labels == tuple(names[::-1])
    (root / "class_names.txt").write_text("rose\nrose")
    with pytest.raises(FrostlineError, match="class_names.txt has 1 different names"):
        Flowers102(root)
    (root / "class_names.txt").unlink()
    (root / "cat_to_name.json").write_text("{}")
    with pytest.raises(FrostlineError, match="cat_to_name.json is no JSON of"):
        Flowers102(root)


def test_faults_are_told(root):
    savemat(root / "imagelabels.mat", {"labels": np.array([[0, 103, 1, 1, 1, 1, 1]], np.uint8)})
    add_segmentations(root, im_00002=segmented((30, 10, 90, 50)))
    buffer = BytesIO()
    Image.fromarray(segmented((30, 10, 90, 50))).save(buffer, "JPEG")
    (root / "segmim" / "segmim_00003.jpg").write_bytes(buffer.getvalue()[:-200])
    _, scenes = scenes_of(root)
    told = [faults(scene) for scene in scenes.values()]
    unknown, missing = ("label_unknown", "imagelabels.mat"), ("picture_missing", "imagelabels.mat")
    assert told == [[unknown], [unknown], [("annotation_unreadable", "segmim_00003.jpg")], [], [], [], [missing]]
    assert scenes["image_00002"].label is None and scenes["image_00002"].boxes is None


def test_other_layouts_are_told(root, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, what in (("empty", "has no folder 'jpg'"), ("nowhere", "is not there")):
        with pytest.raises(FrostlineError, match=f"{what}.*torchvision.datasets.Flowers102.*download=True"):
            Flowers102(tmp_path / name)
    savemat(root / "setid.mat", {"trnid": [1]})
    with pytest.raises(FrostlineError, match="setid.mat cannot be read as the flowers' trnid and valid and tstid"):
        Flowers102(root)
    (root / "imagelabels.mat").write_bytes(b"no matrix" * 30)
    with pytest.raises(FrostlineError, match="imagelabels.mat cannot be read"):
        Flowers102(root)
