"""The losses of boxes, against values reckoned by hand."""

import math

import pytest
import torch

from frostline.errors import FrostlineError


def centred(x0, y0, x1, y1):
    return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]


FOUND, TRUTH = (0.2, 0.2, 0.6, 0.6), (0.3, 0.2, 0.7, 1.0)
# Centres are 0.1 and 0.2 apart, heights 0.4; they share 0.3 x 0.4 of 0.16 + 0.32 - 0.12, in a hull of 0.5 x 0.8.
IOU = 0.12 / 0.36
GIOU = IOU - (0.4 - 0.36) / 0.4
ASPECT = 4 / math.pi**2 * (math.atan(0.4 / 0.8) - math.atan(1)) ** 2
CIOU = IOU - (0.1**2 + 0.2**2) / (0.5**2 + 0.8**2) - ASPECT**2 / (1 - IOU + ASPECT)


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("mse", (0.1**2 + 0.2**2 + 0.4**2) / 4),
        ("smooth_l1", ((0.1 - 0.05) + (0.2 - 0.05) + (0.4 - 0.05)) / 4),  # linear from 0.1 up, else it is half of mse
        ("giou", 1 - GIOU),
        ("ciou", 1 - CIOU),
    ],
)
def test_a_loss_is_what_is_reckoned_by_hand(make, name, lost):
    task = make("localization", f"task.box_loss={name}", "task.box_weight=2")
    batch = {
        "label": torch.tensor([0, 1]),
        "boxes": [torch.tensor([TRUTH]) * 64, torch.zeros(0, 4)],  # the second scene has none, and does not count
        "size": 64,
    }
    losses = task.criterion((torch.zeros(2, 3), torch.tensor([centred(*FOUND)] * 2)), batch)
    assert float(losses["box"]) == pytest.approx(2 * lost, abs=1e-5)
    assert float(losses["class"]) == pytest.approx(math.log(3), abs=1e-5)


@pytest.mark.parametrize("name", ["mse", "smooth_l1", "giou", "ciou"])
def test_a_box_without_a_size_has_a_loss_and_a_gradient(make, name):
    # Sigmoids underflow, and of 0 wide and 0 high CIoU takes the quotient.
    task = make("localization", f"task.box_loss={name}")
    box = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    batch = {"label": torch.tensor([0]), "boxes": [torch.tensor([TRUTH]) * 64], "size": 64}
    loss = task.criterion((torch.zeros(1, 3), box), batch)["box"]
    loss.backward()
    assert loss.isfinite() and box.grad.isfinite().all()


@pytest.mark.parametrize("name", ["giou", "ciou"])
def test_a_perfect_box_of_one_pixel_has_no_loss(make, name):
    # What the library adds to the union, so as not to divide by 0, is a tenth of a pixel's share of a large picture.
    task = make("localization", f"task.box_loss={name}", "task.box_weight=1")
    batch = {"label": torch.tensor([0]), "boxes": [torch.tensor([[500.0, 500, 501, 501]])], "size": 1000}
    found = torch.tensor([[0.5005, 0.5005, 0.001, 0.001]])
    assert float(task.criterion((torch.zeros(1, 3), found), batch)["box"]) == pytest.approx(0, abs=1e-3)


def test_one_class_leaves_the_box_in_question(make, batch):
    task = make("localization", classes=("cell",))
    metrics, batch = task.make_metrics(), {**batch, "label": torch.zeros(3, dtype=torch.long)}
    with torch.no_grad():
        predictions = task.predict(task.eval()(batch["image"]), batch)
    task.update(metrics, predictions, batch)
    values = metrics.compute()
    assert set(values) == {"iou", "iou50", "iou50_and_class"} and values["iou50"] == values["iou50_and_class"]


def test_one_class_is_nothing_to_classify(make):
    with pytest.raises(FrostlineError, match="tells classes apart, and there is one, cell"):
        make("classification", classes=("cell",))


@pytest.mark.parametrize("head", ["box", "pooled_box"])
def test_boxes_are_in_full_precision_whatever_the_rest_reckons_in(make, batch, head):
    task = make("localization", f"head={head}").eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        boxes = task(batch["image"])[1]
    assert boxes.dtype == torch.float32
    for part in (boxes[:, :2], boxes[:, 2:]):
        assert not torch.equal(part, part.bfloat16().float())  # nor was it rounded on the way
