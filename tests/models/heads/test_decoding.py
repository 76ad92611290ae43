"""What a detection head gives of a batch: the same as torchvision's own way, in a form that can be exported."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, export
from torchvision.ops import batched_nms, box_iou

from frostline.models.heads.detection.cells import CANDIDATES
from frostline.models.heads.detection.dense import DenseHead
from frostline.models.heads.detection.torchvision import (
    PROPOSALS,
    FasterRcnnHead,
    FcosHead,
    RetinaNetHead,
    SsdliteHead,
)
from frostline.models.heads.detection.windows import FullyConvolutionalHead
from frostline.models.heads.detection.yolo import YoloHead
from frostline.models.small_cnn import SmallCnn
from frostline.predict.boxes import select

SIZE, CLASSES = 96, 9
MAPS = SimpleNamespace(strides=[8, 16, 32], channels=[16, 24, 32])  # all that a head asks of a backbone
ONE_STAGE = [FcosHead, RetinaNetHead, SsdliteHead]
TRUTHS = torch.tensor([[8.0, 10, 40, 44], [30, 50, 90, 94], [60, 4, 88, 30]])


def made(head_class, classes=CLASSES, size=SIZE, scenes=3):
    """A head, and what it says of maps of noise."""
    torch.manual_seed(0)
    head = head_class(MAPS, classes).eval()
    with torch.no_grad():
        return head, head(noise(size, scenes))


def noise(size=SIZE, scenes=3):
    return [torch.randn(scenes, c, size // s, size // s) for c, s in zip(MAPS.channels, MAPS.strides, strict=True)]


class Said(nn.Module):
    """Stands for the layers of a detector, and says the same of any maps."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def forward(self, maps):
        return self.said


def say_noise(head, outputs):
    said = head.detector.head(outputs.maps)
    said = {key: 2 * torch.randn_like(value) - 2 for key, value in said.items()}
    if isinstance(head, FcosHead):  # a distance is never below zero
        said["bbox_regression"].abs_()
    head.detector.head = Said(said)


def say_truths(head, outputs):
    """As one that has learnt: nearly nothing anywhere, and around three objects many boxes that are nearly theirs."""
    anchors = head._anchors(outputs)
    overlaps = box_iou(anchors, TRUTHS)
    overlap, which = (overlaps / overlaps.amax(0)).max(1)
    coder = head.detector.box_coder
    if isinstance(head, FcosHead):
        codes = coder.encode(anchors, TRUTHS[which]).clamp(min=0)
    else:
        codes = coder.encode_single(TRUTHS[which], anchors)
    said = {key: torch.randn_like(value) for key, value in head.detector.head(outputs.maps).items()}
    said["bbox_regression"] = codes + 0.05 * said["bbox_regression"]
    said["cls_logits"] -= 8
    row = torch.arange(len(anchors))
    for shift in range(len(said["cls_logits"])):
        said["cls_logits"][shift, row, (which + shift) % 3 + head.first] += 14 * overlap
    head.detector.head = Said(said)


def torchvisions(head, outputs, **rule):
    """For each scene what torchvision's own code makes of the same outputs, classes counted from 0."""
    vars(head.detector).update(topk_candidates=CANDIDATES, detections_per_img=10**6, **rule)
    with head._mode(False):
        return [one | {"labels": one["labels"] - head.first} for one in head._run(outputs, None)]


def sorted_rows(found):
    """(n, 6) score, label, box, in an order that is that of no implementation."""
    rows = np.column_stack([found["scores"], found["labels"], found["boxes"]])
    return rows[np.lexsort(np.round(rows.T[::-1], 4))]


@pytest.mark.parametrize("say", [say_noise, say_truths])
@pytest.mark.parametrize("head_class", ONE_STAGE)
@torch.no_grad()
def test_candidates_are_those_of_torchvision(head_class, say):
    # Catches classes and anchors taken apart in another order, levels that are mixed up, a score of another kind, a box
    # that is decoded against another anchor, and boxes that are left beyond the picture.
    classes = 3 if head_class is SsdliteHead else CLASSES  # of more, torchvision takes more, see below
    head, outputs = made(head_class, classes)
    say(head, outputs)
    found, least = head.decode(outputs), 0.02
    for scene, other in enumerate(torchvisions(head, outputs, score_thresh=least, nms_thresh=1.0)):
        likely = found["scores"][scene] > least
        one = sorted_rows({key: value[scene][likely] for key, value in found.items()})
        other = sorted_rows(other)
        assert len(one) == len(other) > 50
        assert np.abs(one - other).max() < 1e-4


@pytest.mark.parametrize("say", [say_noise, say_truths])
@pytest.mark.parametrize("head_class", ONE_STAGE)
@torch.no_grad()
def test_what_is_left_is_what_torchvision_leaves(head_class, say):
    head, outputs = made(head_class, 3)
    say(head, outputs)
    found = head.decode(outputs)
    for scene, other in enumerate(torchvisions(head, outputs, score_thresh=0.1, nms_thresh=1.0)):
        boxes, scores, labels = (found[key][scene] for key in ("boxes", "scores", "labels"))
        kept = select(boxes.numpy(), scores.numpy(), labels.numpy(), 0.1, 0.5, 100)
        best = batched_nms(other["boxes"].double(), other["scores"].double(), other["labels"], 0.5)[:100]
        assert 2 < len(kept) == len(best) < len(other["boxes"])
        assert torch.allclose(boxes[kept], other["boxes"][best], atol=1e-4)
        assert torch.allclose(scores[kept], other["scores"][best], atol=1e-6)
        assert torch.equal(labels[kept], other["labels"][best])


@torch.no_grad()
def test_of_many_pairs_ssdlite_takes_the_best_of_all_classes_together():
    head, outputs = made(SsdliteHead, 40)
    say_noise(head, outputs)
    scores = head.detector.head(None)["cls_logits"].softmax(-1)[..., 1:].flatten(1)
    assert scores.shape[1] > CANDIDATES
    found = head.decode(outputs)["scores"]
    assert torch.equal(found, scores.sort(1, descending=True).values[:, :CANDIDATES])


@pytest.mark.parametrize("head_class", [DenseHead, YoloHead])
@torch.no_grad()
def test_a_cell_is_found_as_its_likeliest_class(head_class):
    head, outputs = made(head_class, size=320)
    found = head.decode(outputs)
    sure = outputs.objectness.double().sigmoid().numpy()
    likely = outputs.classes.double().softmax(-1).numpy()
    boxes = outputs.boxes.numpy().clip(0, 320)
    assert sure.shape[1] > found["scores"].shape[1] == CANDIDATES
    for scene in range(3):
        scores, labels = sure[scene] * likely[scene].max(1), likely[scene].argmax(1)
        cells = {(np.float32(boxes[scene, n]).tobytes(), labels[n]): scores[n] for n in range(len(labels))}
        rows = zip(*(found[key][scene].numpy() for key in ("boxes", "labels", "scores")), strict=True)
        assert max(abs(cells[box.tobytes(), label] - score) for box, label, score in rows) < 1e-6
        assert np.allclose(found["scores"][scene], np.sort(scores)[::-1][:CANDIDATES], atol=1e-6)


@torch.no_grad()
def test_faster_rcnn_is_padded_to_one_length():
    head, outputs = made(FasterRcnnHead, 2)
    head.set_rule(0.35, 0.3)  # of which most boxes fall short
    found, own = head.decode(outputs), torchvisions(head, outputs)
    assert found["boxes"].shape == (3, 2 * PROPOSALS, 4) and found["scores"].shape == found["labels"].shape
    assert found["labels"].dtype == torch.int64
    for scene, other in enumerate(own):
        count = len(other["scores"])
        assert 0 < count < PROPOSALS and not found["scores"][scene, count:].any()
        assert all(torch.equal(found[key][scene, :count], other[key]) for key in found)


@pytest.mark.parametrize("head_class", [DenseHead, YoloHead, *ONE_STAGE, FasterRcnnHead])
@torch.no_grad()
def test_boxes_lie_in_the_picture_the_best_first_and_their_number_is_that_of_the_head(head_class):
    numbers = set()
    for scenes in (1, 3):
        head, outputs = made(head_class, scenes=scenes)
        found = head.decode(outputs)
        numbers.add(found["scores"].shape[1])
        assert found["boxes"].shape == (scenes, *found["scores"].shape[1:], 4)
        assert (found["scores"].dtype, found["labels"].dtype) == (torch.float32, torch.int64)
        assert found["boxes"].min() >= 0 and found["boxes"].max() <= SIZE
        assert bool((found["scores"].diff(dim=1) <= 0).all()) and found["scores"].min() >= 0
        assert found["labels"].min() >= 0 and found["labels"].max() < CLASSES
    assert len(numbers) == 1


class Decoded(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *maps):
        return self.head.decode(self.head(list(maps)))


class OnePass(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, image):
        return self.head.decode(self.head.detect(self.backbone, image))


@pytest.mark.parametrize("head_class", [DenseHead, YoloHead, *ONE_STAGE, FullyConvolutionalHead])
@torch.no_grad()
def test_decoding_is_exported_for_any_batch(head_class):
    # Catches shapes that depend on what is found, a loop over scenes, and a batch that is baked in.
    if head_class is FullyConvolutionalHead:
        backbone = SmallCnn().eval()
        model = OnePass(backbone, head_class(backbone, 3, sizes=(64, 96))).eval()
        given = (torch.randint(0, 256, (5, 3, SIZE, SIZE), dtype=torch.uint8),)
    else:
        model, given = Decoded(made(head_class)[0]), tuple(noise(scenes=5))
    free = tuple({0: Dim.DYNAMIC} for _ in given)
    two = tuple(one[:2] for one in given)
    exported = export(model, two, dynamic_shapes=free if len(given) == 1 else (free,)).module()
    for scenes in (1, 2, 5):
        some = tuple(one[:scenes] for one in given)
        found, own = exported(*some), model(*some)
        assert all(torch.equal(found[key], own[key]) for key in own)
