"""A list of one element stays a list: one class, one scene in a split, one scene with a mistake; each task, each head.

The trap: torchmetrics makes a bare number of every tensor with one element that `compute` gives.
"""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from frostline.config import compose, conf_dir
from frostline.loading.batch import made_up
from frostline.runs.build import build_task, class_of

SIDE = 96
TASK_OF = {"scores": "classification", "scores and box": "localization", "boxes": "detection", "pixels": "segmentation"}
OWN_BACKBONE = {"sliding_window", "fully_convolutional"}


def task_of(head):
    import yaml

    return TASK_OF[class_of(yaml.safe_load((conf_dir() / "head" / f"{head}.yaml").read_text())["_target_"]).gives]


def batch_of_one(classes, side):
    """One scene that no untrained model predicts rightly; its class is the last."""
    mask = torch.full((1, side, side), classes - 1)
    mask[:, : side // 2] = 255
    return made_up(1, side) | {
        "index": torch.tensor([4]),
        "label": torch.tensor([classes - 1]),
        "boxes": [torch.tensor([[1.0, 1.0, 5.0, 95.0]])],
        "box_labels": [torch.tensor([classes - 1])],
        "box_marks": [torch.zeros(1, dtype=torch.uint8)],
        "mask": mask,
        "native_mask": list(mask.byte()),
    }


def outcome(name, classes, *overrides, side=SIDE):
    torch.manual_seed(0)
    task = build_task(compose([f"task={name}", f"image_size={side}", *overrides]), classes)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(task, DataLoader([batch_of_one(len(classes), side)], batch_size=None), verbose=False)
    return task.tested


@pytest.mark.parametrize("head", sorted(path.stem for path in (conf_dir() / "head").glob("*.yaml")))
def test_one_class_and_one_scene(head):
    name = task_of(head)
    backbone = ["backbone=small_cnn", "head.sizes=[64,96]"] if head in OWN_BACKBONE else ["backbone.pretrained=false"]
    classes = ("only",) if name != "classification" else ("other", "only")
    found = outcome(name, classes, f"head={head}", *backbone, side=256 if head == "pan" else SIDE)
    assert all(set(values) == set(classes) for values in found.by_class.values())
    if name in ("detection", "segmentation"):
        assert found.by_class  # some are told
    if name == "segmentation":
        assert found.confusion is not None and len(found.confusion) == len(found.confusion[0]) == 1
    if name == "detection":
        assert found.curve is not None and found.curve.ndim == 3
    assert isinstance(found.worst, list)


@pytest.mark.parametrize("name", ["classification", "localization", "detection", "segmentation"])
def test_one_wrong_scene_is_a_list_of_one(name):
    # Of three classes, so that something else can be said; a missed box is a mistake in any case.
    unsure = ["task.min_score=0.9"] if name == "detection" else []
    assert outcome(name, ("a", "b", "c"), "backbone.pretrained=false", *unsure).worst == [4]
