"""Layouts as people have them, drawn by the script beside the project: each is read, every object with its box."""

import numpy as np
import pytest
from helpers.cases import case

from frostline.sources.coco import Coco
from frostline.sources.voc import Voc
from frostline.sources.yolo import Yolo

ROWS = [
    # case, source, scenes, boxes in each, classes, scenes by split
    ("robo", Coco, 28, None, ("apple", "pear"), {"train": 16, "val": 6, "test": 6}),
    ("bgco", Coco, 24, None, ("disc", "box"), {None: 24}),
    ("winco", Coco, 20, None, None, {None: 20}),
    ("yolo_case", Yolo, 28, 2, ("disc", "box"), {"train": 16, "val": 6, "test": 6}),
    ("yolo_part", Yolo, 44, 2, ("disc", "box"), {"train": 32, "val": 6, "test": 6}),
    ("yolo_TXT", Yolo, 28, 2, ("disc", "box"), {"train": 16, "val": 6, "test": 6}),
    ("yolo_str", Yolo, 28, 2, ("disc", "box"), {"train": 16, "val": 6, "test": 6}),
    ("yolo_gap", Yolo, 28, None, ("disc", "box", "ring"), {"train": 16, "val": 6, "test": 6}),
    ("yolo_name", Yolo, 28, 2, ("disc", "box"), {"train": 16, "val": 6, "test": 6}),
    ("voc_mixed", Voc, 28, 2, ("box", "disc"), {None: 28}),
    ("voc_labelimg", Voc, 28, 2, ("box", "disc"), {None: 28}),
    ("voc_beside", Voc, 28, 2, ("box", "disc"), {None: 28}),
    ("voc_nolists", Voc, 28, 2, ("box", "disc"), {None: 28}),
    ("voc_fractions", Voc, 28, 2, ("box", "disc"), {"train": 16, "val": 6, "test": 6}),
]


@pytest.mark.parametrize(("name", "read", "count", "boxes", "classes", "splits"), ROWS)
def test_every_scene_has_its_boxes(tmp_path, name, read, count, boxes, classes, splits):
    root = case(name, tmp_path)
    source = read(root)
    scenes = list(source.scenes())
    assert len(scenes) == count == len({scene.image for scene in scenes}) and not any(scene.faults for scene in scenes)
    assert boxes is None or {len(scene.boxes) for scene in scenes} == {boxes}
    assert classes is None or source.classes.boxes == classes
    by_split = {split: sum(scene.split == split for scene in scenes) for split in {scene.split for scene in scenes}}
    assert by_split == splits
    if name == "bgco":
        assert source.classes.masks == ("background", "disc", "box")
        assert set(np.unique(np.concatenate([scene.mask.ravel() for scene in scenes]))) == {0, 1, 2}
    if name == "yolo_gap":
        assert sum((scene.box_labels == 2).sum() for scene in scenes) == 3
        assert "no name for the number 2" in source.notes[0]
    if name == "yolo_name":
        assert len(list(Yolo(root / "shapes.yaml").scenes())) == 28
    if name == "voc_fractions":
        (scene,) = [scene for scene in scenes if scene.image.stem == "train00"]
        assert [12.25, 22.5, 44.75, 54.5] in scene.boxes.tolist()
        assert "counted from 0: 56 of 56 boxes have corners with fractions" in source.notes[0]
    if name == "winco":
        assert len({scene.image for scene in scenes if "camA" in str(scene.image)}) == 10
