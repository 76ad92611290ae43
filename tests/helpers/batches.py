import pytest
import torch

from frostline.config import compose
from frostline.runs.train import build_task

SIZE = 64
CLASSES = ("a", "b", "c")
TASKS = ["classification", "localization", "detection", "segmentation"]


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
