"""Pictures that EXIF turns: boxes come to where they were drawn, whichever size their file states."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from frostline.checking.scene import check
from frostline.errors import FrostlineError
from frostline.parsing.turned import Turned
from frostline.sources.coco import Coco
from frostline.sources.createml import CreateMl
from frostline.sources.csv_manifest import CsvManifest
from frostline.sources.cvat import Cvat
from frostline.sources.label_studio import LabelStudio
from frostline.sources.labelme import Labelme
from frostline.sources.open_images import OpenImages
from frostline.sources.voc import Voc
from frostline.sources.yolo import Yolo

STORED = (60, 40)
SHOWN = STORED[::-1]
DRAWN = (4, 44, 20, 58)  # on the picture as shown, below the stored height
INNER = (4, 10, 20, 30)  # within both sizes


def photo(path, box, orientation=6):
    """A picture, stored 60 x 40, that shows a white box where it was drawn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = np.zeros((*SHOWN[::-1], 3), np.uint8)
    shown[box[1] : box[3], box[0] : box[2]] = 255
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(shown).transpose(back).save(path, exif=exif, quality=95)
    assert Image.open(path).size == STORED and ImageOps.exif_transpose(Image.open(path)).size == SHOWN


def xyxy(box):
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def coco(root, size, boxes, contributor=None):
    """Each box on a photograph of its own; `size` is the one that the file states."""
    images, annotations = [], []
    for number, (drawn, written) in enumerate(boxes):
        photo(root / "images" / f"{number}.jpg", drawn, 6 + 2 * (number % 2))
        images.append({"id": number, "file_name": f"{number}.jpg", "width": size[0], "height": size[1]})
        x0, y0, x1, y1 = written
        outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
        common = {"iscrowd": 0, "category_id": 1, "segmentation": outline, "bbox": xyxy(written)}
        annotations.append(common | {"id": number, "image_id": number})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    content["info"] = {"contributor": contributor}
    (root / "result.json").write_text(json.dumps(content))
    return root


def stored(box, orientation):
    """A box of the picture as shown, as it lies on the one that is stored."""
    x0, y0, x1, y1 = box
    width, height = STORED
    return (y0, height - x1, y1, height - x0) if orientation == 6 else (width - y1, x0, width - y0, x1)


def white(scene, source):
    """Whether each box and mask, once checked, covers what is white, within JPEG's seams."""
    checked = check(scene, source.classes)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(scene.image)).convert("L")) > 128
    y, x = np.nonzero(shown)
    around = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    near = bool(checked.record.boxes) and np.abs(np.subtract(checked.record.boxes[0], around)).max() <= 1
    kinds = {fault.kind for fault in checked.record.faults}
    return (
        bool(near) and (checked.mask is None or (checked.mask == shown).mean() > 0.98) and kinds == {"picture_rotated"}
    )


def test_boxes_of_the_shown_picture_beside_the_stored_size(tmp_path):
    """One box that leaves the stored size tells of all, also of those that lie within both."""
    source = Coco(coco(tmp_path, STORED, [(DRAWN, DRAWN), (INNER, INNER), (INNER, INNER)]))
    assert [white(scene, source) for scene in source.scenes()] == [True] * 3
    (note,) = source.notes
    assert "'0.jpg', leave the stored size" in note and "dataset.source.turned=stored" in note


def test_boxes_of_the_stored_picture_beside_the_shown_size(tmp_path):
    boxes = [(DRAWN, stored(DRAWN, 6)), (INNER, stored(INNER, 8))]
    source = Coco(coco(tmp_path, SHOWN, boxes))
    assert [white(scene, source) for scene in source.scenes()] == [True] * 2
    assert "leave the shown size" in source.notes[0]


@pytest.mark.parametrize("size", [STORED, SHOWN])
def test_a_size_that_agrees_is_believed(tmp_path, size):
    boxes = [(box, box if size == SHOWN else stored(box, 6 + 2 * at)) for at, box in enumerate((DRAWN, INNER))]
    source = Coco(coco(tmp_path, size, boxes))
    assert all(white(scene, source) for scene in source.scenes()) and not source.notes


def test_one_slip_outweighs_no_pictures_that_agree(tmp_path):
    """A box drawn beyond the edge of one picture, among others that fit the stated size alone."""
    wide = (4, 2, 20, 18)
    boxes = [(DRAWN, stored(DRAWN, 6)), (wide, stored(wide, 8)), (DRAWN, DRAWN)]
    source = Coco(coco(tmp_path, STORED, boxes))
    assert not source.notes and all(white(scene, source) for scene in list(source.scenes())[:2])


def test_the_mark_of_label_studio_is_enough(tmp_path):
    source = Coco(coco(tmp_path, STORED, [(INNER, INNER)], "Label Studio"))
    assert all(white(scene, source) for scene in source.scenes())
    assert "as Label Studio gives them beside the stored size" in source.notes[0]


def test_the_setting_decides(tmp_path):
    coco(tmp_path, STORED, [(DRAWN, DRAWN), (INNER, stored(INNER, 8))])
    for rule, right in (("stored", [False, True]), ("shown", [True, False])):
        source = Coco(tmp_path, turned=rule)
        assert [white(scene, source) for scene in source.scenes()] == right and not source.notes
    faults = check(next(iter(Coco(tmp_path, turned="stored").scenes())), source.classes).record.faults
    (outside,) = [fault for fault in faults if fault.kind == "box_outside"]
    assert "dataset.source.turned=shown reads it so" in outside.what


def test_voc_and_yolo_take_the_setting_too(tmp_path):
    photo(tmp_path / "a.jpg", DRAWN)
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), DRAWN, strict=True)
    )
    size = f"<size><width>{STORED[0]}</width><height>{STORED[1]}</height></size>"
    box = f"<object><name>dog</name><bndbox>{corners}</bndbox></object>"
    (tmp_path / "a.xml").write_text(f"<annotation>{size}{box}</annotation>")
    source = Voc(tmp_path, corners="zero_based")
    assert all(white(scene, source) for scene in source.scenes()) and "leave the stored size" in source.notes[0]
    x0, y0, x1, y1 = stored(DRAWN, 6)
    shares = [(x0 + x1) / 2 / 60, (y0 + y1) / 2 / 40, (x1 - x0) / 60, (y1 - y0) / 40]
    (tmp_path / "a.txt").write_text(f"0 {' '.join(map(str, shares))}\n")
    source = Yolo(tmp_path, classes=["dog"], turned="stored")
    assert all(white(scene, source) for scene in source.scenes())
    assert not white(next(Yolo(tmp_path, classes=["dog"]).scenes()), source)


def as_csv(root, name, size, box):
    cells = ",".join(map(str, [name, *size, "dog", *box]))
    (root / "boxes.csv").write_text(f"filename,width,height,class,xmin,ymin,xmax,ymax\n{cells}\n")
    return CsvManifest


def as_cvat(root, name, size, box):
    corners = " ".join(f'{key}="{value}"' for key, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    picture = f'<image name="{name}" width="{size[0]}" height="{size[1]}"><box label="dog" {corners}/></image>'
    (root / "a.xml").write_text(f"<annotations>{picture}</annotations>")
    return Cvat


def as_labelme(root, name, size, box):
    shape = {"label": "dog", "shape_type": "rectangle", "points": [box[:2], box[2:]]}
    content = {"imagePath": name, "imageWidth": size[0], "imageHeight": size[1], "shapes": [shape]}
    (root / "a.json").write_text(json.dumps(content))
    return Labelme


def as_createml(root, name, size, box):
    x0, y0, x1, y1 = box
    where = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}
    (root / "a.json").write_text(json.dumps([{"image": name, "annotations": [{"label": "dog", "coordinates": where}]}]))
    return CreateMl


def as_open_images(root, name, size, box):
    shares = [value / size[at % 2] for at, value in enumerate(box)]
    head = "ImageID,LabelName,XMin,YMin,XMax,YMax"
    (root / "boxes.csv").write_text(f"{head}\n{name},dog,{','.join(map(str, shares))}\n")
    return OpenImages


def as_label_studio(root, name, size, box):
    x, y, width, height = xyxy(box)
    value = {"x": 100 * x / size[0], "y": 100 * y / size[1], "rectanglelabels": ["dog"]}
    value |= {"width": 100 * width / size[0], "height": 100 * height / size[1]}
    region = {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    task = {"id": 1, "data": {"image": name}, "annotations": [{"id": 1, "result": [region]}]}
    (root / "a.json").write_text(json.dumps([task]))
    return LabelStudio


SIZED = (as_csv, as_cvat, as_labelme)  # which state a size


@pytest.mark.parametrize("write", [*SIZED, as_createml, as_open_images, as_label_studio])
def test_the_tools_files_take_the_setting_too(tmp_path, write):
    photo(tmp_path / "a.jpg", DRAWN)
    make = write(tmp_path, "a.jpg", STORED, stored(DRAWN, 6))
    source = make(tmp_path, turned="stored")
    assert [white(scene, source) for scene in source.scenes()] == [True]
    assert not white(next(iter(make(tmp_path, turned="shown").scenes())), source)


@pytest.mark.parametrize("write", SIZED)
def test_sizes_of_the_tools_files_that_boxes_contradict_are_told(tmp_path, write):
    photo(tmp_path / "a.jpg", DRAWN)
    source = write(tmp_path, "a.jpg", STORED, DRAWN)(tmp_path)
    assert [white(scene, source) for scene in source.scenes()] == [True]
    assert any("leave the stored size" in note for note in source.notes)


def test_another_rule_is_refused():
    with pytest.raises(FrostlineError, match="dataset.source.turned is 'left': set it to auto, shown, stored"):
        Turned("left", ())
