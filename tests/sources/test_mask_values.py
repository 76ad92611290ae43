"""Masks as tools write them: of any values, in any of their files, in colours that a file beside them names."""

import json
import random

import numpy as np
import pytest
from helpers.cases import case, export
from PIL import Image

from frostline.checking.scene import check
from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.scenes.scene import VOID
from frostline.sources.mask_values import voc_colour
from frostline.sources.masks import Masks

THREE = ["background", "disc", "box"]
BINARY = {0: "background", 255: "cell"}


def checked(source):
    return {scene.id: check(scene, source.classes) for scene in source.scenes()}


def faults(found):
    return [(fault.kind, fault.what) for each in found.values() for fault in each.record.faults]


@pytest.mark.parametrize("name", ["m_rgb", "m_16", "m_tiff", "cvat_masks"])
def test_numbers_in_any_form_are_the_same_classes(name, tmp_path):
    """Catches class numbers read from one channel of colours, cut by 8 bits, or a labelmap that nobody looks at."""
    root = case(name, tmp_path)
    given = None if name == "cvat_masks" else THREE
    for source in (Masks(root, given), Masks(root, THREE)):
        found = checked(source)
        assert source.classes.masks == tuple(THREE) and len(found) == 24 and not faults(found)
        classes = {number for each in found.values() for number in each.record.mask_classes}
        assert classes == {0, 1, 2}
    if name == "cvat_masks":
        assert source.notes == ["its masks are read by the colours of labelmap.txt: background, disc, box"]
        one = found["00"].mask
        colours = np.asarray(Image.open(root / "SegmentationClass" / "00.png").convert("RGB"))
        assert ((colours == (250, 50, 83)).all(-1) == (one == 1)).all()


def test_255_is_a_class_where_somebody_says_so(tmp_path, capsys):
    root = case("bin255", tmp_path)
    found = checked(Masks(root, values=BINARY))
    assert not faults(found) and {n for each in found.values() for n in each.record.mask_classes} == {0, 1}
    wanted = "dataset.source.values={0: background, 255: cell}"
    config = compose(["dataset=masks", f"dataset.root={root}", wanted])["dataset"]
    assert config["source"]["values"] == {"0": "background", "255": "cell"}
    assert main(["doctor", "dataset=masks", f"dataset.root={root}", wanted]) == 0
    report = tmp_path / "report.json"
    two = "dataset.source.classes=[background,cell]"
    assert main(["doctor", "dataset=masks", f"dataset.root={root}", two, "--json", str(report)]) == 1
    assert "255" in json.loads(report.read_text())["findings"][-1]["what"]
    assert Masks(root, ["background", "cell"]).notes == [
        "its masks hold the values 0 and 255, of which 255 says unknown: where that is 'cell', set "
        "'dataset.source.values={0: background, 255: cell}'"
    ]
    with pytest.raises(FrostlineError, match=r"the first hold 0, 255\): name them, as in 'dataset\.source\.values="):
        Masks(root)
    assert not Masks(case("seg_one", tmp_path), ["only"]).notes


@pytest.mark.parametrize("name", ["voc_segmentation", "camvid"])
def test_what_datumaro_writes_is_what_was_drawn(name):
    """Its colours are VOC's, and its files name none of them; pictures with nothing on them have no mask."""
    root = export(f"datumaro-masks/{name}")
    truth = np.load(root.parent / "truth.npz")
    source = Masks(root, unmasked="background")
    found = checked(source)
    assert source.classes.masks == ("background", "zebra", "ant") and len(found) == 16 and not faults(found)
    for key, each in found.items():
        assert (each.mask == truth[key[-3:]]).all(), key
    splits = [each.record.given for each in found.values()]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (10, 3, 3)
    missing = faults(checked(Masks(root)))
    assert [kind for kind, _ in missing] == ["annotation_missing"] * 3
    assert "set dataset.source.unmasked=background" in missing[0][1]


@pytest.fixture
def drawn(tmp_path):
    """Saves one picture with its mask, and gives the root."""

    def save(mask, suffix="png", **options):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), "white").save(tmp_path / "images" / "a.jpg")
        mask = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        mask.save(tmp_path / "masks" / f"a.{suffix}", **options)
        return tmp_path

    return save


def test_colours_are_named_in_every_way(drawn):
    colours = np.zeros((3, 4, 3), np.uint8)
    colours[0], colours[1, 0] = (128, 0, 0), (0, 128, 0)
    palette = Image.fromarray(colours).quantize(8)
    transparent = Image.fromarray(np.dstack([colours, np.full((3, 4), 255, np.uint8)]))
    ways = [
        {"0 0 0": "back", "128 0 0": "cell", "0,128,0": None},
        {"#000000": "back", "#800000": "cell", "#008000": None},
    ]
    for mask, suffix in ((colours, "png"), (palette, "png"), (transparent, "png"), (colours, "bmp"), (colours, "tif")):
        for values in ways:
            for old in (drawn(mask, suffix) / "masks").iterdir():
                old.unlink()
            found = checked(Masks(drawn(mask, suffix), values=values))["a"]
            assert found.mask.tolist() == [[1] * 4, [VOID, 0, 0, 0], [0] * 4] and not found.record.faults
    found = checked(Masks(drawn(colours), values={"0 0 0": "back"}))["a"]
    assert found.record.faults[0].what == (
        "is a mask with the colour (128 0 0) (4 px), (0 128 0) (1 px), which is no class"
    )
    found = checked(Masks(drawn(colours), ["back"]))["a"]
    assert "by dataset.source.values" in found.record.faults[0].what


def test_values_with_gaps_and_of_16_bits(drawn):
    deep = np.array([[0, 700, 700, 40_000]], np.uint16).repeat(3, 0)
    found = checked(Masks(drawn(deep), values={0: "back", 40_000: "cell"}))["a"]
    assert found.mask[0].tolist() == [0, VOID, VOID, 1]
    assert found.record.faults[0].what == "is a mask with the value 700 (6 px), which is no class"


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("label_colors.txt", "64 128 64\tAnimal\n128 0 0\tCar\n0 0 0\tVoid\n", ("Animal", "Car")),
        ("class_dict.csv", "name,r,g,b\nAnimal,64,128,64\nCar,128,0,0\nVoid,0,0,0\n", ("Animal", "Car")),
        ("labelmap.txt", "# label:color_rgb\nAnimal:64,128,64::\nCar:128,0,0::\nvoid:0,0,0::\n", ("Animal", "Car")),
        ("_classes.csv", "Pixel Value, Class\n0, back\n1, cell\n", ("back", "cell")),
    ],
)
def test_files_that_name_colours(drawn, name, text, classes):
    mask = np.zeros((3, 4, 3), np.uint8)
    mask[0] = 1 if name == "_classes.csv" else (128, 0, 0)
    root = drawn(mask)
    (root / name).write_text(text)
    source = Masks(root)
    assert source.classes.masks == classes
    assert checked(source)["a"].mask.tolist()[:2] == [[1] * 4, [0 if name == "_classes.csv" else VOID] * 4]


def test_numbers_beside_a_list_of_colours_are_its_positions(drawn):
    root = drawn(np.array([[0, 1, 2, 1]] * 3, np.uint8))
    (root / "labelmap.txt").write_text("background:0,0,0::\ndisc:250,50,83::\nbox:51,221,255::\n")
    assert checked(Masks(root))["a"].mask[0].tolist() == [0, 1, 2, 1]


def test_values_that_cannot_be_are_refused(drawn):
    root = drawn(np.zeros((3, 4), np.uint8))
    for values, said in (
        ({"x": "a"}, "neither a value nor a colour"),
        ({0: "a", "1 2 3": "b"}, "has numbers and colours"),
        ({0: None}, "names 0 classes"),
        ({70_000: "a"}, "neither a value"),
    ):
        with pytest.raises(FrostlineError, match=said):
            Masks(root, values=values)
    with pytest.raises(FrostlineError, match="names 'b', which dataset.source.classes does not"):
        Masks(root, ["a"], values={0: "a", 1: "b"})
    with pytest.raises(FrostlineError, match="unmasked is 'c': make it one of a"):
        Masks(root, ["a"], unmasked="c")
    (root / "labelmap.txt").write_text("a:1,2::\n")
    with pytest.raises(FrostlineError, match=r"labelmap\.txt gives 'a' no colour"):
        Masks(root)


def test_folders_of_each_split_and_names_that_end_alike(tmp_path):
    """Kaggle's CamVid: train/1.png with train_labels/1_L.png."""
    for split in ("train", "val", "test"):
        for folder, name in ((split, "1"), (f"{split}_labels", "1_L")):
            (tmp_path / folder).mkdir()
            Image.new("L", (4, 3)).save(tmp_path / folder / f"{name}.png")
    scenes = {scene.id: scene for scene in Masks(tmp_path, ["a"]).scenes()}
    assert {key: (scene.split, scene.mask.name) for key, scene in scenes.items()} == {
        f"{split}-1": (split, "1_L.png") for split in ("train", "val", "test")
    }
    assert not any(scene.faults for scene in scenes.values())


def test_the_palette_is_that_of_voc():
    assert [voc_colour(n) for n in (0, 1, 2, 15, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (224, 224, 192),
    ]  # fmt: skip


def test_a_mutilated_file_is_a_sentence(drawn):
    """Catches a traceback where a list of colours was cut, or is none."""
    rng = random.Random(0)
    mask = np.zeros((3, 4, 3), np.uint8)
    mask[0] = (250, 50, 83)
    root = drawn(mask)
    good = {
        "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndisc:250,50,83::\n",
        "label_colors.txt": "0 0 0\tback\n250 50 83 disc\n",
        "class_dict.csv": 'name,r,g,b\n"back",0,0,0\ndisc,250,50,83\n',
        "_classes.csv": "Pixel Value, Class\n0, back\n1, disc\n",
    }
    noise = [b"", b"9" * 5000, b"\0", b"\xff", b"\n", b'"', b",", b":", b"-1"]
    refused = 0
    for name, text in good.items():
        path = root / name
        for _ in range(100):
            data = bytearray(text.encode())
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(4)] = rng.choice(noise)
                data = data or bytearray(b"x")
            path.write_bytes(data)
            try:
                checked(Masks(root))
            except FrostlineError as error:
                refused += 1
                assert "\n" not in str(error)
        path.unlink()
    assert 50 < refused < 390
