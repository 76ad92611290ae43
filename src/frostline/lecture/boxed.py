"""Pictures with boxes, and short runs on them, for the parts of the lecture that are about boxes."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

from frostline.lecture.material import Material, material
from frostline.lecture.page import Lacking
from frostline.lecture.training import Few, Trained, few, trained
from frostline.loading.batch import Pictures
from frostline.loading.module import SceneLoader
from frostline.metrics.detection import Boxes
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS, Classes, Scene
from frostline.tasks.detection import Detection

LOOKED_AT = 50  # test pictures
SEEN, APART = 8, 0.1  # pixels of a side, and an IoU: of boxes that can be seen, each by itself
MOST = {"train": 400, "val": 120, "test": 200}  # scenes of a run, as many as the meadow has
# Kept activations are read back, so that an epoch takes a part of a second.
FROZEN = ("augment=none", "schedule=frozen")

Named = tuple[str, tuple[float, ...]]  # a box: its class, and x0 y0 x1 y1


@dataclass(frozen=True)
class Boxed:
    """Pictures with boxes. overrides: of a run on them. drawn: whether they are the meadow as it is, so that one knows
    how well it goes. why: a sentence, where they are not the reader's."""

    dataset: Dataset
    overrides: tuple[str, ...]
    drawn: bool
    why: str

    def run(self, folder: Path, name: str, *overrides: str) -> Trained:
        """A run of this name on them, of a frozen network, in `folder`."""
        return trained(self.dataset, [*self.overrides, *FROZEN, *overrides], folder, name)


def boxed(own: Material, needs: Collection[str], folder: Path) -> Boxed:
    """Some of the reader's pictures, where each split has what a task needs, or else the drawn ones."""
    why = ""
    try:
        found = few(own.dataset, needs, folder, MOST)
    except Lacking as error:
        why = f"{error} What follows is drawn with the meadow."
        own = material([])
        found = few(own.dataset, needs, folder, MOST)
    return Boxed(found, tuple(own.overrides), own.drawn, why)


class Unboxed(Few):
    """A few scenes with their labels and masks, as if nobody had drawn a box."""

    def __init__(self, dataset: Dataset, most: Mapping[str, int]) -> None:
        super().__init__(dataset, {"mask"}, most)
        self.classes = Classes(labels=dataset.classes.labels, masks=dataset.classes.masks)

    def scenes(self) -> Iterator[Scene]:
        for scene in super().scenes():
            yield replace(scene, boxes=None, box_labels=None, box_marks=None)


def first_box(own: Material, side: int) -> Tensor:
    """x0 y0 x1 y1 in whole pixels of the square: the first box of the first test picture, or, where that has none that
    can be seen, one in its middle."""
    for scene in _looked_at(own)[:1]:
        boxes = _in_square(scene, side)[:1].round()
        if len(boxes) and float((boxes[0, 2:] - boxes[0, :2]).min()) >= SEEN:
            return boxes[0]
    return torch.tensor([0.25, 0.2, 0.7, 0.8]).mul(side).round()


def two_things(own: Material, side: int) -> tuple[Tensor, Tensor]:
    """A picture (3, side, side) in 0..1 and two boxes (2, 4) on it, in pixels: of the first test pictures that with the
    largest second box that hardly overlaps the first; where none has two, the first picture, and boxes of nothing."""
    found, chosen, most = None, torch.tensor([[0.15, 0.3, 0.55, 0.8], [0.6, 0.15, 0.9, 0.45]]) * side, float(SEEN**2)
    for scene in _looked_at(own):
        boxes = _in_square(scene, side)[:2]
        if len(boxes) == 2 and float(box_iou(boxes[:1], boxes[1:])) < APART:
            second = float(box_area(boxes).min())
            if second > most:
                found, chosen, most = scene, boxes, second
    if found is None:
        return own.pictures(1, side)[0].float() / 255, chosen
    return torch.from_numpy(own.square(found, side)).permute(2, 0, 1).float() / 255, chosen


def _looked_at(own: Material) -> list[Scene]:
    try:
        return list(own.scenes()[:LOOKED_AT])
    except Lacking:  # there are pictures, but no split of them
        return []


def _in_square(scene: Scene, side: int) -> Tensor:
    """Its boxes (n, 4) in pixels of the square that it is stretched to; none where nobody has annotated any."""
    if scene.boxes is None or scene.size is None:
        return torch.zeros(0, 4)
    return torch.from_numpy(scene.boxes) / torch.tensor(scene.size * 2) * side


def candidates(things: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Boxes (9, 4) as a detector gives them for two things (2, 4) in the square, and scores (9,): four around the one,
    three around the other, and two of low scores."""
    off = torch.tensor([[0, 0, 0, 0], [0.1, -0.06, 0.12, 0.02], [-0.1, 0.04, -0.04, 0.1], [0.04, 0.1, 0.02, 0.14]])
    extents = (things[:, 2:] - things[:, :2]).repeat(1, 2)
    around = [thing + part * extent for thing, extent, part in zip(things, extents, (off, off[:3]), strict=True)]
    strays = torch.tensor([[0.03, 0.66, 0.2, 0.86], [0.76, 0.1, 0.97, 0.25]]) * side
    scores = torch.tensor([0.94, 0.88, 0.71, 0.66, 0.83, 0.75, 0.52, 0.31, 0.12])
    return torch.cat([*around, strays]).clamp(0, side), scores


def batches_of(loader: SceneLoader) -> list[Pictures]:
    """All of its batches, which are of pictures, as no run has told it to take activations."""
    return [cast(Pictures, batch) for batch in loader]


def boxes_of(batches: Iterable[Pictures]) -> Tensor:
    """All boxes (n, 4) in them."""
    return torch.cat([boxes for batch in batches for boxes in batch["boxes"]])


def named_boxes(dataset: Dataset) -> dict[str, set[Named]]:
    """Those of each scene that somebody annotated, by its id."""
    names, found = dataset.classes.boxes or (), {}
    for scene in (scene for split in SPLITS for scene in dataset.scenes(split)):
        if scene.boxes is not None and scene.box_labels is not None:
            rows = zip(scene.boxes.tolist(), scene.box_labels.tolist(), strict=True)
            found[scene.id] = {(names[label], tuple(box)) for box, label in rows}
    return found


def redraw(content: dict[str, Any], scene: str, boxes: Collection[Named]) -> None:
    """In the content of a file of COCO's layout, give a picture these boxes in place of its own."""
    (picture,) = (each["id"] for each in content["images"] if Path(each["file_name"]).stem == scene)
    numbers = {each["name"]: each["id"] for each in content["categories"]}
    first = 1 + max(each["id"] for each in content["annotations"])
    others = [each for each in content["annotations"] if each["image_id"] != picture]
    content["annotations"] = others + [
        {
            "id": number,
            "image_id": picture,
            "category_id": numbers[name],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
        for number, (name, (x0, y0, x1, y1)) in enumerate(sorted(boxes), first)
    ]


def scene_of(dataset: Dataset, name: str) -> Scene:
    """The scene with this id."""
    return next(scene for split in SPLITS for scene in dataset.scenes(split) if scene.id == name)


@torch.no_grad()
def found_and_true(task: Detection, batches: Iterable[Pictures]) -> tuple[list[Boxes], list[Boxes]]:
    """What is predicted for each scene of some batches, and what is there; all true boxes count."""
    found: list[Boxes] = []
    truth: list[Boxes] = []
    for batch in batches:
        for one in task.predict(task(batch["image"]), batch):
            arrays = {"boxes": one.in_square, "scores": one.scores, "labels": one.labels}
            found.append({name: torch.from_numpy(values) for name, values in arrays.items()})
        rows = zip(batch["boxes"], batch["box_labels"], strict=True)
        truth += [{"boxes": boxes, "labels": labels} for boxes, labels in rows]
    return found, truth
