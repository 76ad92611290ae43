"""Every source, fed with damaged and hostile annotations: a fault or one sentence, never a traceback, never a hang."""

import gzip
import json
import random
import struct
import warnings

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from frostline.doctor.diagnosis import diagnose
from frostline.errors import FrostlineError
from frostline.scenes.faults import policies
from frostline.scenes.splits import Split
from frostline.sources.coco import Coco
from frostline.sources.csv_manifest import CsvManifest
from frostline.sources.fashion_mnist import FashionMnist
from frostline.sources.flowers102 import Flowers102
from frostline.sources.folder import Folder
from frostline.sources.masks import Masks
from frostline.sources.pennfudan import PennFudan
from frostline.sources.pets import Pets
from frostline.sources.voc import Voc
from frostline.sources.yolo import Yolo

SIZE = (30, 20)
POLICY = policies("skip", {"class_untrained": "skip"})


def picture(path, seed, masked=False, lowest=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = (
        rng.integers(lowest, 2 + lowest, SIZE[::-1], np.uint8)
        if masked
        else rng.integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    )
    Image.fromarray(pixels).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def xml(*names):
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax>"
        f"<ymax>12</ymax></bndbox></object>\n"
        for name in names
    )
    return f"<annotation><size><width>30</width><height>20</height></size>\n{objects}</annotation>"


def folder(root):
    for number in range(6):
        picture(root / "ab"[number % 2] / f"{number}.png", number)
    return lambda: Folder(root), [root / "a" / "0.png", root / "b" / "1.png"]


def csv(root):
    rows = ["path,label,x0,y0,x1,y1,box_label,mask,split,group"]
    for number in range(6):
        picture(root / f"{number}.png", number)
        picture(root / f"m{number}.png", number, masked=True)
        rows.append(f"{number}.png,rose,1,2,8,9.5,leaf,m{number}.png,train,g{number}")
    return lambda: CsvManifest(root, masks=["back", "front"]), [write(root / "manifest.csv", "\n".join(rows))]


def voc(root):
    for name in "abcdef":
        picture(root / "JPEGImages" / f"{name}.png", ord(name))
        write(root / "Annotations" / f"{name}.xml", xml("dog", "cat"))
    return lambda: Voc(root), [
        root / "Annotations" / "a.xml",
        root / "Annotations" / "b.xml",
        write(root / "ImageSets" / "Main" / "train.txt", "a\nb\nc\n"),
    ]


def coco(root):
    outline = [[2, 2, 9, 2, 9, 9]]
    code = {"size": [20, 30], "counts": [100, 40, 460]}
    images, annotations = [], []
    for number in range(6):
        picture(root / "images" / f"{number}.png", number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 30, "height": 20})
        common = {"image_id": number, "category_id": 1 + number % 2, "bbox": [1, 2, 8, 9.5], "iscrowd": 0}
        annotations.append(common | {"id": 2 * number, "segmentation": outline})
        annotations.append(common | {"id": 2 * number + 1, "segmentation": code, "iscrowd": 1})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return lambda: Coco(root), [write(root / "annotations" / "instances_train.json", json.dumps(content))]


def yolo(root):
    for name in "abcdefgh":
        picture(root / "images" / ("train" if name < "g" else "val") / f"{name}.png", ord(name))
    write(root / "labels" / "val" / "g.txt", "")
    for name in "abcdef":
        write(root / "labels" / "train" / f"{name}.txt", "0 0.1 0.1 0.9 0.1 0.9 0.8\n1 0.2 0.2 0.5 0.5 0.2 0.5\n")
    data = {"path": ".", "train": "images/train", "val": ["images/val"], "names": {0: "cat", 1: "dog"}}
    texts = [root / "labels" / "train" / f"{name}.txt" for name in "ab"]
    return lambda: Yolo(root), [write(root / "data.yaml", yaml.safe_dump(data)), *texts]


def voc_anywhere(root):
    """XML files beside their pictures, in folders of splits, with a list of no split."""
    for name in "abcdef":
        picture(root / ("train" if name < "e" else "valid") / f"{name}.png", ord(name))
        write(root / ("train" if name < "e" else "valid") / f"{name}.xml", xml("dog", "cat"))
    return lambda: Voc(root, unannotated="empty"), [root / "train" / "a.xml", root / "train" / "b.xml"]


def coco_beside(root):
    """A file beside pictures, with names of another machine, crowds alone and a category that groups."""
    files = []
    for split in ("train", "valid"):
        images, annotations = [], []
        for number in range(4):
            picture(root / split / f"{split}{number}.png", number + 10 * (split == "valid"))
            images.append({"id": number, "file_name": f"C:\\\\up\\\\{split}{number}.png", "width": 30, "height": 20})
            code = {"size": [20, 30], "counts": [100, 40, 460]}
            common = {"image_id": number, "category_id": 1 + number % 2, "bbox": [1, 2, 8, 9.5], "iscrowd": 1}
            annotations += 2 * [common | {"id": number, "segmentation": code}]
        categories = [{"id": n, "name": name, "supercategory": "all"} for n, name in enumerate(("all", "cat", "dog"))]
        content = {"info": {"contributor": "Label Studio"}, "images": images, "annotations": annotations}
        text = json.dumps(content | {"categories": categories})
        files.append(write(root / split / "_annotations.coco.json", text))
    return lambda: Coco(root, crowds="instances"), files


def yolo_darknet(root):
    """Names and lists of darknet, texts beside pictures, boxes with an angle."""
    for name in "abcdef":
        picture(root / "obj_train_data" / f"{name}.png", ord(name))
        write(root / "obj_train_data" / f"{name}.txt", "0 0.5 0.5 0.2 0.3 1.5\n1 0.4 0.5 0.2 0.3 -0.2\n")
    listed = "".join(f"data/obj_train_data/{name}.png\n" for name in "abcdef")
    names, data = "cat\ndog\n", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n"
    return lambda: Yolo(root), [
        write(root / "obj.data", data),
        write(root / "obj.names", names),
        write(root / "train.txt", listed),
        root / "obj_train_data" / "a.txt",
    ]


def masks(root):
    for name in "abcdef":
        picture(root / "train" / f"{name}.png", ord(name))
        picture(root / "trainannot" / f"{name}.png", ord(name), masked=True)
    lines = "".join(f"train/{name}.png /SegNet/trainannot/{name}.png\n" for name in "abcdef")
    return lambda: Masks(root, ["back", "front"]), [
        write(root / "train.txt", lines),
        root / "trainannot" / "a.png",
    ]


def pets(root):
    for number in range(6):
        name = f"{('cat', 'dog')[number % 2]}_{number}"
        picture(root / "images" / f"{name}.png", number)
        picture(root / "annotations" / "trimaps" / f"{name}.png", number, masked=True, lowest=1)
        write(root / "annotations" / "xmls" / f"{name}.xml", xml("cat"))
    return lambda: Pets(root), [
        write(root / "annotations" / "trainval.txt", "cat_0 1 1 1\ndog_1 2 2 1\n"),
        root / "annotations" / "xmls" / "cat_0.xml",
        root / "annotations" / "trimaps" / "cat_2.png",
    ]


def flowers102(root):
    for number in range(1, 7):
        picture(root / "jpg" / f"image_{number:05}.jpg", number)
        picture(root / "segmim" / f"segmim_{number:05}.jpg", number)
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 2, 1, 2]], np.uint8)})
    savemat(root / "setid.mat", {key: np.array([[n, n + 3]]) for n, key in enumerate(("trnid", "valid", "tstid"), 1)})
    names = write(root / "cat_to_name.json", json.dumps({str(n): f"kind {n}" for n in range(1, 103)}))
    files = [root / "imagelabels.mat", root / "setid.mat", names, root / "segmim" / "segmim_00001.jpg"]
    return lambda: Flowers102(root), files


def fashion_mnist(root):
    files = []
    for name, count in (("train", 6), ("t10k", 3)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        content = gzip.compress(struct.pack(">4I", 2051, count, 28, 28) + pixels)
        files.append(write(root / f"{name}-images-idx3-ubyte.gz", content))
        labels = struct.pack(">2I", 2049, count) + bytes(n % 3 for n in range(count))
        files.append(write(root / f"{name}-labels-idx1-ubyte", labels))
    return lambda: FashionMnist(root), files


def pennfudan(root):
    for name in "abcdef":
        picture(root / "PNGImages" / f"{name}.png", ord(name))
        picture(root / "PedMasks" / f"{name}_mask.png", ord(name), masked=True)
    return lambda: PennFudan(root), [root / "PedMasks" / "a_mask.png", root / "PNGImages" / "b.png"]


BOXED = [voc, coco, yolo, voc_anywhere, coco_beside, yolo_darknet]
SOURCES = [folder, csv, *BOXED, masks, pets, flowers102, fashion_mnist, pennfudan]

NUMBERS = [b"1000000000", b"-7", b"1e400", b"nan", b"9" * 400, b"9" * 5000, b"0.5", b"true", b"null", b'"x"']
WORDS = [
    b"../../../etc/passwd", b"/etc/hostname", b"a\0b", b"\xff\xfe", b"\\ud800", b"", b"..", b"x" * 5000, b"/",
    b"\n", b"[/red]", b"{}", b"[]", b"[[[[[[", b"&b;", b"*a", b"<a>", b'"', b"'",
]  # fmt: skip
WHOLE = [
    b"",
    b"\0" * 100,
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b"<a>" * 50_000,
    b"- " * 3_000,
    b'<!DOCTYPE a [<!ENTITY a "1"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>',
    b"a: &a [*a, *a]",
    b"null",
    b"9" * 10_000,
    b"1 2 3 4 5 6 7\n" * 5,
]


def damaged(content, rng):
    """One of many ways to damage a file."""
    way = rng.randrange(6)
    at = rng.randrange(len(content) + 1)
    if way == 0:
        return rng.choice(WHOLE)
    if way == 1:
        return content[:at]
    if way == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at + rng.randrange(40) :]
    if way == 3:
        return content[:at] + rng.choice(WORDS) + content[at:]
    if way == 4:
        return content[:at] + content[rng.randrange(len(content) + 1) :]
    digits = [n for n in range(len(content)) if content[n : n + 1].isdigit() and not content[n - 1 : n].isdigit()]
    at = rng.choice(digits or [0])
    end = at
    while content[end : end + 1].isdigit():
        end += 1
    return content[:at] + rng.choice(NUMBERS) + content[end:]


def examined(source):
    """What is found wrong with scenes, none where one sentence refuses the whole."""
    try:
        found = diagnose(source(), Split(), POLICY, "hostile")
    except FrostlineError as error:
        assert "\n" not in str(error) and len(str(error)) < 4000, str(error)[:5000]
        return []
    for finding in found.findings:
        assert "\n" not in str(finding.fault)
    return [finding for finding in found.findings if finding.scene]


@pytest.mark.parametrize("make", SOURCES)
def test_no_damage_stops_the_doctor(tmp_path, make):
    rounds = 100 if make in BOXED else 25
    source, files = make(tmp_path / "root")
    assert not examined(source)
    rng = random.Random(make.__name__)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for _ in range(rounds):
            path = rng.choice(files)
            content = path.read_bytes()
            path.write_bytes(damaged(content, rng))
            examined(source)
            path.write_bytes(content)
