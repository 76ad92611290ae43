"""Every head that ships, with one class: it learns in a step, and answers for a single scene."""

import pytest
import torch
import yaml
from torch import nn

from frostline.config import build, conf_dir
from frostline.models.backbones import timm_backbone
from frostline.models.heads.base import DetectionHead
from frostline.models.small_cnn import SmallCnn

HEADS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((conf_dir() / "head").glob("*.yaml"))}
WINDOWS = [name for name, node in HEADS.items() if ".windows." in node["_target_"]]
DETECTORS = [name for name, node in HEADS.items() if ".detection." in node["_target_"]]
BOX, NONE = torch.tensor([[8.0, 8.0, 40.0, 44.0]]), torch.zeros(0, 4)


@pytest.fixture(scope="module")
def padded():
    return timm_backbone("resnet10t", pretrained=False, with_embedding=True)


class Model(nn.Module):
    """A head of one class on a backbone."""

    def __init__(self, name, backbone):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = backbone
        node = HEADS[name] | ({"sizes": [64, 96]} if name in WINDOWS else {})  # few windows are enough
        self.head = build(node, backbone, 1, without=["name"])
        self.side = max(64, self.head.smallest)

    def forward(self, image, boxes):
        if self.head.sees_pictures:
            if self.training:
                return self.head.sample(self.backbone, image, boxes)
            return self.head.detect(self.backbone, image)
        features, embedding = self.backbone(image)
        return self.head(features, embedding) if self.head.reads_embedding else self.head(features)

    def pictures(self, count):
        return torch.randint(0, 256, (count, 3, self.side, self.side), dtype=torch.uint8)


@pytest.fixture
def model(padded, request):
    return Model(request.param, SmallCnn() if request.param in WINDOWS else padded)


def labels(boxes):
    return [torch.zeros(len(own), dtype=torch.long) for own in boxes]


@pytest.mark.parametrize("model", [name for name in HEADS if name not in DETECTORS], indirect=True)
def test_scores_of_one_class(model):
    for parameter in model.head.parameters():  # an FCN's scores start from zero, and nothing else has a gradient then
        if not parameter.any():
            nn.init.normal_(parameter)
    outputs = model.train()(model.pictures(2), None)
    scores = outputs[0] if model.head.gives == "scores and box" else outputs
    assert scores.shape == ((2, 1, model.side, model.side) if model.head.gives == "pixels" else (2, 1))
    scores.square().mean().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.head.parameters())
    with torch.no_grad():
        alone = model.eval()(model.pictures(1), None)
    assert bool((alone[0] if isinstance(alone, tuple) else alone).isfinite().all())


@pytest.mark.parametrize("boxes", [[BOX, NONE], [NONE, NONE]], ids=["one_without_boxes", "none_with_boxes"])
@pytest.mark.parametrize("model", DETECTORS, indirect=True)
def test_detectors_of_one_class(model, boxes):
    assert isinstance(model.head, DetectionHead)
    losses = model.head.losses(model.train()(model.pictures(2), boxes), boxes, labels(boxes))
    assert all(bool(loss.isfinite()) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    with torch.no_grad():
        outputs = model.eval()(model.pictures(1), boxes[:1])
        losses = model.head.losses(outputs, boxes[1:], labels(boxes[1:]))
        found = model.head.decode(outputs)
    assert all(bool(loss.isfinite()) for loss in losses.values())
    count = found["scores"].shape[1]
    assert found["boxes"].shape == (1, count, 4) and found["labels"].tolist() == [[0] * count]
