import gzip
import shutil
import struct

import numpy as np
import pytest
import torchvision

from frostline.errors import FrostlineError
from frostline.sources.fashion_mnist import NAMES, FashionMnist

COUNTS = {"train": 5, "t10k": 3}
PIXELS = {name: np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8) for name, n in COUNTS.items()}


def images(name, count=None):
    pixels = PIXELS[name]
    return struct.pack(">4I", 2051, len(pixels) if count is None else count, 28, 28) + pixels.tobytes()


def labels(values):
    return struct.pack(">2I", 2049, len(values)) + bytes(values)


@pytest.fixture(params=["plain", "gz"])
def root(tmp_path, request):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    files = {f"{name}-images-idx3-ubyte": images(name) for name in COUNTS}
    files |= {"train-labels-idx1-ubyte": labels([9, 0, 2, 2, 1]), "t10k-labels-idx1-ubyte": labels([4, 5, 6])}
    for name, content in files.items():
        if request.param == "gz":
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return tmp_path


def replace(root, name, content):
    folder = root / "FashionMNIST" / "raw"
    if (folder / name).exists():
        (folder / name).write_bytes(content)
    else:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def test_files_are_read(root):
    source = FashionMnist(root)
    scenes = list(source.scenes())
    assert source.classes.labels == NAMES and NAMES[9] == "Ankle boot" and len(NAMES) == 10
    assert [scene.id for scene in scenes] == [*(f"train-{n:05}" for n in range(5)), *(f"test-{n:05}" for n in range(3))]
    assert [scene.label for scene in scenes] == [9, 0, 2, 2, 1, 4, 5, 6]
    assert [scene.split for scene in scenes] == ["train"] * 5 + ["test"] * 3
    assert scenes[6].image.shape == (28, 28, 3) and scenes[6].image.dtype == np.uint8
    assert all(np.array_equal(scenes[6].image[..., channel], PIXELS["t10k"][1]) for channel in range(3))


@pytest.mark.parametrize("root", ["plain"], indirect=True)
def test_torchvision_reads_the_same(root):
    scenes = list(FashionMnist(root).scenes())
    for split, train in (("train", True), ("test", False)):
        theirs = list(torchvision.datasets.FashionMNIST(root, train=train))
        ours = [scene for scene in scenes if scene.split == split]
        assert [label for _, label in theirs] == [scene.label for scene in ours]
        assert all(np.array_equal(np.asarray(a), b.image[..., 0]) for (a, _), b in zip(theirs, ours, strict=True))


def test_of_several_datasets_with_such_files_fashion_is_the_one(root):
    shutil.copytree(root / "FashionMNIST", root / "AMNIST")
    assert len(list(FashionMnist(root).scenes())) == 8
    shutil.copytree(root / "FashionMNIST", root / "fashion-mnist")
    with pytest.raises(FrostlineError, match="FashionMNIST/raw and .*fashion-mnist/raw both hold such files"):
        FashionMnist(root)


def test_only_the_first(root):
    assert [scene.label for scene in FashionMnist(root, first=2).scenes()] == [9, 0, 4, 5]
    for first in (0, -1, True, "3", 1.5):
        with pytest.raises(FrostlineError, match="first is"):
            FashionMnist(root, first=first)


def test_an_unknown_label_is_a_fault(root):
    replace(root, "t10k-labels-idx1-ubyte", labels([4, 10, 6]))
    scenes = list(FashionMnist(root).scenes())
    assert [scene.label for scene in scenes[5:]] == [4, None, 6]
    (fault,) = [fault for scene in scenes for fault in scene.faults]
    assert fault.kind == "label_unknown" and fault.file.name.startswith("t10k-labels")
    assert "picture 1 the label 10" in fault.what


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (images("t10k")[:-1], "does not hold the 3 items"),
        (images("t10k") + b"x", "does not hold the 3 items"),
        (images("t10k", 2), "does not hold the 2 items"),
        (images("t10k", 2**32 - 1), "more than 100000"),
        (images("train"), "has 5 pictures and .* 3 labels"),
        (labels([1, 2, 3]), "by its header"),
        (b"\0\0", "by its header|cannot be read"),
        (struct.pack(">4I", 2051, 3, 28, 29) + b"x" * 3 * 28 * 29, "by its header"),
    ],
)
def test_what_is_not_as_its_header_says_is_told(root, content, what):
    replace(root, "t10k-images-idx3-ubyte", content)
    with pytest.raises(FrostlineError, match=what):
        FashionMnist(root)


def test_a_damaged_gz_is_told(root):
    (root / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").unlink(missing_ok=True)
    packed = root / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    whole = gzip.compress(images("t10k"))
    for content in (b"no gz", whole[:-100], whole[:50] + b"\xff" * 50 + whole[100:]):
        packed.write_bytes(content)
        with pytest.raises(FrostlineError, match="cannot be read"):
            FashionMnist(root)


def test_missing_files_are_told(root, tmp_path):
    next(root.rglob("t10k-labels*")).unlink()
    with pytest.raises(FrostlineError, match="t10k-labels-idx1-ubyte is not there, nor its .gz"):
        FashionMnist(root)
    shutil.rmtree(tmp_path / "FashionMNIST")
    with pytest.raises(FrostlineError, match="holds no train-images-idx3-ubyte.*datasets.FashionMNIST.*download"):
        FashionMnist(tmp_path)
