"""What annotation tools write, a hundred times damaged in each layout: a fault or one sentence, never a traceback."""

import json
import random
import warnings
from base64 import b64encode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sources.test_hostile import damaged, examined, picture, write

from frostline.sources import createml, csv_manifest, cvat, label_studio, labelme, open_images
from frostline.sources.createml import CreateMl
from frostline.sources.csv_manifest import CsvManifest
from frostline.sources.cvat import Cvat
from frostline.sources.label_studio import LabelStudio
from frostline.sources.labelme import Labelme
from frostline.sources.open_images import OpenImages

NAMES = "abcdef"
MODULES = (cvat, label_studio, labelme, createml, open_images, csv_manifest)
BOX = {"x": 10, "y": 20, "width": 25, "height": 10, "rotation": 0}
SIZES = {"original_width": 30, "original_height": 20}
HOSTILE = [
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><image name="&x;"/></annotations>',
    b'<!DOCTYPE a [<!ENTITY a "1"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>',
    b'<annotations><image name="../../etc/passwd" width="30" height="20"><box label="a"/></image></annotations>',
    b'[{"id": 1, "data": {"image": "file:///etc/passwd"}, "annotations": [{"result": [{"value": {"rle": [255]}}]}]}]',
    b'[{"image": "../../../etc/passwd", "annotations": [{"label": "a", "coordinates": {"x": 1e999}}]}]',
    b'{"shapes": [{"label": "a", "shape_type": "mask", "points": [[1e6, 0]], "mask": "AAAA"}], "imagePath": "/etc/x"}',
    b"ImageID,LabelName,XMin,XMax,YMin,YMax\n../../etc/passwd,a,0,1,0,1\n",
    b"sep=\x00\npath\x00x\n",
    b"\xff\xfep\x00a\x00",
]


def pictures(root):
    for name in NAMES:
        picture(root / "images" / f"{name}.png", ord(name))


def cvat_xml(root):
    pictures(root)
    shapes = """
<box label="cat" xtl="2.5" ytl="3" xbr="9" ybr="12" rotation="0"/><box label="dog" xtl="8" ytl="8" xbr="15" ybr="12"
rotation="12.5"/>"""
    outlines = """
<polygon label="dog" points="2,2;9,2;9,9"/><ellipse label="cat" cx="15" cy="10" rx="4" ry="3"/>
<mask label="cat" rle="2,3,3" left="10" top="4" width="4" height="2"/><tag label="cat"/>"""
    images = "".join(
        f'<image id="{at}" name="images/{name}.png" width="30" height="20">{outlines if at % 2 else shapes}</image>'
        for at, name in enumerate(NAMES)
    )
    return lambda: Cvat(root), [write(root / "a.xml", f"<annotations><version>1.1</version>{images}</annotations>")]


def regions():
    points = [[10, 10], [50, 10], [50, 60]]
    brush = [0, 0, 9, 96, 57, 20, 79, 224, 76, 158, 0]  # 30 x 20 x 4 values, nearly: cut off
    return [
        {"type": "rectanglelabels", "id": "1", "value": BOX | {"rectanglelabels": ["cat"]}} | SIZES,
        {"type": "polygonlabels", "id": "2", "value": {"points": points, "polygonlabels": ["dog"]}} | SIZES,
        {"type": "brushlabels", "id": "3", "value": {"format": "rle", "rle": brush, "brushlabels": ["dog"]}} | SIZES,
        {"type": "choices", "id": "4", "from_name": "kind", "value": {"choices": ["cat"]}},
    ]


def studio(root):
    pictures(root)
    tasks = []
    for at, name in enumerate(NAMES):
        times = {"created_at": "2026-01-01T00:00:00Z", "was_cancelled": False}
        result = [*regions()[:2], regions()[3]]
        data = {"image": f"/data/upload/1/0123abcd-{name}.png"}
        tasks.append({"id": at, "data": data, "annotations": [{"result": result} | times, {"result": []} | times]})
    return lambda: LabelStudio(root), [write(root / "export.json", json.dumps(tasks))]


def json_min(root):
    pictures(root)
    entries = [
        {"image": f"{name}.png", "id": at, "label": [BOX | {"rectanglelabels": ["cat"]} | SIZES], "kind": "dog",
         "annotator": 1, "created_at": "2026-01-01T00:00:00Z"}
        for at, name in enumerate(NAMES)
    ]  # fmt: skip
    return lambda: LabelStudio(root), [write(root / "export.json", json.dumps(entries))]


def labelme_json(root):
    pictures(root)
    png = BytesIO()
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(png, "PNG")
    mask = b64encode(png.getvalue()).decode()
    shapes = [
        {"label": "cat", "shape_type": "rectangle", "points": [[2.5, 3], [9, 12]], "group_id": None},
        {"label": "dog", "shape_type": "polygon", "points": [[2, 2], [9, 2], [9, 9]], "group_id": 1},
        {"label": "dog", "shape_type": "mask", "points": [[5, 5], [8, 8]], "mask": mask},
        {"label": "dog", "shape_type": "circle", "points": [[9, 9], [12, 9]]},
    ]
    files = []
    for name in NAMES:
        content = {"imagePath": f"{name}.png", "imageWidth": 30, "imageHeight": 20, "flags": {"cat": True}}
        files.append(write(root / "images" / f"{name}.json", json.dumps(content | {"shapes": shapes})))
    return lambda: Labelme(root), files[:2]


def labelme_xml(root):
    pictures(root)
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((2, 3), (9, 3), (9, 12)))
    thing = f"<object><name>cat</name><deleted>0</deleted><polygon>{points}</polygon></object>"
    size = "<imagesize><nrows>20</nrows><ncols>30</ncols></imagesize>"
    files = [
        write(root / "xml" / f"{name}.xml", f"<annotation><filename>{name}.png</filename>{size}{thing}</annotation>")
        for name in NAMES
    ]
    return lambda: Labelme(root), files[:2]


def createml_json(root):
    pictures(root)
    box = {"label": "cat", "coordinates": {"x": 10, "y": 10.5, "width": 8, "height": 6}}
    entries = [{"image": f"{name}.png", "annotations": [box, box | {"label": "dog"}]} for name in NAMES]
    return lambda: CreateMl(root), [write(root / "_annotations.createml.json", json.dumps(entries))]


def open_images_csv(root):
    pictures(root)
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"]
    lines += [f"{name},/m/{at % 2},0.1,0.5,0.2,0.75,0" for at, name in enumerate(NAMES)]
    files = [write(root / "train-annotations-bbox.csv", "\n".join(lines))]
    return lambda: OpenImages(root), [*files, write(root / "class-descriptions.csv", "/m/0,cat\n/m/1,dog\n")]


def csv_semicolons(root):
    pictures(root)
    lines = ["Filename;width;height;class;xmin;ymin;xmax;ymax"]
    lines += [f"{name}.png;30;20;cat;2,5;3;9;12,25" for name in NAMES]
    return lambda: CsvManifest(root), [write(root / "labels.csv", "\r\n".join(lines))]


LAYOUTS = [cvat_xml, studio, json_min, labelme_json, labelme_xml, createml_json, open_images_csv, csv_semicolons]


@pytest.mark.parametrize("make", LAYOUTS)
def test_a_hundred_damages_of_a_tool_s_file_end_in_words(tmp_path, make):
    source, files = make(tmp_path / "root")
    assert not examined(source)
    rng = random.Random(make.__name__)
    found = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for at in range(100):
            path = rng.choice(files)
            content = path.read_bytes()
            path.write_bytes(HOSTILE[at] if at < len(HOSTILE) else damaged(content, rng))
            found += bool(examined(source))
            for module in MODULES:
                told = module.fits(tmp_path / "root")
                assert told is None or told
                module.fits(path)
            path.write_bytes(content)
    assert found > 5  # of a file that is told to be faulty by scene, and not as a whole


def test_brushes_that_are_cut_are_faults(tmp_path):
    pictures(tmp_path)
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": regions()}]}
    write(tmp_path / "export.json", json.dumps([task]))
    (scene,) = LabelStudio(tmp_path).scenes()
    assert [fault.kind for fault in scene.faults] == ["annotation_unreadable"] and len(scene.boxes) == 2
