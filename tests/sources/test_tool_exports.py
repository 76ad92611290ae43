"""What real annotation tools export, against what was drawn, and the same knowledge on small files of our own."""

import json
import re

import numpy as np
import pytest
from helpers.cases import CASES, case, export
from PIL import Image

from frostline.errors import FrostlineError
from frostline.scenes.scene import COUNTED, CROWD
from frostline.sources import createml, csv_manifest, cvat, label_studio, labelme, open_images
from frostline.sources.createml import CreateMl
from frostline.sources.csv_manifest import CsvManifest
from frostline.sources.cvat import Cvat
from frostline.sources.label_studio import LabelStudio
from frostline.sources.labelme import Labelme
from frostline.sources.open_images import OpenImages

EMPTY = {"p02", "p07", "p12"}
ROUNDED = 0.0051  # what a tool's two decimals leave
LS = {"images": "voc/images"}
MODULES = (cvat, label_studio, labelme, createml, open_images, csv_manifest)


def truth():
    return json.loads((CASES / "exports" / "truth.json").read_text())["images"]


def stem(path):
    """p00 of abcd1234-p00.jpg and of p00_jpg.rf.0123abcd.jpg."""
    return re.search(r"p\d\d", path.name)[0]


def boxes_by_picture(source):
    names = source.classes.boxes
    found = {}
    for scene in source.scenes():
        assert not scene.faults, scene.faults[0]
        pairs = zip(scene.box_labels.tolist(), scene.boxes.tolist(), strict=True)
        found[stem(scene.image)] = sorted((names[number], *box) for number, box in pairs)
    return found


@pytest.mark.parametrize(
    ("name", "make", "settings", "module", "within"),
    [
        ("datumaro/cvat", Cvat, {}, cvat, ROUNDED),
        ("globox/cvat", Cvat, {}, cvat, 0),
        ("globox/cvat/annotations.xml", Cvat, {}, cvat, 0),
        ("label-studio/in.json", LabelStudio, LS, label_studio, 1e-5),
        ("label-studio/json_min/result.json", LabelStudio, {"images": None}, label_studio, 1e-5),
        ("supervision/labelme", Labelme, {}, labelme, 0),
        ("globox/labelme", Labelme, {}, labelme, 0),
        ("datumaro/label_me", Labelme, {}, labelme, ROUNDED),
        ("supervision/createml", CreateMl, {}, createml, 0),
        ("globox/openimage", OpenImages, {"absent": "empty"}, open_images, 1e-5),
        ("datumaro/open_images", OpenImages, {"absent": "empty"}, open_images, ROUNDED),
        (
            "datumaro/open_images/annotations/default-annotations-bbox.csv",
            OpenImages,
            {"absent": "empty"},
            open_images,
            ROUNDED,
        ),
        ("roboflow/csv", CsvManifest, {"absent": "empty"}, csv_manifest, 0.5),
    ],
)
def test_an_export_is_read_as_it_was_drawn(name, make, settings, module, within, tmp_path):
    root = export(name)
    assert [other for other in MODULES if other.fits(root)] == [module]
    if name.startswith("label-studio/json_min"):  # its pictures lie elsewhere
        (tmp_path / "result.json").write_bytes(root.read_bytes())
        (tmp_path / "images").symlink_to(export("label-studio/voc/images"))
        root, settings = tmp_path / "result.json", {"images": "images"}
    found, drawn = boxes_by_picture(make(root, **settings)), truth()
    assert {name for name, boxes in found.items() if not boxes} == EMPTY
    for picture, boxes in drawn.items():
        got, boxes = found[picture.removesuffix(".jpg")], sorted(boxes)
        assert [label for label, *_ in got] == [label for label, *_ in boxes]
        assert np.allclose([box[1:] for box in got], [box[1:] for box in boxes], rtol=0, atol=max(within, 1e-5))


@pytest.mark.parametrize("name", ["globox/openimage", "datumaro/open_images", "roboflow/csv"])
def test_pictures_that_a_file_does_not_name_are_left_out_and_told(name):
    source = (CsvManifest if name == "roboflow/csv" else OpenImages)(export(name))
    assert {stem(scene.image) for scene in source.scenes()} & EMPTY == set()
    assert any(note.startswith("3 of 16 pictures are named nowhere") for note in source.notes)


def test_roboflow_splits_by_folders():
    splits = [scene.split for scene in CsvManifest(export("roboflow/csv"), absent="empty").scenes()]
    assert {name: splits.count(name) for name in splits} == {"train": 10, "val": 3, "test": 3}


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("csv_semicolon", "", ["cells are separated by ';'", "decimal commas"]),
        ("csv_columns", "", ["filename as path", "xmin as x0", "class as box_label"]),
        ("csv_file", "", []),
        ("csv_file", "labels.csv", []),
    ],
)
def test_csv_as_people_have_it(name, file, said, tmp_path):
    root = case(name, tmp_path) / file
    source = CsvManifest(root)
    assert csv_manifest.fits(root) is not None
    scenes = list(source.scenes())
    assert [len(scene.boxes) for scene in scenes] == [2] * 20 and not any(scene.faults for scene in scenes)
    assert source.classes.boxes == ("box", "disc")
    assert all(any(part in note for note in source.notes) for part in said) and bool(said) == bool(source.notes)
    with pytest.raises(FrostlineError, match="has no column 'photo'"):
        CsvManifest(root, columns={"path": "photo"})


@pytest.mark.parametrize(
    ("header", "row", "label", "box"),
    [
        ("Image,Label,XMin,YMin,XMax,YMax", "a.png,leaf,1,2,3,4", None, "leaf"),
        ("file|category|left|top|right|bottom", "a.png|leaf|1|2|3|4", None, "leaf"),
        ("filename\tclass", "a.png\tleaf", "leaf", None),
        ("path,label,x0,y0,x1,y1", "a.png,leaf,1,2,3,4", "leaf", "object"),
        ("sep=;\nimg;x1;y1;x2;y2", "a.png;1,0;2;3;4", None, "object"),
        ("path,label,class,xmin,ymin,xmax,ymax", "a.png,bush,leaf,1,2,3,4", "bush", "leaf"),
    ],
)
def test_usual_names_of_columns(root, header, row, label, box):
    (root / "x.csv").write_text(f"{header}\n{row}\n")
    source = CsvManifest(root)
    (scene,) = source.scenes()
    assert source.classes.labels == (label and (label,)) and source.classes.boxes == (box and (box,))
    assert scene.boxes is None or scene.boxes.tolist() == [[1, 2, 3, 4]]
    assert scene.image == root / "images" / "a.png"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image,filename,label", "may mean 'image' and 'filename'.*columns.path=image"),
        ("photo;label", "there are: photo, label"),
        ("path,x0,xmax", "only some of the columns"),
        ("path,xmin,ymin,xmax", None),
    ],
)
def test_columns_that_nobody_can_tell_are_asked_for(root, header, words):
    (root / "x.csv").write_text(f"{header}\n")
    if words is None:  # no four corners: no boxes, and the columns are named
        assert "columns that are not read: 'xmin', 'ymin', 'xmax'" in CsvManifest(root).notes
    else:
        with pytest.raises(FrostlineError, match=words):
            CsvManifest(root)


def test_of_several_tables_one_must_be_named(root):
    for name in ("a.csv", "b.csv"):
        (root / name).write_text("path\na.png\n")
    with pytest.raises(FrostlineError, match=r"several tables, such as a\.csv and b\.csv"):
        CsvManifest(root)
    assert len(list(CsvManifest(root, manifest="b.csv").scenes())) == 1 and csv_manifest.fits(root) is None


# --- Small files of our own -------------------------------------------------------------------------------------------

WIDE, HIGH = 40, 30


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        path = tmp_path / "root" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HIGH, WIDE, 3), 9 * number, np.uint8)).save(path)
    return tmp_path / "root"


def only(source):
    return {scene.id.removeprefix("images-"): scene for scene in source.scenes()}


def document(*images):
    return f"<annotations>\n{''.join(images)}</annotations>"


def image(*shapes, name="images/a.png", more=""):
    return f'<image name="{name}" width="{WIDE}" height="{HIGH}" {more}>{"".join(shapes)}</image>\n'


def xml(root, *images):
    (root / "a.xml").write_text(document(*images))
    return root / "a.xml"


POLYGON = '<polygon label="leaf" points="2,3;8,3;8,9;2,9"/>'
MASK = '<mask label="stem" rle="1,2,4,1" left="10" top="20" width="4" height="2"/>'  # 0110 0001


def test_cvat_shapes_become_boxes_and_masks(root):
    source = Cvat(xml(root, image(POLYGON, MASK, '<ellipse label="leaf" cx="30" cy="10" rx="4" ry="2"/>')))
    scene = only(source)["a"]
    assert source.classes.masks == ("background", "leaf", "stem") and not scene.faults
    assert scene.boxes.tolist() == [[2, 3, 8, 9], [11, 20, 14, 22], [26, 8, 34, 12]]
    mask = scene.mask
    assert (mask == 2).nonzero()[0].tolist() == [20, 20, 21] and (mask == 2).nonzero()[1].tolist() == [11, 12, 13]
    assert (mask[3:9, 2:8] == 1).all() and (mask == 1).sum() == 36 + np.count_nonzero(mask[8:12, 26:34])
    assert 20 < np.count_nonzero(mask[8:12, 26:34]) <= 32


def test_cvat_turns_about_the_centre_and_cuts_at_the_edge(root):
    box = '<box label="leaf" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90"/>'
    edge = '<box label="leaf" xtl="0" ytl="0" xbr="10" ybr="4" rotation="45"/>'
    source = Cvat(xml(root, image(box, edge)))
    boxes = only(source)["a"].boxes
    assert np.allclose(boxes[0], [13, 7, 17, 17]) and boxes[1][1] == 0
    assert source.classes.masks is None and "2 turned shape(s): the upright box around each was taken" in source.notes


def test_cvat_tells_what_is_no_object(root):
    line = '<polyline label="leaf" points="1,1;2,2"/>'
    file = xml(root, image(POLYGON, line, more='subset="Train"'), image('<tag label="ripe"/>', name="b.png"),
               image(name="images/deep/c.png"))  # fmt: skip
    source = Cvat(file)
    scenes = only(source)
    assert (scenes["a"].split, scenes["b"].label, source.classes.labels) == ("train", 0, ("ripe",))
    assert scenes["deep-c"].boxes.shape == (0, 4) and scenes["deep-c"].mask.max() == 0
    assert "unmarked=unknown" in source.notes[0] and source.notes[1].startswith("1 <polyline> passed over")
    scenes = only(Cvat(file, unmarked="unknown"))
    assert scenes["deep-c"].boxes is None and scenes["deep-c"].mask is None and scenes["b"].boxes is not None


def test_a_faulty_shape_costs_its_scene_and_has_its_line(root):
    scenes = only(Cvat(xml(root, image('<box label="x" xtl="1" ytl="1" xbr="NaN" ybr="2"/>'), image(name="b.png"))))
    assert [(fault.kind, fault.line) for fault in scenes["a"].faults] == [("annotation_unreadable", 2)]
    assert not scenes["b"].faults
    huge = MASK.replace('width="4"', 'width="900000"').replace('height="2"', 'height="900000"')
    scenes = only(Cvat(xml(root, image(huge), image('<polygon label="" points=""/>', name="b.png"))))
    assert scenes["a"].faults[0].kind == "annotation_unreadable" and scenes["b"].faults[0].kind == "label_unknown"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gone.png", "picture_missing"),
        ("../secret.png", "path_outside"),
        ("/etc/hostname", "path_outside"),
        ("a.xml", "picture_missing"),
        ("s3://bucket/there/a.png", None),
        ("images\\deep\\c.png", None),
        ("other/deep/c.png", None),
        ("0123abcd-c.png", None),
        ("/data/local-files/?d=x%2Fimages%2Fdeep%2Fc.png", None),
    ],
)
def test_a_picture_is_found_by_its_name_and_never_outside(root, name, kind):
    Image.new("RGB", (WIDE, HIGH)).save(root.parent / "secret.png")
    (scene,) = only(Cvat(xml(root, image(POLYGON, name=name)))).values()
    assert [fault.kind for fault in scene.faults] == ([kind] if kind else [])
    assert (scene.image is None) == (kind is not None)


def test_links_are_followed_once(root):
    (root / "out").mkdir()
    xml(root / "out", image(POLYGON))
    (root / "xml").mkdir()
    (root / "xml" / "linked").symlink_to(root / "out")
    (root / "out" / "back").symlink_to(root)
    assert len(list(Cvat(root).scenes())) == 1


def test_of_two_pictures_of_one_name_nobody_guesses(root):
    (root / "images" / "deep" / "a.png").write_bytes((root / "images" / "a.png").read_bytes())
    (scene,) = only(Cvat(xml(root, image(POLYGON, name="far/a.png")))).values()
    assert "several places" in str(scene.faults[0]) and scene.image is None
    (scene,) = only(Cvat(xml(root, image(POLYGON, name="far/deep/a.png")))).values()
    assert scene.image == root / "images" / "deep" / "a.png"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"PK\x03\x04rest", "is a ZIP archive: unpack it"),
        ("a.xml", b"<annotation/>", "export as 'CVAT for images 1.1'"),
        ("b.xml", b"<annotations><track/></annotations>", "export as 'CVAT for images 1.1'"),
        ("", b"", "holds no file of CVAT's XML"),
        ("nowhere", None, "nowhere is not there"),
    ],
)
def test_what_is_no_file_of_the_tool_is_told(root, name, content, words):
    if content:
        (root / name).write_bytes(content)
    with pytest.raises(FrostlineError, match=words):
        Cvat(root / name)
    with pytest.raises(FrostlineError, match="which lies outside"):
        Cvat(root, annotations="../a.xml")


def test_a_picture_named_twice_is_a_fault(root):
    scenes = list(Cvat(xml(root, image(POLYGON), image(POLYGON))).scenes())
    assert [len(scene.faults) for scene in scenes] == [0, 1] and "once more" in str(scenes[1].faults[0])


# --- Label Studio -----------------------------------------------------------------------------------------------------


def region(label="leaf", **value):
    value = {"x": 10, "y": 20, "width": 25, "height": 10, "rotation": 0, "rectanglelabels": [label]} | value
    return {
        "id": str(value),
        "type": "rectanglelabels",
        "original_width": WIDE,
        "original_height": HIGH,
        "value": value,
    }


def task(name, *annotations, number=1):
    return {"id": number, "data": {"image": name}, "annotations": list(annotations)}


def done(*regions, **fields):
    return {"result": list(regions), "was_cancelled": False} | fields


def studio(root, *tasks, **settings):
    (root / "export.json").write_text(json.dumps(tasks))
    return LabelStudio(root / "export.json", **settings)


def test_label_studio_tells_apart_who_looked(root):
    tasks = [task("a.png", done(region())), task("b.png", done()), task("c.png", done(region(), was_cancelled=True))]
    source = studio(root, *tasks, task("c.png"), absent="empty")
    scenes = only(source)
    assert scenes.keys() == {"a", "b"} and scenes["b"].boxes.shape == (0, 4)
    assert np.allclose(scenes["a"].boxes, [[4, 6, 14, 9]])
    cancelled, never = source.notes
    assert cancelled.startswith("1 task(s) cancelled") and never.startswith("1 task(s) without an annotation")


@pytest.mark.parametrize(("rule", "x"), [("newest", 30), ("oldest", 10), ("ground_truth", 20)])
def test_of_several_annotations_the_rule_says_which_holds(root, rule, x):
    annotations = [
        done(region(x=10), created_at="2026-01-01T00:00:00Z"),
        done(region(x=30), created_at="2026-01-01T00:00:00Z", updated_at="2026-01-03T00:00:00Z"),
        done(region(x=20), created_at="2026-01-02T00:00:00Z", ground_truth=True),
        done(region(x=50), created_at="2026-02-01T00:00:00Z", was_cancelled=True),
    ]
    source = studio(root, task("a.png", *annotations), annotator=rule)
    assert np.isclose(only(source)["a"].boxes[0, 0], x * WIDE / 100)
    assert "several annotations" in source.notes[0] and "dataset.source.annotator" in source.notes[0]


def test_label_studio_gives_shares_of_the_picture_as_it_is_shown(root):
    turned = Image.new("RGB", (WIDE, HIGH))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / "images" / "t.jpg", exif=exif)
    scene = only(studio(root, task("t.jpg", done(region()))))["t"]
    assert np.allclose(scene.boxes, [[3, 8, 10.5, 12]]) and scene.size == (HIGH, WIDE)


def bits(*pairs):
    text = "".join(f"{value:0{count}b}" for value, count in pairs)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def test_label_studio_brushes_polygons_and_ellipses(root):
    # One run of 0, one of 4 times 255 (a pixel, RGBA), written as four values, and one of 0 to the end.
    before, after = 4 * (WIDE * 7 + 5), 4 * (WIDE * HIGH - WIDE * 7 - 6)
    packed = bits((4 * WIDE * HIGH, 32), (7, 5), (2, 4), (4, 4), (8, 4), (15, 4),
                  (1, 1), (3, 2), (before - 1, 16), (0, 8),
                  (0, 1), (0, 2), (3, 3), (0, 8), (0, 8), (0, 8), (200, 8),
                  (1, 1), (3, 2), (after - 1, 16), (0, 8))  # fmt: skip
    size = {"original_width": WIDE, "original_height": HIGH}
    brush = {"type": "brushlabels", "value": {"format": "rle", "rle": packed, "brushlabels": ["leaf"]}} | size
    points = [[0, 0], [50, 0], [50, 50]]
    polygon = {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["stem"]}} | size
    oval = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 90, "ellipselabels": ["stem"]}
    source = studio(root, task("a.png", done(brush, polygon, {"type": "ellipselabels", "value": oval} | size)))
    scene = only(source)["a"]
    assert not scene.faults and np.allclose(scene.boxes, [[5, 7, 6, 8], [0, 0, 20, 15], [14, 11, 26, 19]])
    assert scene.mask[7, 5] == 1 and (scene.mask == 1).sum() == 1 and scene.mask[15, 20] == 2
    cut = {"type": "brushlabels", "value": {"format": "rle", "rle": packed[:9], "brushlabels": ["leaf"]}} | size
    assert "ends before its last pixel" in str(only(studio(root, task("a.png", done(cut))))["a"].faults[0])


def test_label_studio_choices_and_labels_apart(root):
    def choice(answer, question="kind"):
        return {"id": "c", "type": "choices", "from_name": question, "value": {"choices": [answer]}}

    apart = {"type": "rectangle", "id": "r", "value": {"x": 0, "y": 0, "width": 50, "height": 50}}
    named = {"type": "labels", "id": "r", "value": {"x": 0, "y": 0, "width": 50, "height": 50, "labels": ["leaf"]}}
    del named["value"]["x"], named["value"]["y"], named["value"]["width"], named["value"]["height"]
    tasks = [task("a.png", done(choice("ripe"), apart, named)), task("b.png", done(choice("green")), number=2)]
    source = studio(root, *tasks)
    scenes = only(source)
    assert source.classes.labels == ("green", "ripe") and (scenes["a"].label, scenes["b"].label) == (1, 0)
    assert scenes["a"].boxes.tolist() == [[0, 0, 20, 15]] and not scenes["a"].faults
    tasks.append(task("c.png", done(choice("wet", "weather")), number=3))
    with pytest.raises(FrostlineError, match=r"several questions \(kind, weather\)"):
        studio(root, *tasks)
    assert only(studio(root, *tasks, choice="kind"))["b"].label == 0


def test_json_min_has_an_entry_for_each_annotation(root):
    def entry(x, day, **more):
        value = {"x": x, "y": 0, "width": 10, "height": 10, "rectanglelabels": ["leaf"]}
        sizes = {"original_width": WIDE, "original_height": HIGH}
        return {"image": "a.png", "id": 1, "label": [value | sizes], "kind": "ripe"} | more | {
            "annotator": 1, "annotation_id": day, "created_at": f"2026-01-0{day}T00:00:00Z"}  # fmt: skip

    source = studio(root, entry(10, 2), entry(50, 1))
    scene = only(source)["a"]
    assert scene.boxes.tolist() == [[4, 0, 8, 3]] and source.classes.labels == ("ripe",) and not scene.faults
    assert "several annotations" in source.notes[0]


# --- labelme, CreateML, Open Images -----------------------------------------------------------------------------------


def labelled(root, name, *shapes, **fields):
    content = {"imagePath": f"..\\images\\{name}.png", "imageWidth": WIDE, "imageHeight": HIGH, "shapes": list(shapes)}
    (root / "json").mkdir(exist_ok=True)
    (root / "json" / f"{name}.json").write_text(json.dumps(content | fields))


def shape(kind, *points, label="leaf", **fields):
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind} | fields


def test_labelme_shapes(root):
    labelled(root, "a", shape("rectangle", (9, 8), (2, 3)), shape("circle", (20, 15), (23, 19)),
             shape("point", (1, 1)), flags={"ripe": True, "old": False})  # fmt: skip
    labelled(
        root,
        "b",
        shape("polygon", (0, 0), (4, 0), (4, 4), group_id=1),
        shape(None, (9, 9), (12, 9), (12, 12), group_id=1),
    )
    source = Labelme(root)
    scenes = only(source)
    assert scenes["a"].boxes.tolist() == [[2, 3, 9, 8], [15, 10, 25, 20]] and scenes["a"].label == 0
    assert scenes["b"].boxes.tolist() == [[0, 0, 12, 12]] and scenes["b"].mask[2, 3] == scenes["b"].mask[10, 11] == 1
    assert scenes["a"].mask is None and scenes["b"].mask[5, 6] == 0
    assert [note.split()[:2] for note in source.notes] == [["1", "shape(s)"], ["1", "of"], ["1", "point"]]


def test_a_labelme_file_that_is_cut_costs_its_scene(root):
    labelled(root, "a", shape("rectangle", (2, 3), (9, 8)))
    (root / "images" / "b.json").write_text('{"vers')  # nothing but its name tells whose it is
    scenes = only(Labelme(root))
    assert scenes.keys() == {"a", "b"} and "no readable JSON" in str(scenes["b"].faults[0])


def test_createml_counts_from_the_centre(root):
    entries = [
        {
            "image": "a.png",
            "annotations": [{"label": "leaf", "coordinates": {"x": 10, "y": 10, "width": 4, "height": 6}}],
        },
        {"image": "b.png", "annotations": [{"label": "leaf", "coordinates": {"x": "1"}}]},
    ]
    (root / "x.json").write_text(json.dumps(entries))
    scenes = only(CreateMl(root))
    assert scenes["a"].boxes.tolist() == [[8, 7, 12, 13]]
    assert "the picture 'b.png', has a box that cannot be read" in str(scenes["b"].faults[0])


def test_open_images_names_and_groups(root):
    lines = [
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf",
        "a,/m/1,0.1,0.5,0,1,0",
        "a,/m/1,0,1,0,1,1",
        "c,/m/2,0,x,0,1,0",
    ]
    (root / "validation-annotations-bbox.csv").write_text("\n".join(lines))
    (root / "class-descriptions.csv").write_text("/m/1,Leaf\n/m/2,Stem\n")
    source = OpenImages(root)
    scenes = only(source)
    assert np.allclose(scenes["a"].boxes, [[4, 0, 20, 30], [0, 0, 40, 30]]) and source.classes.boxes == ("Leaf",)
    assert scenes["a"].split == "val" and scenes["deep-c"].faults[0].line == 4
    assert "1 box(es) around groups count neither way" in source.notes[0]
    assert scenes["a"].box_marks.tolist() == [COUNTED, CROWD]
    taken = OpenImages(root, groups=True)
    assert only(taken)["a"].counted.tolist() == [True, True] and not any("groups" in note for note in taken.notes)
