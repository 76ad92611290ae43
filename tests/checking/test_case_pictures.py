"""Pictures as people have them, by the command that they type: which are read, which are named, where each goes."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from helpers.cases import case
from PIL import Image

from frostline.checking.prepare import prepare_from_config
from frostline.checking.white import White
from frostline.cli import main
from frostline.config import compose
from frostline.parsing.files import passed_over, picture_files
from frostline.pictures.reading import PICTURE_SUFFIXES, displayed_size, open_picture, plain_picture, read_rgb
from frostline.sources.folder import Folder


@pytest.fixture
def doctor(tmp_path, capsys):
    """`frostline doctor` on a case: its exit status, what it found, and all that it printed."""

    def run(name, *overrides, layout="folder", under="."):
        root = made(name, tmp_path) / under
        report = tmp_path / "report.json"
        status = main(["doctor", f"dataset={layout}", f"dataset.root={root}", *overrides, "--json", str(report)])
        said = capsys.readouterr()
        return status, json.loads(report.read_text()), said.out + said.err

    return run


def made(name, tmp_path):
    folder = tmp_path / "in" / name
    return folder if folder.exists() else case(name, folder.parent)


def kinds(found):
    return dict(Counter(finding["kind"] for finding in found["findings"]))


def test_forty_classes_of_two(doctor):
    status, found, _ = doctor("many2")
    assert status == 0 and found["scenes"] == 80 and set(kinds(found)) == {"class_absent"}


def test_broken_training_pictures_are_named_and_not_the_split(doctor):
    status, found, _ = doctor("yolo_broken", layout="yolo")
    assert status == 1 and kinds(found)["picture_unreadable"] == 16 and kinds(found)["split_empty"] == 1
    assert [f["file"] for f in found["findings"] if f["kind"] == "split_empty"] == ["split train"]


def test_every_format_that_pillow_reads(doctor):
    status, found, _ = doctor("formats")
    assert (status, found["scenes"], found["findings"]) == (0, 72, [])


def test_what_cannot_be_read_is_counted(folders):
    """Catches a folder of photographs that nobody misses; what is hidden, and texts, nobody does."""
    for name in ("a.cr3", "b.cr3", "c.zip", "notes.txt", "._d.zip", "Thumbs.db"):
        (folders / "a" / name).write_bytes(b"1")
    source = Folder(folders)
    assert len(list(source.scenes())) == 20
    assert source.notes == ["3 files are passed over: 2 .cr3, 1 .zip"]
    Image.new("RGB", (8, 8)).save(folders / "loose.png")
    list(source.scenes())
    assert source.notes[1:] == [
        f"1 pictures lie in no class's folder and are passed over: {folders / 'loose.png'} first"
    ]
    if ".heic" not in PICTURE_SUFFIXES:
        assert passed_over([folders / "a.HEIC"]).endswith("1 .heic (pillow-heif reads .heic: pip install pillow-heif)")


def test_photographs_of_phones_are_read_with_the_plug_in(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(tmp_path / "a.heic")
    assert np.abs(np.asarray(read_rgb(tmp_path / "a.heic"), int) - (200, 30, 30)).max() < 8
    assert displayed_size(tmp_path / "a.heic") == (64, 48) and ".heic" in PICTURE_SUFFIXES


def stored(name, tmp_path, *overrides, split="train"):
    config = compose(["dataset=folder", f"dataset.root={made(name, tmp_path)}", *overrides])["dataset"]
    dataset = prepare_from_config(config, tmp_path / "out")
    return dataset, [read_rgb(scene.image) for scene in dataset.scenes(split)]


def test_twelve_bits_of_sixteen_are_stored_over_the_whole_range(tmp_path):
    dataset, pictures = stored("deep12", tmp_path)
    assert dataset.info["white"] == 4095
    assert max(np.asarray(picture).max() for picture in pictures) == 255
    file = tmp_path / "in/deep12/box/00.png"
    first, (shown, odd) = np.asarray(Image.open(file)), plain_picture(open_picture(file.read_bytes()), lambda: 4095)
    assert np.abs(np.asarray(shown)[..., 0] - first / 4095 * 255).max() <= 0.5
    assert odd == [("picture_16_bit", "has 16 bits per channel, whose white is 4095")]


def test_colours_of_twelve_bits_keep_their_range_and_one_white_is_for_all(tmp_path):
    deep = np.arange(12 * 16 * 3, dtype=np.uint16).reshape(12, 16, 3) * 7  # up to 4025
    cv2.imwrite(str(tmp_path / "colour.png"), deep[..., ::-1])
    cv2.imwrite(str(tmp_path / "dark.png"), deep[..., 0] // 9)
    assert White(root=str(tmp_path))() == 4095
    shown = np.asarray(read_rgb(tmp_path / "colour.png", white=4095))
    assert np.abs(shown - deep / 4095 * 255).max() <= 0.5
    assert np.asarray(read_rgb(tmp_path / "dark.png", white=4095)).max() == round(deep[..., 0].max() // 9 / 4095 * 255)
    assert (np.asarray(read_rgb(tmp_path / "colour.png")) == deep >> 8).all()  # as PIL cuts it
    assert White(4000, str(tmp_path))() == 4000 and White()() == 65535


def test_the_limit_of_pixels_can_be_raised(doctor, tmp_path):
    status, found, said = doctor("huge")
    assert (status, kinds(found)) == (1, {"picture_huge": 1}) and "dataset.max_pixels, which can be raised" in str(
        found
    )
    status, found, _ = doctor("huge", "dataset.max_pixels=200000000")
    assert (status, found["findings"], found["scenes"]) == (0, [], 17)


def test_what_is_left_aside_of_a_file_is_told(doctor, tmp_path):
    status, found, _ = doctor("rgbx")
    assert (status, kinds(found)) == (0, {"picture_bands": 16})
    assert found["findings"][0]["what"] == "has 4 bands, of which the first 3 are taken"
    status, found, _ = doctor("pages")
    assert (status, kinds(found)) == (0, {"picture_pages": 16})
    assert {picture.size for picture in stored("pages", tmp_path)[1]} == {(192, 144)}
    assert displayed_size(tmp_path / "in/pages/box/00.tif") == (192, 144)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    odd = [plain_picture(open_picture((tmp_path / name).read_bytes()))[1] for name in ("moving.gif", "still.gif")]
    assert odd == [[("picture_pages", "is an animation, of which the first frame is taken")], []]


def test_annotated_otherwise_is_as_it_was(doctor):
    status, found, _ = doctor("conflict")
    assert (status, kinds(found)) == (0, {"label_conflict": 2})


@pytest.mark.parametrize(
    ("name", "under", "scenes", "classes"),
    [
        ("trains", ".", 24, ("freight_train", "passenger_train")),
        ("trains2", ".", 32, ("freight_train", "passenger_train")),
        ("link_pics", "pictures", 16, None),
        ("link_part", "pictures", 32, None),
    ],
)
def test_folders_are_what_they_are_called_and_links_are_followed(tmp_path, name, under, scenes, classes):
    source = Folder(case(name, tmp_path) / under)
    found = list(source.scenes())
    assert len(found) == scenes and {scene.split for scene in found} == {None}
    assert len(source.classes.labels) == 2 and classes in (None, source.classes.labels)


def test_a_loop_of_links_ends_and_a_folder_is_read_where_it_lies(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "deep" / "1.png")
    for link, target in (("b/loop", "b"), ("a", "b"), ("b/self", "b/self"), ("gone", "nowhere")):
        (tmp_path / link).symlink_to(tmp_path / target)
    (tmp_path / "2.png").symlink_to(tmp_path / "b" / "deep" / "1.png")
    assert picture_files(tmp_path) == [tmp_path / "2.png", tmp_path / "b" / "deep" / "1.png"]
