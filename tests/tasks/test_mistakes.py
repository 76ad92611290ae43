"""What is wrong with a prediction, the worst first; by hand for each task, and the same for any batches."""

import pytest
import pytorch_lightning as pl
import torch
from helpers.batches import classified, detected, located, segmented
from torch.utils.data import DataLoader

from frostline.predict.kinds import SURE as SHOWN
from frostline.scenes.scene import COUNTED, CROWD, DIFFICULT


def amounts(task, predictions, batch):
    return [mistake.amount for mistake in task.mistakes(predictions, batch)]


def words(task, predictions, batch):
    return [mistake.words for mistake in task.mistakes(predictions, batch)]


def test_a_confident_wrong_class_is_the_worst_and_a_right_one_no_mistake(make):
    # Catches ranking by the score of what was predicted, and by the loss alone: then the last, unsure but right, would
    # come before the second.
    task = make("classification", classes=("a", "b", "c"))
    predictions = torch.tensor([[0.93, 0.05, 0.02], [0.55, 0.44, 0.01], [0.02, 0.03, 0.95], [0.34, 0.33, 0.33]])
    batch = {"label": torch.tensor([1, 1, 2, 0])}
    predictions = classified(predictions)
    found = amounts(task, predictions, batch)
    assert found == pytest.approx([2.9957, 0.8210, 0, 0], abs=1e-4)  # -log 0.05, -log 0.44
    assert words(task, predictions, batch)[0] == "a 93%, is b"


def test_a_wrong_class_comes_before_a_poor_box(make):
    # Catches IoU alone, and an IoU of exactly 0.5 taken for a wrong box, which the metrics do not.
    task = make("localization")
    box = torch.tensor([0.25, 0.5, 0.5, 1.0])  # the left half
    half, less = torch.tensor([0.125, 0.5, 0.25, 1.0]), torch.tensor([0.1, 0.5, 0.2, 1.0])
    none = torch.tensor([0.75, 0.5, 0.5, 1.0])
    boxes = torch.stack([half, less, none, box, box, none])
    predictions = located(torch.eye(3)[[0, 0, 0, 0, 1, 1]], boxes, side=100)
    left = torch.tensor([[0.0, 0.0, 50.0, 100.0]])
    batch = {"label": torch.tensor([0, 0, 0, 0, 0, 0]), "boxes": [left] * 6, "size": 100}
    assert amounts(task, predictions, batch) == pytest.approx([0, 0.6, 1, 0, 1, 2])
    told = ["IoU 0.50", "IoU 0.40", "IoU 0.00", "IoU 1.00", "b, is a, IoU 1.00", "b, is a, IoU 0.00"]
    assert words(task, predictions, batch) == told
    batch["boxes"] = [left[:0], *batch["boxes"][1:]]
    assert amounts(task, predictions, batch)[:2] == pytest.approx([0, 0.6])  # what nobody boxed has no wrong box


def test_missed_boxes_and_the_scores_of_wrong_ones_are_counted(make):
    # Catches one true box that serves two predictions, a match across classes, and unlikely boxes that are counted.
    task = make("detection")
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [40.0, 0.0, 50.0, 10.0]])
    found = {
        "boxes": torch.cat([boxes[[0, 0, 1]], boxes[2:] + 40, boxes[2:]]),
        "scores": torch.tensor([0.8, 0.7, 0.6, 0.4, SHOWN - 0.01]),
        "labels": torch.tensor([0, 0, 1, 2, 2]),
    }
    batch = {"boxes": [boxes, boxes, boxes[:0]], "box_labels": [torch.tensor([0, 0, 2])] * 2 + [torch.zeros(0).long()]}
    batch["box_marks"] = [torch.zeros(len(each), dtype=torch.uint8) for each in batch["boxes"]]
    perfect = {"boxes": boxes, "scores": torch.full((3,), 0.5), "labels": torch.tensor([0, 0, 2])}
    nothing = {"boxes": boxes[:0], "scores": torch.zeros(0), "labels": torch.zeros(0).long()}
    found, perfect, nothing = map(detected, (found, perfect, nothing))
    # Of three, the second is called another class and the third too unlikely: 2 missed; 0.7, 0.6 and 0.4 are wrong.
    assert amounts(task, [found, perfect, nothing], batch) == pytest.approx([2 + 0.7 + 0.6 + 0.4, 0, 0])
    assert words(task, [found, perfect, nothing], batch) == ["missed 2 of 3, 3 too many", "", ""]
    assert words(task, [nothing, nothing, perfect], batch) == ["missed 3 of 3", "missed 3 of 3", "3 too many"]
    # What does not count is not missed, and to find it is no mistake.
    batch["box_marks"][1] = torch.tensor([COUNTED, DIFFICULT, CROWD])
    assert words(task, [found, perfect, nothing], batch)[1:] == ["", ""]
    assert words(task, [nothing, nothing, perfect], batch)[1] == "missed 1 of 1"


def test_the_worst_mask_has_the_least_mean_iou_over_what_occurs(make):
    # Catches pixel accuracy, by which the first would be better than the second, and classes that do not occur.
    task = make("segmentation", classes=("a", "b", "c"))
    truth = torch.zeros(4, 4, 4, dtype=torch.uint8)
    truth[0, 0, 0] = 1  # one pixel of b, not found: IoU 15 / 16 and 0
    truth[1, 2:] = 1
    truth[3] = 255
    found = torch.zeros_like(truth)
    found[1, 1:] = 1  # 4 of 8 pixels of a taken for b: IoU 4 / 8 and 8 / 12
    found[3] = 2
    batch = {"native_mask": list(truth)}
    assert amounts(task, segmented(found), batch) == pytest.approx([1 - 15 / 32, 1 - (4 / 8 + 8 / 12) / 2, 0, 0])
    assert words(task, segmented(found), batch)[:2] == ["mIoU 0.47, 100% of b as a", "mIoU 0.58, 50% of a as b"]


@pytest.mark.parametrize("name", ["classification", "localization", "detection", "segmentation"])
def test_the_worst_of_a_split_are_the_same_for_any_batch_size(make, name, monkeypatch):
    # Catches the worst of the last batch in place of the worst of the split, and places counted within a batch.
    from frostline.tasks.base import Mistake

    task = make(name)
    amounts = [0.0, 2.0, 0.5, 7.0, 0.0, 2.0, 1.0]
    monkeypatch.setattr(task, "_evaluate", lambda split, batch: (None, []))
    monkeypatch.setattr(task, "_finish", lambda split: {})
    monkeypatch.setattr(task, "scene_losses", lambda outputs, batch: batch["amount"].tolist())
    monkeypatch.setattr(task, "rows", lambda predictions, batch: [{} for _ in batch["id"]])
    monkeypatch.setattr(task, "mistakes", lambda predictions, batch: [Mistake(a, "") for a in batch["amount"].tolist()])
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    for size in (1, 3, 7):
        batches = [
            {"index": 10 * index, "id": [f"{n}" for n in index], "amount": torch.tensor(amounts)[index]}
            for index in torch.arange(7).split(size)
        ]
        trainer.test(task, DataLoader(batches, batch_size=None), verbose=False)
        assert task.tested.worst == [30, 10, 50, 60, 20]
