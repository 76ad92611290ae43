"""Tiny sources and datasets, drawn on the fly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import Classes, Scene
from frostline.sources.base import Source

CLASSES = Classes(labels=("a", "b"), boxes=("x", "y"), masks=("back", "front"))


@dataclass
class Listed(Source):
    """A source that is a list."""

    found: list[Scene]
    classes: Classes = CLASSES

    def scenes(self) -> Iterable[Scene]:
        return iter(self.found)


def noise(seed: int, width: int = 32, height: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def drawn_scenes(count: int, classes: int = 2) -> list[Scene]:
    """Scenes with everything annotated, each with one box (the mask's rectangle) of its label's class."""
    scenes = []
    for number in range(count):
        pixels = noise(number) // 4
        x, y, w, h = 2 + number % 9, 1 + number % 5, 12, 10
        pixels[y : y + h, x : x + w] = 250
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[y : y + h, x : x + w] = 1
        label = number % classes
        boxes = np.array([[x, y, x + w, y + h]], np.float32)
        scenes.append(Scene(f"s{number:03}", pixels, label, boxes, np.array([label]), mask))
    return scenes


@pytest.fixture(scope="session")
def listed() -> type[Listed]:
    return Listed


@pytest.fixture(scope="session")
def drawn() -> Callable[..., list[Scene]]:
    return drawn_scenes


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 scenes, of which every fourth has no boxes and one has an empty set of them."""
    scenes = []
    for number, scene in enumerate(drawn_scenes(40)):
        boxes, labels = (None, None) if number % 4 == 0 else (scene.boxes, scene.box_labels)
        if number == 5:
            boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        scenes.append(Scene(scene.id, scene.image, scene.label, boxes, labels, scene.mask))
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    return prepare(Listed(scenes), tmp_path_factory.mktemp("drawn") / "drawn", name="drawn", split=shares)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder per class, a and b, with ten pictures each."""
    for number in range(20):
        path = tmp_path / "root" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(path)
    return tmp_path / "root"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real photographs beside the project, where a machine has them."""
    path = Path(__file__).parents[3] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no real pictures beside the project (../shared/data)")
    return path
