"""What a test says of each scene."""

import pytest
import torch
from helpers.batches import detected, made_up

from frostline.config import compose, conf_dir
from frostline.runs.build import build_task

HEADS = sorted(path.stem for path in (conf_dir() / "head").glob("*.yaml"))
OWN = {"sliding_window", "fully_convolutional"}


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_of_a_scene_is_that_of_a_batch_of_it_alone(head):
    # Catches a mean over the batch, another scene's loss, and outputs that are of the whole batch.
    from tasks.test_one_of_each import task_of

    side = 256 if head == "pan" else 96
    own = ["backbone=small_cnn", "head.sizes=[64,96]"] if head in OWN else ["backbone.pretrained=false"]
    torch.manual_seed(0)
    task = build_task(compose([f"task={task_of(head)}", f"head={head}", f"image_size={side}", *own]), ("a", "b", "c"))
    task.eval()
    batch = made_up(3, side, 3)
    with torch.no_grad():
        for weights in task.model.head.parameters():  # some heads begin with zeros, and say the same of any picture
            weights += 0.02 * torch.randn_like(weights)
        outputs = task.answers(batch)
        together = list(task.scene_losses(outputs, batch))
        alone = []
        for n in range(3):
            one = {key: v[n : n + 1] if not isinstance(v, int) else v for key, v in batch.items()}
            alone.append(float(sum(task.losses(task.answers(one), one).values())))
    assert together == pytest.approx(alone, rel=1e-3)
    assert len({round(loss, 5) for loss in together}) == 3


def test_detections_say_at_which_overlaps_they_are_right(make):
    # Catches matches at one IoU taken for all, and a quality that forgets what was missed or is too much.
    task = make("detection")
    batch = {
        "boxes": [torch.tensor([[0.0, 0, 40, 40], [50, 50, 60, 60]])], "box_labels": [torch.tensor([0, 2])],
        "box_marks": [torch.zeros(2, dtype=torch.uint8)],
    }  # fmt: skip
    found = {
        "boxes": torch.tensor([[0.0, 0, 40, 30], [0, 0, 40, 40], [20, 0, 60, 40]]),
        "scores": torch.tensor([0.9, 0.8, 0.7]),
        "labels": torch.tensor([0, 0, 0]),
    }
    (row,) = task.rows([detected(found)], batch)
    to_075 = sum(1 << k for k in range(6))
    # The surest takes the box up to an IoU of 0.75; beyond, the second does.
    assert row["right"] == [to_075, 1023 - to_075, 0] and row["ignored"] == [0, 0, 0]
    assert row["objects"] == [0, 2] and row["classes"] == [0, 0, 0]
    assert row["quality"] == pytest.approx(1 / 4)  # one right, two wrong, one missed
    nothing = {key: value[:0] for key, value in found.items()}
    none = torch.zeros(0)
    empty = {"boxes": [torch.zeros(0, 4)], "box_labels": [none.long()], "box_marks": [none.byte()]}
    (row,) = task.rows([detected(nothing)], empty)
    assert row["quality"] is None and row["right"] == []
    # A box that counts neither way is no object, and to find it is neither right nor wrong.
    marked = {**batch, "box_marks": [torch.tensor([2, 0], dtype=torch.uint8)]}
    (row,) = task.rows([detected({key: value[1:2] for key, value in found.items()})], marked)
    assert row["right"] == [0] and row["ignored"] == [1023] and row["objects"] == [2]
    assert row["quality"] == 0  # the other one is missed
