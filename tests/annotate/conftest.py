"""Small prepared datasets: one as flowers have it, with labels and masks alone, and one with boxes."""

import numpy as np
import pytest
from helpers.drawn import Listed

from frostline.checking.prepare import prepare
from frostline.scenes.scene import SPLITS, Classes, Scene

WIDTH, HEIGHT = 60, 40


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    """12 scenes f00 … f11 with labels; even ones have a mask of one flower and a speck, f04's is empty."""
    scenes = []
    for number in range(12):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        if number != 4:
            mask[5 : 25 + number, 10:40] = 1
            mask[0, 0] = 1
        mask = mask if number % 2 == 0 else None
        split = ("train", "train", "val", "val", "test", "test")[number % 6]
        scenes.append(Scene(f"f{number:02}", noise(number), label=number % 2, mask=mask, split=split))
    source = Listed(scenes, Classes(labels=("rose", "tulip"), masks=("background", "flower")))
    folder = tmp_path_factory.mktemp("flowers") / "flowers"
    return prepare(source, folder, name="flowers", split={"given": True})


@pytest.fixture(scope="session")
def boxed(tmp_path_factory):
    """15 scenes b00 … b14 with boxes at odd places; b03 has none by annotation, b04 and b05 were never annotated.

    From b09 on some are crowds or difficult.
    """
    rng = np.random.default_rng(0)
    scenes = []
    for number in range(15):
        count = 1 + number % 3
        low = rng.uniform(0, 25, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(0.4, 15, (count, 2))], 1).astype(np.float32)
        labels = (np.arange(count) + number // 3) % 2
        if number == 0:
            boxes[0] = [0, 0, WIDTH, HEIGHT]
        if number == 3:
            boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        if number in (4, 5):
            boxes = labels = None
        marks = ((np.arange(count) + number) % 3).astype(np.uint8) if number >= 9 else None
        split, found = SPLITS[number % 3], {"boxes": boxes, "box_labels": labels, "box_marks": marks}
        scenes.append(Scene(f"b{number:02}", noise(100 + number), split=split, **found))
    source = Listed(scenes, Classes(boxes=("zebra", "ant")))
    return prepare(source, tmp_path_factory.mktemp("boxed") / "boxed", name="boxed", split={"given": True})
