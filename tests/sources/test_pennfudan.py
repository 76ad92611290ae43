import numpy as np
import pytest
from PIL import Image

from frostline.errors import FrostlineError
from frostline.sources.pennfudan import PennFudan


@pytest.fixture(params=[".", "PennFudanPed"])
def root(tmp_path, request):
    base = tmp_path / "root" / request.param
    for folder in ("PNGImages", "PedMasks"):
        (base / folder).mkdir(parents=True)
    for name in ("FudanPed00001", "PennPed00001", "PennPed00002"):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(base / "PNGImages" / f"{name}.png")
        mask = np.zeros((20, 30), np.uint8)
        if name == "FudanPed00001":
            mask[2:9, 4:7] = 2
            mask[5:20, 10:30] = 1
            mask[6, 12] = 0
        image = Image.fromarray(mask)
        if name == "FudanPed00001":
            image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])  # as the real ones have it
        image.save(base / "PedMasks" / f"{name}_mask.png")
    return base


def scenes_of(root):
    source = PennFudan(root)
    return source, {scene.id: scene for scene in source.scenes()}


def test_each_number_is_a_person(root):
    source, scenes = scenes_of(root)
    assert source.classes.boxes == ("pedestrian",) and source.classes.masks == ("background", "pedestrian")
    assert list(scenes) == ["FudanPed00001", "PennPed00001", "PennPed00002"] and "boxes" in source.derived
    scene = scenes["FudanPed00001"]
    assert scene.boxes.tolist() == [[10, 5, 30, 20], [4, 2, 7, 9]] and scene.boxes.dtype == np.float32
    assert scene.box_labels.tolist() == [0, 0]
    assert scene.mask == root / "PedMasks" / "FudanPed00001_mask.png"
    assert [scene.mask_map[value] for value in (0, 1, 2, 254)] == [0, 1, 1, 1] and 255 not in scene.mask_map
    assert scenes["PennPed00001"].boxes.shape == (0, 4)
    assert not any(scene.faults for scene in scenes.values())
    assert len(list(PennFudan(root.parent if root.name == "PennFudanPed" else root).scenes())) == 3


def test_what_has_no_partner_is_told(root):
    (root / "PNGImages" / "PennPed00001.png").unlink()
    (root / "PedMasks" / "PennPed00002_mask.png").unlink()
    _, scenes = scenes_of(root)
    told = {name: [(fault.kind, fault.file.name) for fault in scene.faults] for name, scene in scenes.items()}
    assert told == {
        "FudanPed00001": [],
        "PennPed00001": [("picture_missing", "PennPed00001_mask.png")],
        "PennPed00002": [("annotation_missing", "PennPed00002.png")],
    }
    assert scenes["PennPed00002"].boxes is None and scenes["PennPed00002"].mask is None


def test_a_broken_mask_has_no_boxes_and_goes_to_the_check(root):
    path = root / "PedMasks" / "PennPed00001_mask.png"
    path.write_bytes(path.read_bytes()[:40])
    Image.fromarray(np.full((20, 30, 3), (9, 0, 0), np.uint8)).save(root / "PedMasks" / "PennPed00002_mask.png")
    _, scenes = scenes_of(root)
    for name in ("PennPed00001", "PennPed00002"):
        assert scenes[name].boxes is None and scenes[name].mask is not None and not scenes[name].faults


def test_other_layouts_are_told(tmp_path):
    with pytest.raises(FrostlineError, match="no folder 'PNGImages'"):
        PennFudan(tmp_path)
