from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.sources.csv_manifest import CsvManifest

HEADER = "path,label,x0,y0,x1,y1,box_label,mask,split,group\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "root" / name)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "root" / "a_mask.png")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "secret.png")
    return tmp_path / "root"


def read(root: Path, rows: str, header: str = HEADER, **settings):
    (root / "manifest.csv").write_text(header + rows, encoding="utf-8")
    source = CsvManifest(root, **settings)
    return source, {scene.id: scene for scene in source.scenes()}


def faults(scene):
    return [(fault.kind, fault.line) for fault in scene.faults]


def test_rows_of_one_path_are_one_picture(root):
    rows = (
        "a.png,rose,1,2,3,4.5,stem,a_mask.png,train,drive 1\n"
        "deep/c.png,aster,,,,,,,validation,\n"
        "./a.png,,5,6,7,8,leaf,,,\n"
        "b.png,,,,,,,,,\n"
    )
    source, scenes = read(root, rows, masks=["background", "flower"])
    assert source.classes.labels == ("aster", "rose") and source.classes.boxes == ("leaf", "stem")
    assert source.classes.masks == ("background", "flower")
    assert list(scenes) == ["a", "deep-c", "b"]
    a, b, c = scenes["a"], scenes["b"], scenes["deep-c"]
    assert a.boxes.tolist() == [[1, 2, 3, 4.5], [5, 6, 7, 8]] and a.boxes.dtype == np.float32
    assert a.box_labels.tolist() == [1, 0] and list(a.box_lines) == [2, 4]
    assert a.boxes_file == root / "manifest.csv"
    assert (a.label, a.split, a.group, a.mask) == (1, "train", "drive 1", root / "a_mask.png")
    assert (c.label, c.split, c.boxes, c.image) == (0, "val", None, root / "deep" / "c.png")
    assert (b.label, b.split, b.boxes, b.mask, b.group) == (None, None, None, None, None)
    assert not any(scene.faults for scene in scenes.values())


def test_columns_can_have_other_names(root):
    _, scenes = read(root, "rose;b.png\n", "kind;file\n", columns={"path": "file", "label": "kind"}, delimiter=";")
    assert scenes["b"].label == 0
    with pytest.raises(FrostlineError, match="no column 'nome'"):
        CsvManifest(root, columns={"path": "nome"}, delimiter=";")
    with pytest.raises(FrostlineError, match="key 'colour', which is none of path"):
        CsvManifest(root, columns={"colour": "kind"}, delimiter=";")


def test_boxes_without_a_column_of_labels_are_objects(root):
    source, scenes = read(root, "a.png,1,2,3,4\n", "path,x0,y0,x1,y1\n")
    assert source.classes.boxes == ("object",) and scenes["a"].box_labels.tolist() == [0]


@pytest.mark.parametrize("name", ["../secret.png", "{top}/secret.png", "deep/../../secret.png"])
def test_a_path_that_leaves_the_root_is_a_fault_and_never_opened(root, name):
    name = name.format(top=root.parent)
    rows = f"{name},rose,,,,,,,,\na.png,rose,,,,,,{name},,\n"
    _, scenes = read(root, rows, masks=["back"])
    outside, a = scenes.values()
    assert faults(outside) == [("path_outside", 2)] and faults(a) == [("path_outside", 3)]
    assert outside.image is None and a.mask is None
    assert outside.label == 0


def test_contradictions_are_told_with_their_line(root):
    rows = "a.png,rose,,,,,,,train,x\nb.png,aster,,,,,,,test,\na.png,aster,,,,,,a_mask.png,val,y\n"
    rows += "a.png,rose,,,,,,b.png,,\n"
    _, scenes = read(root, rows, masks=["back"])
    assert faults(scenes["a"]) == [("annotation_unreadable", line) for line in (4, 4, 4, 5)]
    assert str(scenes["a"].faults[0]).endswith("csv:4 gives a.png the label 'aster' where line 2 gives 'rose'")
    assert not scenes["b"].faults


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.png,,1,2,,4,leaf,,,", "annotation_unreadable"),
        ("a.png,,1,2,three,4,leaf,,,", "annotation_unreadable"),
        ("a.png,,1,2,3,4,,,,", "label_unknown"),
        ("gone.png,rose,,,,,,,,", "picture_missing"),
        (f"{'long' * 200}.png,rose,,,,,,,,", "picture_missing"),
        (",rose,,,,,,,,", "annotation_unreadable"),
        ("a.png,,,,,,,gone.png,,", "annotation_missing"),
        ("a.png,,,,,,,,someday,", "annotation_unreadable"),
        ("a.png,,,,,,,,,,,surplus", "annotation_unreadable"),
    ],
)
def test_a_faulty_row_is_a_fault_with_its_line(root, row, kind):
    # The quoted cell takes two lines of the file, so that rows and lines do not count alike.
    _, scenes = read(root, f'b.png,rose,1,2,3,4,leaf,,,"one\ntwo"\n\n{row}\n', masks=["back"])
    assert not scenes["b"].faults
    (other,) = [scene for name, scene in scenes.items() if name != "b"]
    assert faults(other) == [(kind, 5)]


def test_faulty_boxes_pass_through(root):
    _, scenes = read(root, "a.png,,9,9,2,2,leaf,,,\na.png,,4,4,4,9,leaf,,,\na.png,,-5,0,99,9,leaf,,,\n")
    assert scenes["a"].boxes.tolist() == [[9, 9, 2, 2], [4, 4, 4, 9], [-5, 0, 99, 9]] and not scenes["a"].faults


def test_numbers_beyond_all_bounds_are_infinite_and_told_by_the_check(root):
    _, scenes = read(root, f"a.png,,1,2,1e300,{'9' * 400},leaf,,,\n")
    assert scenes["a"].boxes.tolist() == [[1, 2, np.inf, np.inf]] and not scenes["a"].faults


def test_what_is_no_manifest_is_told(root, tmp_path):
    with pytest.raises(FrostlineError, match="nowhere is not there"):
        CsvManifest(tmp_path / "nowhere")
    with pytest.raises(FrostlineError, match="holds no file of a manifest in CSV"):
        CsvManifest(root)
    for text, what in (
        ("", "no column 'path'"),
        ("path,x0,y0\na.png,1,2\n", "only some of the columns"),
        ("path,box_label\na.png,leaf\n", "labels of boxes but no columns"),
        ('path,label\na.png,"rose\n', r"manifest\.csv:2 is no CSV"),
        ("path,mask\na.png,a_mask.png\n", "list the names of their classes in dataset.source.masks"),
    ):
        with pytest.raises(FrostlineError, match=what):
            read(root, "", text)
    (root / "manifest.csv").write_bytes(b"path\n\xff\xfe.png\n")
    with pytest.raises(FrostlineError, match="no CSV in UTF-8"):
        CsvManifest(root)


def test_excel_writes_a_mark_in_front(root):
    _, scenes = read(root, "a.png,rose\n", "\ufeffpath,label\n")
    assert scenes["a"].label == 0
