from functools import partial

import numpy as np
import pytest
import torch
from helpers.batches import whole

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.models.heads.detection.cells import assign_batch
from frostline.models.heads.detection.dense import DenseHead
from frostline.models.heads.detection.torchvision import FasterRcnnHead, FcosHead, RetinaNetHead, SsdliteHead
from frostline.models.heads.detection.yolo import BINS, YoloCells, YoloHead, assign, distribution_focal_loss
from frostline.models.small_cnn import SmallCnn
from frostline.runs.build import build_task
from frostline.scenes.scene import CROWD

HEADS = ["dense", "yolo", "fcos", "retinanet", "ssdlite", "faster_rcnn"]
WINDOWS = ["sliding_window", "fully_convolutional"]
SIZE = 96


@pytest.fixture
def batch(batch_of_rectangles):
    return batch_of_rectangles


def task_with(head):
    torch.manual_seed(0)
    backbone = ["backbone=timm", "backbone.name=resnet10t", "backbone.pretrained=false"]
    if head in WINDOWS:
        backbone = ["backbone=small_cnn", "head.sizes=[64,96]"]  # few windows are enough
    config = compose(
        ["task=detection", f"head={head}", *backbone, "schedule=full", "trainer.epochs=1", f"image_size={SIZE}"]
    )
    task = build_task(config, ("red", "green", "blue"))
    task.model.move_line(0)
    return task.train()


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_detector_learns_three_pictures_by_heart(batch, head):
    # Catches classes counted from 1 in one place and from 0 in another, boxes decoded by another rule than encoded,
    # and losses that do not reach what predicts.
    task = task_with(head)
    optimizer = torch.optim.AdamW(task.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(task.criterion(task.answers(batch), batch).values()).backward()
        optimizer.step()
    assert all(p.grad is not None for p in task.parameters())
    task.eval()
    metrics = task.make_metrics()
    with torch.no_grad():
        predictions = task.predict(task(batch["image"]), batch)
    task.update(metrics, predictions, batch)
    assert float(metrics.compute()["map50"]) > 0.7
    for found in predictions:
        assert found.boxes.min() >= 0 and found.boxes.max() <= SIZE
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.scores.min() >= 0 and found.scores.max() <= 1


@pytest.mark.parametrize("head", HEADS + WINDOWS)
def test_a_box_that_does_not_count_is_no_target(batch, head):
    # Catches crowds that are learnt as objects: where the only box of a kind does not count, that kind has no loss.
    task = task_with(head)
    batch = batch | {"box_marks": [torch.full_like(marks, CROWD) for marks in batch["box_marks"]]}
    torch.manual_seed(1)
    losses = task.criterion(task.answers(batch), batch)
    where = [name for name in losses if name in ("box", "bbox_regression", "loss_box_reg", "sides", "class")]
    assert where and all(float(losses[name]) == 0 for name in where)
    metrics = task.eval().make_metrics()
    with torch.no_grad():
        task.update(metrics, task.predict(task(batch["image"]), batch), batch)
    assert float(metrics.compute()["map"]) == -1


@pytest.mark.parametrize("head", HEADS + WINDOWS)
def test_scenes_without_any_box_teach_that_there_is_nothing(batch, head):
    task = task_with(head)
    empty = batch | {
        "boxes": [torch.zeros(0, 4)] * 3,
        "box_labels": [torch.zeros(0, dtype=torch.long)] * 3,
        "box_marks": [torch.zeros(0, dtype=torch.uint8)] * 3,
    }
    losses = task.criterion(task.answers(empty), empty)
    assert all(bool(value.isfinite()) for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in task.parameters())
    assert any(p.grad is not None and bool(p.grad.any()) for p in task.model.head.parameters())
    metrics = task.eval().make_metrics()
    with torch.no_grad():
        outputs = task(empty["image"])
        assert all(bool(value.isfinite()) for value in task.criterion(outputs, empty).values())
        task.update(metrics, task.predict(outputs, empty), empty)
    assert float(metrics.compute()["map"]) == -1  # and not 0, as where all is missed


@pytest.mark.parametrize("head", HEADS)
def test_validation_has_a_loss_and_leaves_modes_and_statistics_alone(batch, head):
    # torchvision gives losses in training mode only; switching all of it would move the statistics of batch norms.
    task = task_with(head).eval()
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    with torch.no_grad():
        outputs = task(batch["image"])
        losses = task.criterion(outputs, batch)
        task.predict(outputs, batch)
    assert losses and not any(module.training for module in task.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())


@pytest.mark.parametrize("head_class", [DenseHead, YoloHead, FcosHead, RetinaNetHead, SsdliteHead, FasterRcnnHead])
def test_a_backbone_without_the_maps_is_refused(head_class):
    backbone = SmallCnn()
    with pytest.raises(FrostlineError, match="small_cnn has maps at .*choose another backbone or head"):
        head_class(backbone, 3)


# How `yolo` chooses cells.


def cells(boxes, centres, objectness=None, classes=2, strides=None):
    boxes, centres = torch.tensor([boxes], dtype=torch.float32), torch.tensor(centres, dtype=torch.float32)
    n = len(centres)
    sure = torch.zeros(1, n) if objectness is None else torch.tensor([objectness])
    strides = torch.tensor(strides or [8.0] * n)
    return YoloCells(sure, torch.zeros(1, n, classes), boxes, centres, strides, 32, torch.zeros(1, n, 4, BINS))


def answers(outputs, boxes, labels):
    boxes = [torch.tensor(boxes, dtype=torch.float32)]
    found = assign_batch(partial(assign, outputs), boxes, [torch.tensor(labels)], more=2)
    return [column.tolist() for column in found]


def test_the_cell_whose_box_is_best_ranks_first_and_cells_outside_never_answer():
    truth = [0, 0, 16, 16]
    outputs = cells([truth, [0, 0, 16, 12], truth], [[4, 4], [12, 12], [20, 4]])
    _, chosen, boxes, labels, ranks, qualities = answers(outputs, [truth], [1])
    assert chosen == [0, 1] and boxes == [truth, truth] and labels == [1, 1]  # the third lies outside
    assert ranks[0] == 1 and ranks[1] == pytest.approx(0.75**6)
    assert qualities == [1, 1]


def test_a_surer_cell_outranks_an_equal_one():
    truth = [0, 0, 16, 16]
    _, chosen, _, _, ranks, _ = answers(cells([truth] * 2, [[4, 4], [12, 12]], [0.0, 3.0]), [truth], [0])
    assert chosen == [0, 1] and ranks[0] < ranks[1] == 1


def test_a_cell_in_two_boxes_answers_for_the_one_that_it_covers_better():
    small, large = [4, 4, 12, 12], [0, 0, 32, 32]
    outputs = cells([small, large], [[8, 8], [24, 24]])
    _, chosen, boxes, labels, *_ = answers(outputs, [large, small], [0, 1])
    assert chosen == [0, 1] and boxes == [small, large] and labels == [1, 0]


def test_a_box_between_all_centres_has_the_nearest_cell():
    _, chosen, *_ = answers(cells([[0, 0, 8, 8], [8, 0, 16, 8]], [[4, 4], [12, 4]]), [[9, 0, 11, 2]], [0])
    assert chosen == [1]


def test_a_box_too_small_for_the_finest_cells_is_not_left_to_a_coarse_one():
    # The centre of a cell of stride 32 lies in it by chance.
    outputs = cells([[0, 0, 32, 32]] * 3, [[12, 12], [20, 12], [16, 16]], strides=[8.0, 8.0, 32.0])
    _, chosen, *_ = answers(outputs, [[13, 13, 19, 19]], [0])
    assert 0 in chosen or 1 in chosen


@pytest.mark.parametrize("head", ["dense", "yolo"])
def test_what_a_detector_says_of_a_cell_is_in_full_precision(head):
    task = build_task(compose(["task=detection", f"head={head}", "image_size=96"]), ("a", "b")).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = task(torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8))
    assert {outputs.objectness.dtype, outputs.classes.dtype, outputs.boxes.dtype} == {torch.float32}


@pytest.mark.parametrize("head", HEADS)
def test_what_a_detector_says_is_in_full_precision_whatever_it_reckons_in(head):
    # Scores of eight bits are full of ties, and boxes are off by pixels.
    overrides = ["task.min_score=0.001"]  # an untrained one is sure of nothing
    task = build_task(compose(["task=detection", f"head={head}", "image_size=96", *overrides]), ("a", "b")).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = task(torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8))
        (found,) = task.predict(outputs, whole(96))
    assert len(found.boxes) and (found.in_square.dtype, found.scores.dtype) == (np.float32, np.float32)
    for tensor in map(torch.from_numpy, (found.in_square, found.scores)):
        assert not torch.equal(tensor, tensor.bfloat16().float())  # nor were they rounded on the way


def test_torchvisions_own_suppression_leaves_what_the_tasks_leaves(batch):
    # So that it may be told the task's rule, which takes half the time of one that finds nothing to suppress.
    task = task_with("faster_rcnn")
    task.min_score = 0.001
    with torch.no_grad():
        outputs = task.eval()(batch["image"])
        task.model.head.set_rule(0.001, 1.0)
        late = task.predict(outputs, batch)
        task.model.head.set_rule(task.min_score, task.nms_iou)
        early = task.predict(outputs, batch)
        scores = task.model.head.decode(outputs)["scores"]
        assert int((scores > 0).sum()) < scores.numel()
    for one, other in zip(early, late, strict=True):
        assert len(one.boxes) > 5
        assert all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("boxes", "scores", "labels"))


def test_a_task_tells_its_rule_to_faster_rcnn():
    parts = build_task(compose(["task=detection", "head=faster_rcnn", "task.nms_iou=0.4"]), ("a",)).model.head.detector
    assert (parts.roi_heads.nms_thresh, parts.rpn.nms_thresh) == (0.4, 0.7)


def test_a_loss_of_validation_is_the_same_again(batch):
    # Faster R-CNN learns from boxes that it draws; a schedule that waits for a plateau would wait for luck.
    task = task_with("faster_rcnn").eval()
    with torch.no_grad():
        outputs = task(batch["image"])
        state = torch.get_rng_state()
        first = task.criterion(outputs, batch)
        assert torch.equal(state, torch.get_rng_state())
        torch.rand(1)
        assert task.criterion(outputs, batch) == first


def test_sides_are_read_back_as_they_are_taught():
    # A distribution on the two bins around a distance has that distance as its mean, and the least loss there can be.
    reach = torch.tensor([[0.0, 2.25, 7.5, 14.0]])
    taught = torch.full((1, 4, BINS), -30.0)
    for side, distance in enumerate(reach[0].tolist()):
        low, share = int(distance), distance - int(distance)
        taught[0, side, low] = torch.tensor(1 - share).log().clamp(min=-30)
        taught[0, side, low + 1] = torch.tensor(share).log().clamp(min=-30)
    assert torch.allclose(taught.softmax(-1) @ torch.arange(float(BINS)), reach, atol=1e-4)
    best = distribution_focal_loss(taught, reach)
    assert bool((best < distribution_focal_loss(taught.roll(1, -1), reach)).all())
    assert bool((best < distribution_focal_loss(taught * 0.5, reach)).all())
