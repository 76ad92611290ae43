import pytest
import torch

from frostline.config import compose
from frostline.runs.build import build_task
from frostline.tasks.predictions import Classified, Detected, Located, Placement, Segmented

SIZE = 64
CLASSES = ("a", "b", "c")
TASKS = ["classification", "localization", "detection", "segmentation"]


def whole(side, scenes=1):
    """What `predict` reads of a batch whose pictures fill their squares as they are."""
    return {"size": side, "place": [(0, 0, side, side)] * scenes, "picture_size": [(side, side)] * scenes}


def classified(probabilities, classes=CLASSES):
    """Of (B, C)."""
    return [Classified(classes, one) for one in probabilities]


def located(probabilities, boxes, side=SIZE, classes=CLASSES):
    """Of (B, C), and (B, 4) centre x, centre y, width, height in 0..1."""
    return [Located(classes, p, b, Placement.of(whole(side), 0)) for p, b in zip(probabilities, boxes, strict=True)]


def detected(found, side=SIZE, classes=CLASSES):
    """Of a mapping with boxes (n, 4), scores and labels (n,)."""
    return Detected(classes, found["boxes"], found["scores"], found["labels"], Placement.of(whole(side), 0))


def segmented(masks, classes=CLASSES):
    """Of class numbers (B, h, w)."""
    return [Segmented(classes, mask) for mask in masks]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 56.0]]), torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 64.0, 64.0]])]
    mask = torch.arange(3).repeat_interleave(22)[:SIZE].expand(3, SIZE, SIZE).contiguous()  # three stripes
    return {
        "image": torch.rand(3, 3, SIZE, SIZE, generator=generator),
        "size": SIZE,
        "index": torch.arange(3),
        "id": ["x", "y", "z"],
        "label": torch.tensor([0, 1, 2]),
        "boxes": boxes,
        "box_labels": [torch.tensor([0]), torch.zeros(0, dtype=torch.long), torch.tensor([2])],
        "mask": mask,
        "native_mask": list(mask),
        "picture_size": [(SIZE, SIZE)] * 3,
        "place": [(0, 0, SIZE, SIZE)] * 3,
    }


@pytest.fixture
def make():
    def make(task: str, *overrides: str, classes=CLASSES):
        torch.manual_seed(0)
        return build_task(compose([f"task={task}", f"image_size={SIZE}", *overrides]), classes)

    return make
