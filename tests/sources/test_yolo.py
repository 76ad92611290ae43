import numpy as np
import pytest
import yaml
from PIL import Image

from frostline.errors import FrostlineError
from frostline.pictures.reading import displayed_size, read_rgb
from frostline.sources.yolo import Yolo

DATA = {"path": "/content/somewhere", "train": "images/train", "val": "images/val", "names": ["cat", "dog"]}


def picture(path, orientation=None):
    """40 wide and 20 high as it is stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image.save(path, exif=exif)


def write(root, data=DATA, **texts):
    """data.yaml, and the text file of each train picture."""
    (root / "data.yaml").write_text(yaml.safe_dump(data))
    for name, text in texts.items():
        (root / "labels" / "train" / f"{name}.txt").write_text(text)
    return root


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    for name in ("train/a.jpg", "train/b.jpg", "train/c.jpg", "val/d.jpg"):
        picture(root / "images" / name)
    (root / "labels" / "train").mkdir(parents=True)
    return write(root, a="0 0.5 0.5 1 1\n\n1 0.25 0.75 0.1 0.3\n", b="")


def scenes_of(root, **settings):
    source = Yolo(root, **settings)
    return source, {scene.id.removeprefix("images-"): scene for scene in source.scenes()}


def faults(scene):
    return [(fault.kind, fault.file.name, fault.line) for fault in scene.faults]


def test_layout_is_read(root):
    source, scenes = scenes_of(root)
    assert source.classes.boxes == ("cat", "dog") and source.classes.masks is None
    assert list(scenes) == ["train-a", "train-b", "train-c", "val-d"]
    a = scenes["train-a"]
    assert a.boxes.dtype == np.float32 and np.allclose(a.boxes, [[0, 0, 40, 20], [8, 12, 12, 18]])
    assert a.box_labels.tolist() == [0, 1] and list(a.box_lines) == [1, 3] and a.size == (40, 20)
    assert a.boxes_file == root / "labels" / "train" / "a.txt" and a.split == "train"
    assert scenes["train-b"].boxes.shape == scenes["train-c"].boxes.shape == (0, 4)
    assert scenes["val-d"].boxes is None and scenes["val-d"].split == "val"  # no folder labels/val: nobody looked
    assert faults(scenes["val-d"]) == [("annotation_missing", "d.jpg", None)]
    assert not any(scenes[f"train-{name}"].faults for name in "abc")
    assert not any(scene.mask is not None for scene in scenes.values())
    assert source.notes == ["1 picture(s) have no text file and are taken as looked at, without objects"]
    _, scenes = scenes_of(root, unannotated="empty")
    assert scenes["val-d"].boxes.shape == (0, 4) and not scenes["val-d"].faults


@pytest.mark.parametrize(
    ("orientation", "box"), [(1, [8, 12, 12, 18]), (3, [8, 12, 12, 18]), (6, [4, 24, 6, 36]), (8, [4, 24, 6, 36])]
)
def test_shares_are_of_the_picture_as_displayed(root, orientation, box):
    picture(root / "images" / "train" / "a.jpg", orientation)
    a = scenes_of(root)[1]["train-a"]
    assert np.allclose(a.boxes[1], box) and a.size == ((40, 20) if orientation < 5 else (20, 40))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_size_is_that_of_the_picture_as_displayed(tmp_path, suffix, orientation):
    picture(tmp_path / f"a.{suffix}", orientation)
    assert displayed_size(tmp_path / f"a.{suffix}") == read_rgb(tmp_path / f"a.{suffix}").size


def test_outlines_give_boxes_and_where_they_are_all_masks(root):
    outlines = "1 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8\n0 0 0 1 0 1 0.9 0 0.9\n"
    source, scenes = scenes_of(write(root, a=outlines), masks="outlines")
    a = scenes["train-a"]
    assert np.allclose(a.boxes, [[4, 4, 20, 16], [0, 0, 40, 18]]) and a.box_labels.tolist() == [1, 0]
    expected = np.zeros((20, 40), np.uint8)
    expected[:18] = 1
    expected[4:16, 4:20] = 2
    assert source.classes.masks == ("background", "cat", "dog") and np.array_equal(a.mask, expected)
    assert not scenes["train-c"].mask.any() and scenes["val-d"].mask is None
    source, scenes = scenes_of(write(root, c="0 0.5 0.5 1 1"))
    assert source.classes.masks is None and scenes["train-a"].mask is None and len(scenes["train-a"].boxes) == 2


def test_pixels_in_place_of_shares_are_told(root):
    a = scenes_of(write(root, a="0 0.5 0.5 0.5 1\n1 10 12 4 6\n0 20 10 40 20\n"))[1]["train-a"]
    assert faults(a) == [("box_units", "a.txt", 2)] and "12" in a.faults[0].what
    assert a.boxes.tolist()[1:] == [[8, 9, 12, 15], [0, 0, 40, 20]]


def test_a_little_over_the_edge_is_no_matter_of_units(root):
    a = scenes_of(write(root, a="0 1.2 0.5 0.4 1\n"))[1]["train-a"]
    assert not a.faults and np.allclose(a.boxes, [[40, 0, 56, 20]])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("2 0.5 0.5 1 1", "label_unknown"),
        ("-1 0.5 0.5 1 1", "label_unknown"),
        ("0.5 0.5 0.5 1 1", "label_unknown"),
        ("cat 0.5 0.5 1 1", "annotation_unreadable"),
        ("0 0.5 0.5 1", "annotation_unreadable"),
        ("0 0.5 0.5 1 1 0.9", "annotation_unreadable"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "annotation_unreadable"),
        ("0 0.5 0.5 nan 1", "annotation_unreadable"),
        ("0 0.5 0.5 inf 1", "annotation_unreadable"),
    ],
)
def test_a_faulty_line_is_a_fault(root, line, kind):
    a = scenes_of(write(root, a=f"1 0.5 0.5 1 1\n\n{line}\n"))[1]["train-a"]
    assert faults(a) == [(kind, "a.txt", 3)] and a.boxes.tolist() == [[0, 0, 40, 20]]


def test_files_that_cannot_be_read(root):
    (root / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe")
    (root / "images" / "train" / "b.jpg").write_bytes(b"no picture")
    _, scenes = scenes_of(root)
    assert faults(scenes["train-a"]) == [("annotation_unreadable", "a.txt", None)]
    assert scenes["train-b"].boxes is None and not scenes["train-b"].faults


def test_lists_and_lists_of_folders(root):
    picture(root.parent / "secret.jpg")
    (root / "some.txt").write_text(
        f"./images/train/a.jpg\n\n{root.absolute()}/images/val/d.jpg\nimages/train/z.jpg\n../secret.jpg\n"
        f"{root.parent.absolute()}/secret.jpg\n"
    )
    data = {"train": "some.txt", "test": ["images/val", "images/train"], "names": {1: "dog", 0: "cat"}}
    source = Yolo(write(root, data))
    scenes = list(source.scenes())
    assert source.classes.boxes == ("cat", "dog")
    assert [scene.split for scene in scenes] == ["train"] * 5 + ["test"] * 4
    assert [scene.image.name for scene in scenes[5:]] == ["d.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert [scene.image.name for scene in scenes[:2]] == ["a.jpg", "d.jpg"]
    assert len(scenes[0].boxes) == 2
    assert [faults(scene) for scene in scenes[2:5]] == [
        [("picture_missing", "some.txt", 4)], [("path_outside", "some.txt", 5)], [("path_outside", "some.txt", 6)]
    ]  # fmt: skip
    assert all(scene.image is None for scene in scenes[2:5])
    assert len({scene.id for scene in scenes}) == 9


def test_paths_of_the_exporters_machine(tmp_path):
    """Roboflow's: train/images and train/labels, named as if data.yaml lay one folder deeper."""
    picture(tmp_path / "train" / "images" / "a.jpg")
    picture(tmp_path / "set" / "images" / "images" / "b.jpg")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "set" / "images" / "labels").mkdir()
    (tmp_path / "set" / "images" / "labels" / "b.txt").write_text("1 0.5 0.5 0.5 1")
    _, scenes = scenes_of(_with(tmp_path, {"train": "../train/images", "valid": "set/images/images"}))
    assert scenes["train-images-a"].boxes.tolist() == [[0, 0, 40, 20]] and scenes["train-images-a"].split == "train"
    assert scenes["set-images-images-b"].boxes.tolist() == [[10, 0, 30, 20]]
    assert scenes["set-images-images-b"].split == "val"
    _, scenes = scenes_of(_with(tmp_path, {"path": "set", "train": "images/images"}))
    assert list(scenes) == ["set-images-images-b"]


def _with(root, data):
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["cat", "dog"]} | data))
    return root


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"train": "images/train"}, "no 'names'"),
        ({"train": "images/train", "names": {0: "cat", "two": "dog"}}, "no 'names'"),
        (["cat"], "no 'names'"),
        ({"names": ["cat"], "train": "labels"}, "leads to no pictures"),
        ({"names": [["cat"]], "train": "images/train"}, "no 'names'"),
        ({"names": ["cat"], "train": [3]}, "has no path where pictures are meant"),
        ({"names": ["cat"], "train": "images/gone"}, "'images/gone', which is not there"),
        ({"names": ["cat"], "train": "../outside"}, r"'\.\./outside', which is not there below"),
    ],
)
def test_other_layouts_are_told(root, data, what):
    picture(root.parent / "outside" / "a.jpg")
    with pytest.raises(FrostlineError, match=what):
        Yolo(write(root, data))


def test_a_text_without_a_picture_is_a_fault(root):
    for name in ("gone.txt", "classes.txt"):
        (root / "labels" / "train" / name).write_text("0 0.5 0.5 1 1")
    _, scenes = scenes_of(root)
    assert faults(scenes["labels-train-gone"]) == [("picture_missing", "gone.txt", None)] and len(scenes) == 5
    (root / "some.txt").write_text("images/train/a.jpg\n")
    listed = Yolo(write(root, {"train": "some.txt", "names": ["cat", "dog"]}))
    assert [scene.id for scene in listed.scenes()] == ["images-train-a", "labels-train-gone"]  # b has its picture


def test_masks_from_outlines_are_derived(root):
    source, _ = scenes_of(root)
    assert source.derived == {}
    source, _ = scenes_of(write(root, a="0 0.1 0.1 0.9 0.1 0.9 0.9\n"))
    assert set(source.derived) == {"masks", "boxes"}


def test_outlines_longer_than_the_picture_has_room_for_are_faults(root):
    zigzag = " ".join(f"{n % 2:d} {n % 3 / 2}" for n in range(4000))
    a = scenes_of(write(root, a=f"0 0.1 0.1 0.9 0.1 0.9 0.9\n1 {zigzag}\n"))[1]["train-a"]
    assert faults(a) == [("annotation_unreadable", "a.txt", 2)] and a.mask.max() == 1


def test_key_points_are_no_boxes(root):
    with pytest.raises(FrostlineError, match="describes key points"):
        Yolo(write(root, DATA | {"kpt_shape": [17, 3]}))


def test_what_is_no_yaml_is_told(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FrostlineError, match="nothing that names the classes"):
        Yolo(tmp_path / "empty")
    with pytest.raises(FrostlineError, match="gone.yaml cannot be read"):
        Yolo(tmp_path / "empty", data="gone.yaml")
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    texts = ("names: [cat", "names: !!python/object/apply:os.getcwd []", "a: 2020-13-45", "[" * 10_000)
    for text in (*texts, bomb + "names: *j\ntrain: images/train\n"):
        (root / "data.yaml").write_text(text)
        with pytest.raises(FrostlineError, match="is no YAML"):
            Yolo(root)
