import pytest
import torch

from frostline.config import compose
from frostline.loading.batch import made_up
from frostline.predict.kinds import Classified, Detected, Located, Placement, Segmented
from frostline.runs.build import build_task

SIZE = 64
CLASSES = ("a", "b", "c")
TASKS = ["classification", "localization", "detection", "segmentation"]


def whole(side, scenes=1):
    """What `predict` reads of a batch whose pictures fill their squares as they are."""
    return {"size": side, "place": [(0, 0, side, side)] * scenes, "picture_size": [(side, side)] * scenes}


def classified(probabilities, classes=CLASSES):
    """Of (B, C)."""
    return [Classified(classes, one) for one in probabilities.numpy()]


def located(probabilities, boxes, side=SIZE, classes=CLASSES):
    """Of (B, C), and (B, 4) centre x, centre y, width, height in 0..1."""
    pairs = zip(probabilities.numpy(), boxes.numpy(), strict=True)
    return [Located(classes, shares, box, Placement.of(whole(side), 0)) for shares, box in pairs]


def detected(found, side=SIZE, classes=CLASSES):
    """Of a mapping with boxes (n, 4), scores and labels (n,)."""
    arrays = [found[name].numpy() for name in ("boxes", "scores", "labels")]
    return Detected(classes, *arrays, Placement.of(whole(side), 0))


def segmented(masks, classes=CLASSES):
    """Of class numbers (B, h, w)."""
    return [Segmented(classes, mask) for mask in masks.numpy()]


@pytest.fixture
def batch():
    """Three scenes, of which one has no box and another a box over all of it."""
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 56.0]]), torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 64.0, 64.0]])]
    labels = [torch.tensor([0]), torch.zeros(0, dtype=torch.long), torch.tensor([2])]
    marks = [torch.zeros(len(each), dtype=torch.uint8) for each in labels]
    found = {"id": ["x", "y", "z"], "boxes": boxes, "box_labels": labels, "box_marks": marks}
    return made_up(3, SIZE, len(CLASSES)) | found


@pytest.fixture
def make():
    def make(task: str, *overrides: str, classes=CLASSES):
        torch.manual_seed(0)
        return build_task(compose([f"task={task}", f"image_size={SIZE}", *overrides]), classes)

    return make
