"""What detectors' losses leave out or weigh: classes, pictures without objects, boxes that do not count."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection.ssd import SSD

from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.heads.detection.cells import judged
from frostline.models.heads.detection.dense import DenseHead
from frostline.models.heads.detection.torchvision import FasterRcnnHead, FcosHead, RetinaNetHead, SsdliteHead
from frostline.models.heads.detection.yolo import YoloHead

SIZE, CLASSES = 64, 3
CLASS_LOSS = {"classification", "class"}


@pytest.fixture(scope="module")
def backbone():
    return timm_backbone("resnet10t", pretrained=False)


def head_of(kind, backbone):
    torch.manual_seed(0)
    head = kind(backbone, CLASSES).eval()
    for p in head.parameters():  # a fresh head says nearly the same of every class
        if p.ndim == 1:
            nn.init.normal_(p, std=0.5)
    return head


def maps(backbone, scenes=2):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.rand(scenes, channels, SIZE // stride, SIZE // stride, generator=generator)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


BOX = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
NONE = torch.zeros(0, 4)


@torch.no_grad()
def losses(head, outputs, labels, weights=None, boxes=(BOX, BOX), ignored=()):
    head.class_weights = None if weights is None else torch.tensor(weights)
    return head.losses(outputs, list(boxes), [torch.tensor(n, dtype=torch.long) for n in labels], ignored)


KINDS = [DenseHead, YoloHead, FcosHead, RetinaNetHead, SsdliteHead]
SEEN = {"classification", "objectness"}  # the losses that tell objects from nothing


@pytest.mark.parametrize("kind", KINDS)
def test_within_a_box_that_does_not_count_it_is_no_mistake_to_find_something(backbone, kind):
    # Where all of both pictures is ignored and nothing counts, nothing is lost; where the ignored box of one holds the
    # object of the other, what that loses stays as it is.
    head = head_of(kind, backbone)
    outputs = head(maps(backbone))
    everything, half = torch.tensor([[-99.0, -99, 199, 199]]), torch.tensor([[-99.0, -99, 32, 199]])
    (name,) = SEEN & set(losses(head, outputs, ([], []), boxes=(NONE, NONE)))

    def seen(ignored, boxes=(NONE, NONE), labels=([], [])):
        return float(losses(head, outputs, labels, boxes=boxes, ignored=ignored)[name])

    whole, left, nothing = (seen(ignored) for ignored in ([], [half, half], [everything, everything]))
    assert nothing == pytest.approx(0, abs=1e-5) and (nothing < left < whole or kind is SsdliteHead)
    assert seen([NONE, NONE]) == whole
    one = seen([everything, everything], (BOX, NONE), ([0], []))
    assert 0.01 < one < seen([], (BOX, NONE), ([0], []))  # an object within is learnt nevertheless
    plain, marked = (losses(head, outputs, ([0], [1]), ignored=ignored) for ignored in ([], [half, NONE]))
    assert all(torch.equal(value, plain[key]) for key, value in marked.items() if key not in SEEN)


def test_to_faster_rcnn_what_is_ignored_is_background(backbone):
    head = head_of(FasterRcnnHead, backbone)
    outputs = head(maps(backbone))
    plain, marked = (losses(head, outputs, ([0], [1]), ignored=ignored) for ignored in ([], [BOX + 20, BOX]))
    assert all(torch.equal(value, plain[key]) for key, value in marked.items())


@pytest.mark.parametrize("own", [False, True])
def test_cells_are_judged_where_their_centre_is_in_no_ignored_box_or_they_have_an_object(own):
    centres = torch.tensor([[4.0, 4], [12, 4], [20, 4]])
    there = torch.tensor([[0.0, 0.7, 0], [0, 0, 0]])
    ignored = [torch.tensor([[0.0, 0, 16, 8]]), torch.tensor([[0.0, 0, 1, 1], [18, 2, 22, 6]])]
    given = torch.stack([centres, centres.flip(0)]) if own else centres
    expected = [[0, 1, 1], [0, 1, 1] if own else [1, 1, 0]]
    assert judged(given, there, ignored).tolist() == expected
    assert judged(given, there, [NONE, NONE]) is None and judged(given, there, ()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_counts_by_the_weight_of_its_class(backbone, kind):
    # The loss of classes is a sum over places: in the weight of one class it is a line, flat where that class has no
    # object, and at 1 it is what it is without weights. What boxes cost, and where objects are, stays as it is.
    head = head_of(kind, backbone)
    outputs = head(maps(backbone))
    plain = losses(head, outputs, ([0], [1]))
    ones, twice, thrice, absent = (
        losses(head, outputs, ([0], [1]), w) for w in ([1.0, 1, 1], [1.0, 2, 1], [1.0, 3, 1], [1.0, 1, 9])
    )
    (name,) = CLASS_LOSS & set(plain)
    assert torch.allclose(ones[name], plain[name]) and torch.allclose(absent[name], plain[name])
    assert twice[name] > plain[name] + 1e-4
    assert torch.allclose(thrice[name] - twice[name], twice[name] - plain[name], atol=1e-4)
    assert all(torch.equal(value, plain[key]) for key, value in thrice.items() if key != name)
    both = losses(head, outputs, ([0], [1]), [2.0, 2, 1])
    assert both[name] > twice[name]


def test_a_head_without_weights_says_what_to_take_instead(backbone):
    with pytest.raises(FrostlineError, match=r"trainer\.sampler=balanced"):
        head_of(FasterRcnnHead, backbone).weigh(torch.ones(CLASSES))


def test_weights_are_no_part_of_what_is_kept(backbone):
    for kind in (DenseHead, SsdliteHead):
        head = head_of(kind, backbone)
        before = set(head.state_dict())
        head.weigh(torch.ones(CLASSES))
        assert set(head.state_dict()) == before


def test_ssd_learns_pictures_with_objects_as_before_and_those_without_beside_them(backbone, monkeypatch):
    head = head_of(SsdliteHead, backbone)
    outputs = head(maps(backbone))
    full = losses(head, outputs, ([0], [1]))
    mixed = losses(head, outputs, ([0], []), boxes=(BOX, NONE))
    monkeypatch.setattr(type(head.detector), "compute_loss", SSD.compute_loss)
    theirs = losses(head, outputs, ([0], [1]))
    assert all(torch.equal(value, full[name]) for name, value in theirs.items())
    alone = losses(head, outputs, ([0], []), boxes=(BOX, NONE))
    # By hand: the three places of the empty picture that look most like objects, over objects and empty pictures.
    scores = head.detector.head([m.float() for m in outputs.maps])["cls_logits"][1]
    hardest = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long), reduction="none").topk(3).values.sum()
    places = matched(head, outputs)
    assert torch.allclose(mixed["classification"], (alone["classification"] * places + hardest) / (places + 1))
    assert torch.allclose(mixed["bbox_regression"], alone["bbox_regression"] * places / (places + 1))


def matched(head, outputs):
    """How many places of the first picture are its box's."""
    from torchvision.models.detection.image_list import ImageList

    picture = ImageList(torch.zeros(1, 3, SIZE, SIZE), [(SIZE, SIZE)])
    (anchors,) = head.detector.anchor_generator(picture, [m[:1] for m in outputs.maps])
    from torchvision.ops import box_iou

    return int((head.detector.proposal_matcher(box_iou(BOX, anchors)) >= 0).sum())
