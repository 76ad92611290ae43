import json

import numpy as np
import pytest
from hotcoco import mask as mask_api
from PIL import Image, ImageOps

from frostline.checking.scene import check
from frostline.errors import FrostlineError
from frostline.scenes.scene import COUNTED, CROWD
from frostline.sources.coco import Coco

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def picture(path, width=30, height=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)


def image(number, name, width=30, height=20):
    return {"id": number, "file_name": name, "width": width, "height": height}


def annotation(number, of, category, box=(1, 2, 3, 4), segmentation=None, iscrowd=0):
    record = {"id": number, "image_id": of, "category_id": category, "bbox": list(box), "iscrowd": iscrowd}
    return record | ({} if segmentation is None else {"segmentation": segmentation})


def rectangle(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def filled(x0, y0, x1, y1):
    region = np.zeros((20, 30), np.uint8)
    region[y0:y1, x0:x1] = 1
    return region


def compressed(*corners):
    code = mask_api.encode(np.asfortranarray(filled(*corners)))
    return {"size": [20, 30], "counts": code["counts"].decode()}


def plain(*corners):
    columns = filled(*corners).T.ravel()
    edges = [0, *np.flatnonzero(np.diff(columns)) + 1, len(columns)]
    return {"size": [20, 30], "counts": [int(run) for run in ([0] if columns[0] else []) + np.diff(edges).tolist()]}


def write(path, images, annotations, categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


@pytest.fixture
def root(tmp_path):
    """Two files; all pictures lie in split-named folders, and 1.png in both."""
    root = tmp_path / "root"
    for name in ("train2017/1.png", "train2017/2.png", "train2017/3.png", "val2017/1.png"):
        picture(root / name)
    annotations = [annotation(10, 1, 7), annotation(11, 1, 3, (4, 5, 6.5, 7)), annotation(12, 2, 7)]
    write(
        root / "annotations" / "instances_train2017.json",
        [image(1, "1.png"), image(2, "2.png"), image(3, "3.png")],
        annotations,
    )
    write(root / "annotations" / "instances_val2017.json", [image(1, "1.png")], [annotation(10, 1, 3)])
    (root / "annotations" / "captions_train2017.json").write_text("{}")
    return root


def scenes_of(root, **settings):
    source = Coco(root, **settings)
    return source, {scene.id: scene for scene in source.scenes()}


def one(tmp_path, *annotations, **settings):
    """The only scene, of a picture of 30 x 20."""
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "annotations" / "all.json", [image(1, "a.png")], annotations)
    (scene,) = Coco(tmp_path, **settings).scenes()
    return scene


def kinds(scene):
    return [fault.kind for fault in scene.faults]


def test_layout_is_read(root):
    source, scenes = scenes_of(root)
    assert source.classes.boxes == source.classes.labels == ("cat", "dog") and source.classes.masks is None
    assert list(scenes) == ["1", "2", "3", "1~1"]
    assert [scene.split for scene in scenes.values()] == ["train", "train", "train", "val"]
    assert scenes["1"].image == root / "train2017" / "1.png" and scenes["1~1"].image == root / "val2017" / "1.png"
    assert scenes["1"].boxes.tolist() == [[1, 2, 4, 6], [4, 5, 10.5, 12]] and scenes["1"].boxes.dtype == np.float32
    assert scenes["1"].box_labels.tolist() == [1, 0]
    assert scenes["3"].boxes.shape == (0, 4) and scenes["3"].boxes_file.name == "instances_train2017.json"
    assert (
        [scene.label for scene in scenes.values()] == [None, 1, None, 0]
        and "one category" in source.derived["labels"]
        and "masks" not in source.derived
    )
    assert all(scene.mask is None and not scene.faults for scene in scenes.values())


def test_files_and_folders_can_be_given(root):
    write(root / "valid" / "_annotations.coco.json", [image(5, "9.png")], [annotation(1, 5, 3)])
    picture(root / "valid" / "9.png")
    files = {"train": "annotations/instances_train2017.json", "test": "valid/_annotations.coco.json"}
    _, scenes = scenes_of(root, annotations=files)
    assert scenes["9"].split == "test" and scenes["9"].image == root / "valid" / "9.png" and len(scenes) == 4
    source, scenes = scenes_of(root, annotations="annotations/instances_val2017.json", images="train2017")
    assert [scene.image for scene in scenes.values()] == [root / "train2017" / "1.png"]
    assert [scene.split for scene in scenes.values()] == ["val"]
    with pytest.raises(FrostlineError, match="the key 'valid'"):
        Coco(root, annotations={"valid": "valid/_annotations.coco.json"})
    with pytest.raises(FrostlineError, match=r"\.\./root2 is no folder below"):
        (root.parent / "root2").mkdir()
        Coco(root, images="../root2")
    with pytest.raises(FrostlineError, match="nowhere is no folder below"):
        Coco(root, images=["nowhere"])


@pytest.mark.parametrize("region", [rectangle, plain, compressed])
def test_masks_are_painted_larger_first(tmp_path, region):
    scene = one(
        tmp_path,
        annotation(1, 1, 7, segmentation=region(5, 4, 9, 8)),  # listed first, yet it lies over the larger one
        annotation(2, 1, 3, segmentation=region(2, 1, 20, 15)),
        annotation(3, 1, 3, segmentation=region(22, 3, 28, 19), iscrowd=1),
    )
    expected = filled(2, 1, 20, 15) * 1
    expected[4:8, 5:9] = 2
    expected[3:19, 22:28] = 255
    assert scene.mask.dtype == np.uint8 and np.array_equal(scene.mask, expected)
    assert scene.box_labels.tolist() == [1, 0, 0] and not scene.faults
    assert scene.box_marks.tolist() == [COUNTED, COUNTED, CROWD] and scene.counted.tolist() == [True, True, False]


def test_all_polygons_of_an_object_count(tmp_path):
    scene = one(tmp_path, annotation(1, 1, 3, segmentation=rectangle(0, 0, 3, 3) + rectangle(10, 5, 12, 9)))
    assert np.array_equal(scene.mask, filled(0, 0, 3, 3) | filled(10, 5, 12, 9)) and scene.label == 0


def test_a_mask_needs_every_outline(root, tmp_path):
    assert (
        one(tmp_path / "b", annotation(1, 1, 7, segmentation=rectangle(1, 1, 5, 5)), annotation(2, 1, 3)).mask is None
    )
    write(root / "annotations" / "instances_val2017.json", [image(1, "1.png"), image(2, "val2017/1.png")],
          [annotation(1, 1, 3, segmentation=rectangle(1, 1, 5, 5))])  # fmt: skip
    source, scenes = scenes_of(root)
    assert source.classes.masks == ("background", "cat", "dog")
    assert scenes["1"].mask is None and scenes["1~1"].mask.sum() == 16 and not scenes["val2017-1"].mask.any()


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (annotation(9, 1, 4), "label_unknown"),
        (annotation(9, 1, [3]), "label_unknown"),
        (annotation(9, 1, 3, (1, 2, 3)), "annotation_unreadable"),
        (annotation(9, 1, 3, (1, 2, 3, 10**400)), "annotation_unreadable"),
        (annotation(9, 1, 3) | {"bbox": 7}, "annotation_unreadable"),
        (annotation(9, 1, 3, "abcd"), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[[1, 1, 4, 1]]), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[["a", 1, 4, 1, 2, 2]]), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[[1, 1, 1e9, 1, 1e9, 1e9]]), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[[1, 1, 4, float("nan"), 3, 3]]), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": [9, 9]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": [9, 10**9]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": [-5, 605]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": "oooooooooooooooo"}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [30, 20], "counts": [600]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"counts": [600]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": 20, "counts": [600]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": [2**32 + 600]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation={"size": [20, 30], "counts": [2**31, 2**31, 600]}), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[[0, 0, 29, 19, 0, 19] * 200]), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation=[[0, 0, 29, 19, 0, 19]] * 200), "annotation_unreadable"),
        (annotation(9, 1, 3, segmentation="outline"), "annotation_unreadable"),
    ],
)
def test_a_broken_annotation_is_a_fault(tmp_path, broken, kind):
    scene = one(tmp_path, annotation(8, 1, 7, segmentation=rectangle(1, 1, 5, 5)), broken)
    # Without an outline to read, there is no mask, and the box's fault comes alone.
    assert kinds(scene) == [kind] and "the annotation 9" in scene.faults[0].what
    assert scene.faults[0].file.name == "all.json" and scene.boxes.tolist()[0] == [1, 2, 4, 6]


def test_pictures_that_are_not_there(root):
    path = root / "annotations" / "instances_val2017.json"
    images = [image(1, "gone.png"), image(2, "../../secret.png"), {"id": 3}, image(4, "2.png", 10**6, 10**6)]
    outline = annotation(5, 4, 3, segmentation=rectangle(1, 1, 5, 5))
    write(path, images, [annotation(1, 99, 3), annotation(2, 99, 3), outline])
    picture(root.parent / "secret.png")
    scenes = [scene for scene in Coco(root).scenes() if scene.split == "val"]
    told = ["picture_missing", "path_outside", "annotation_unreadable", "picture_huge", "picture_missing"]
    assert [kinds(scene) for scene in scenes] == [[kind] for kind in told]
    assert "2 annotation(s) of the picture 99" in scenes[4].faults[0].what
    assert all(scene.image is None for number, scene in enumerate(scenes) if number != 3)


def test_more_outlines_than_can_be_painted_are_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("frostline.sources.coco.MOST_PAINT", 30 * 20 * 2)
    outlines = [annotation(n, 1, 7, segmentation=rectangle(1, 1, 5 + n, 5)) for n in range(3)]
    assert one(tmp_path / "few", *outlines[:2]).mask is not None
    scene = one(tmp_path / "many", *outlines)
    assert scene.mask is None and kinds(scene) == ["annotation_unreadable"] and len(scene.boxes) == 3


def test_annotations_of_the_turned_picture_and_of_the_stored_one(tmp_path):
    """The file's width and height tell which was annotated; by PIL's own transposition, both mean the same place."""
    mark = Image.fromarray(filled(2, 3, 9, 8) * 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("stored", "displayed"):
        (tmp_path / name / "images").mkdir(parents=True)
        mark.save(tmp_path / name / "images" / "a.jpg", exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "stored" / "images" / "a.jpg"))) > 128
    y, x = np.nonzero(turned)
    box = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    for name, size, (x0, y0, x1, y1) in (("stored", (30, 20), (2, 3, 9, 8)), ("displayed", (20, 30), box)):
        outline = annotation(1, 1, 7, (x0, y0, x1 - x0, y1 - y0), rectangle(x0, y0, x1, y1))
        write(tmp_path / name / "annotations" / "all.json", [image(1, "a.jpg", *size)], [outline])
        source = Coco(tmp_path / name)
        (scene,) = source.scenes()
        checked = check(scene, source.classes)
        record = checked.record
        assert record.boxes == [box] and np.array_equal(checked.mask > 0, turned), name
        assert [fault.kind for fault in record.faults] == ["picture_rotated"]


@pytest.mark.parametrize("side", [True, 0, -5, "30", None, 1.5, 10**400])
def test_a_size_that_is_none_is_that_of_the_picture(tmp_path, side):
    one(tmp_path)
    outline = annotation(1, 1, 7, segmentation=rectangle(1, 1, 5, 5))
    write(tmp_path / "annotations" / "all.json", [image(1, "a.png", side, 20)], [outline])
    (scene,) = Coco(tmp_path).scenes()
    assert scene.size is None and scene.mask.shape == (20, 30)


def test_a_name_at_two_places_is_nobodys(root):
    (root / "annotations" / "instances_train2017.json").rename(root / "annotations" / "instances.json")
    scenes = [scene for scene in Coco(root, annotations="annotations/instances.json").scenes()]
    assert [kinds(scene) for scene in scenes] == [["picture_missing"], [], []]


def test_a_file_without_annotations_says_nothing(root):
    content = {"images": [image(1, "1.png")], "categories": CATEGORIES}
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    assert scenes_of(root)[1]["1~1"].boxes is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "no list 'images'"),
        ('{"images": [3], "categories": []}', "no list 'images'"),
        ('{"images": [], "categories": [{"id": 1}]}', "without a usable id or name"),
        ('{"images": [{"id": [1]}], "categories": []}', "without a usable id or name"),
        ('{"images": [{"id": 1}, {"id": 1}], "categories": []}', "two pictures under one id"),
        ('{"images": [], "categories": [{"id": 3, "name": "cow"}]}', "calls the category 3 'cow'"),
        ('{"images": [], "categories": [{"id": "x", "name": "cow"}]}', "numbers some categories and spells others"),
    ],
)
def test_what_is_no_instance_file_is_told(root, text, what):
    (root / "annotations" / "instances_val2017.json").write_text(text)
    with pytest.raises(FrostlineError, match=what):
        Coco(root)


def test_missing_roots_are_told(tmp_path):
    with pytest.raises(FrostlineError, match="nowhere is not there"):
        Coco(tmp_path / "nowhere")
    with pytest.raises(FrostlineError, match="holds no JSON files of COCO's kind"):
        Coco(tmp_path)
    with pytest.raises(FrostlineError, match="gone.json cannot be read"):
        Coco(tmp_path, annotations="gone.json")
