"""The figures that comparisons rest on, against values worked out by hand."""

import pytest
import torch
from helpers.batches import classified, detected, located, segmented, whole

from frostline.models.heads.detection.cells import Cells


def run(task, batches):
    metrics = task.make_metrics()
    for predictions, batch in batches:
        task.update(metrics, predictions, batch)
    return {key: float(value) for key, value in metrics.compute().items() if value.ndim == 0}


def test_accuracy_counts_scenes_and_not_batches(make):
    task = make("classification")
    right, wrong = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.6, 0.3]])
    values = run(
        task,
        [
            (classified(right.repeat(3, 1)), {"label": torch.tensor([0, 0, 0])}),
            (classified(wrong), {"label": torch.tensor([2])}),  # second guess right
        ],
    )
    assert values["accuracy"] == 0.75 and values["top2"] == 1.0  # the mean over batches would be 0.5


def test_box_iou_is_the_mean_over_scenes_with_a_box(make):
    task = make("localization")
    batch = {
        "image": torch.zeros(3, 3, 100, 100),
        "size": 100,
        "label": torch.tensor([0, 1, 2]),
        "boxes": [torch.tensor([[0.0, 0, 50, 100]]), torch.tensor([[0.0, 0, 100, 100]]), torch.zeros(0, 4)],
    }
    everything = torch.tensor([0.5, 0.5, 1.0, 1.0])
    values = run(task, [(located(torch.eye(3), everything.repeat(3, 1), side=100), batch)])
    assert values["iou"] == pytest.approx((0.5 + 1.0) / 2)
    assert values["iou50"] == values["iou50_and_class"] == 1.0  # an IoU of exactly 0.5 is enough, as in detection
    assert values["accuracy"] == 1.0


def test_miou_is_of_the_set_and_void_is_left_out(make):
    # Two scenes of very different make-up: the mean over scenes would be another number.
    task = make("segmentation", classes=("a", "b"))
    truth = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 255, 0]]])
    found = torch.tensor([[[0, 0, 0, 1]], [[1, 0, 1, 0]]])
    values = run(
        task, [(segmented(f), {"native_mask": t}) for f, t in ((found[:1], truth[:1]), (found[1:], truth[1:]))]
    )
    # a: 4 right (3 + 1), in truth 5, found 5 -> 4 / 6.  b: 1 right, in truth 2, found 2 -> 1 / 3.
    assert values["miou"] == pytest.approx((4 / 6 + 1 / 3) / 2)
    assert values["pixel_accuracy"] == pytest.approx(5 / 7)


def test_map_is_of_the_set_and_the_same_for_any_batch_size(make):
    generator = torch.Generator().manual_seed(0)
    task = make("detection")
    scenes = []
    for _ in range(12):
        corner = torch.rand(4, 2, generator=generator) * 40
        boxes = torch.cat([corner, corner + 10 + torch.rand(4, 2, generator=generator) * 14], 1)
        labels = torch.randint(0, 3, (4,), generator=generator)
        noise = torch.randn(4, 4, generator=generator) * 2
        found = {"boxes": boxes + noise, "scores": torch.rand(4, generator=generator), "labels": labels}
        scenes.append((found, boxes, labels))

    def batched(size):
        for start in range(0, 12, size):
            part = scenes[start : start + size]
            truth = {"boxes": [p[1] for p in part], "box_labels": [p[2] for p in part]}
            yield [detected(p[0]) for p in part], truth | {"box_marks": [torch.zeros_like(p[2]) for p in part]}

    values = [run(task, batched(size)) for size in (1, 5, 12)]
    assert values[0] == values[1] == values[2] and 0 < values[0]["map"] < values[0]["map50"] <= 1


def test_perfect_and_absent_detections(make):
    task = make("detection")
    boxes, labels = torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([1])
    truth = {"boxes": [boxes], "box_labels": [labels], "box_marks": [torch.zeros_like(labels)]}
    perfect = [{"boxes": boxes, "scores": torch.tensor([0.9]), "labels": labels}]
    nothing = [{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.long)}]
    assert run(task, [([detected(one) for one in perfect], truth)])["map"] == pytest.approx(1.0)
    assert run(task, [([detected(one) for one in nothing], truth)])["map"] == 0.0


def test_boxes_end_at_the_picture(make):
    # The trap: the end of the picture read off one level's centres and another level's stride.
    from frostline.models.backbones import timm_backbone
    from frostline.models.heads.detection.dense import DenseHead

    head = DenseHead(timm_backbone("resnet18", pretrained=False), 3).eval()
    torch.nn.init.constant_(head.out.bias, 2.0)
    with torch.no_grad():
        output = head(
            [torch.zeros(1, c, 96 // s, 96 // s) for c, s in ((64, 2), (64, 4), (128, 8), (256, 16), (512, 32))]
        )
    boxes = make("detection").predict(output, whole(96))[0].boxes
    assert boxes.min() == 0 and boxes.max() == 96


def test_suppression_is_the_same_for_any_class_number(make):
    # torchvision's moves boxes of the n-th class n pictures aside, where single precision has no digits left for them.
    box, beside = [[50.3, 50.3, 58.3, 58.3]], [[52.32, 50.3, 60.32, 58.3]]  # an IoU of 0.597
    kept = []
    for label in (1, 9999):
        task = make("detection", "task.nms_iou=0.6", classes=[str(n) for n in range(10_000)])
        boxes = torch.tensor([[*box, *beside, [0.0, 0, 640, 640]]])
        found = {"boxes": boxes, "scores": torch.tensor([[0.9, 0.8, 0.7]]), "labels": torch.tensor([[label, label, 0]])}
        task.detector.decode = lambda _, found=found: found
        kept.append(len(task.predict(None, whole(640))[0].scores))
    assert kept == [3, 3]


def test_suppression_keeps_the_best_of_overlapping_boxes_of_a_class(make):
    task = make("detection", "task.nms_iou=0.6")
    box = [10.0, 10.0, 50.0, 50.0]
    near, beside, apart = [11.0, 10.0, 51.0, 50.0], [24.0, 10.0, 64.0, 50.0], [0.0, 52.0, 12.0, 64.0]
    output = Cells(
        objectness=torch.tensor([[2.0, 1.0, 0.5, 0.0]]),
        classes=torch.tensor([[[9.0, 0, 0]] * 4]),
        boxes=torch.tensor([[box, near, beside, apart]]),
        centres=torch.tensor([[4.0, 4.0], [60.0, 60.0], [28.0, 28.0], [36.0, 36.0]]),
        strides=torch.full((4,), 8.0),
        size=64,
    )
    kept = task.predict(output, whole(64))[0]
    assert kept.boxes.tolist() == [box, beside, apart]  # near: IoU 0.95, gone; beside: 0.48, stays
    assert kept.scores.tolist() == sorted(kept.scores.tolist(), reverse=True)
