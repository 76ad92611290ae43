"""Architectures by name: as published, to the last parameter, and as their originals, to the last decimals."""

import json

import pytest
import timm
import torch
import torchvision

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.freezing.groups import check_partition, count
from frostline.models.lenet import READ_BY_C3, LeNet5
from frostline.models.named import plain_resnet34, torchvision_backbone, xception
from frostline.models.resnet import ResNet34
from frostline.studies.architectures import names
from frostline.studies.run import build_backbone, build_task

# With the 1000 classes of ImageNet, as stated by the paper, its authors' code or the library that holds their weights
# (torchvision's tables; Keras' for Xception, timm's for EfficientNet-Lite0).
PUBLISHED = {
    "alexnet": 61_100_840,
    "googlenet": 6_624_904,
    "xception": 22_855_952,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet34_plain": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "mobilenetv2": 3_504_872,
    "mobilenetv3_small": 2_542_856,
    "mobilenetv3_large": 5_483_032,
    "efficientnet_b0": 5_288_548,
    "efficientnet_lite0": 4_652_008,
    "efficientnetv2_s": 21_458_488,
    "convnext_tiny": 28_589_128,
    "vit_base": 86_567_656,
    "swin_tiny": 28_288_354,
}
OUR_OWN = {"small_cnn", "lenet5"}  # the one is published nowhere, the other is counted by layer below
QUICK = {"alexnet", "googlenet", "xception", "resnet18", "resnet34_plain", "mobilenetv3_small"}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PUBLISHED])
def test_parameters_are_as_many_as_published(name):
    backbone = build_backbone(compose([f"backbone={name}", "backbone.pretrained=false", "image_size=224"]), True)
    check_partition(backbone, backbone.groups)
    assert count(backbone.parameters()) + (backbone.embedding_size + 1) * 1000 == PUBLISHED[name]


def test_every_architecture_is_counted():
    assert set(names()) == set(PUBLISHED) | OUR_OWN


def test_lenet_has_the_parameters_of_the_paper_layer_by_layer():
    lenet = LeNet5(with_embedding=True)
    layers = {name: module for stage in [*lenet.stages.values(), lenet.tail] for name, module in stage.named_children()}
    counted = {name: count(layer.parameters()) for name, layer in layers.items() if count(layer.parameters())}
    assert counted == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert sum(counted.values()) == 60_000


def test_lenet_has_the_sizes_of_the_paper_and_pads_small_pictures_with_black():
    lenet = LeNet5(with_embedding=True).eval()
    small = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    padded = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    padded[:, :, 2:30, 2:30] = small
    features, embedding = lenet(small)
    assert [tuple(f.shape[1:]) for f in features] == [(6, 14, 14), (16, 5, 5)] and embedding.shape == (2, 84)
    assert torch.equal(embedding, lenet(padded)[1])
    values = lenet.normalise(torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)]))
    assert values.shape == (2, 1, 32, 32)
    assert values[:, 0, 0, 0].tolist() == pytest.approx([-0.1, 1.175])  # black and white, as in the paper


def test_lenets_third_layer_reads_what_the_table_of_the_paper_says():
    rows = [[k for k, read in enumerate(READ_BY_C3) if s2 in read] for s2 in range(6)]
    assert rows == [  # Table I: a row for each map of S2
        [0, 4, 5, 6, 9, 10, 11, 12, 14, 15],
        [0, 1, 5, 6, 7, 10, 11, 12, 13, 15],
        [0, 1, 2, 6, 7, 8, 11, 13, 14, 15],
        [1, 2, 3, 6, 7, 8, 9, 12, 14, 15],
        [2, 3, 4, 7, 8, 9, 10, 12, 13, 15],
        [3, 4, 5, 8, 9, 10, 11, 13, 14, 15],
    ]


def test_the_plain_resnet_takes_torchvisions_weights_and_says_what_it_says():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet34(weights=None).eval()
    for module in theirs.modules():  # statistics as if trained, so that a batch norm left out would be seen
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    ours = ResNet34().eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert (ours(image) - theirs(image)).abs().max() <= 1e-5 * theirs(image).abs().max()


@pytest.mark.parametrize(
    ("make", "original", "size"),
    [
        (lambda **o: torchvision_backbone("alexnet", **o), lambda: torchvision.models.alexnet(), 224),
        (
            lambda **o: torchvision_backbone("googlenet", **o),
            lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False),
            96,
        ),
        (xception, lambda: timm.create_model("legacy_xception"), 96),
        (plain_resnet34, lambda: torchvision.models.resnet34(), 96),
    ],
    ids=["alexnet", "googlenet", "xception", "resnet34"],
)
def test_cut_in_pieces_it_gives_what_the_whole_gives(make, original, size):
    torch.manual_seed(0)
    whole = original().eval()
    backbone = make(pretrained=False, with_embedding=True).eval()
    state = list(whole.state_dict().values())[: len(backbone.state_dict())]  # the classifier is last
    backbone.load_state_dict(dict(zip(backbone.state_dict(), state, strict=True)))
    image = torch.rand(2, 3, size, size)
    features, embedding = backbone(image)
    *_, classifier = (m for m in whole.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        assert torch.allclose(classifier(embedding), whole(backbone.normalise(image)), rtol=1e-4, atol=1e-5)
    assert [f.shape[1] for f in features] == backbone.channels
    exact = [f.shape[2] * s == size for f, s in zip(features, backbone.strides, strict=True)]
    assert all(exact) == backbone.aligned
    # Cut at any depth, it goes on to the same end.
    for depth in range(1, len(backbone.stages) + 1):
        kept = backbone.activations(depth, range(len(backbone.channels)), embedding=True)
        again, end = backbone.above(backbone.below(image, kept), depth)
        assert torch.equal(end, embedding) and all(map(torch.equal, again, features))


def test_weights_that_cannot_be_had_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    for name in ("alexnet", "resnet34_plain"):
        with pytest.raises(FrostlineError, match=f"weights of '{name}' are not in the local cache .*no network"):
            build_backbone(compose([f"backbone={name}"]), False)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["backbone=lenet5"], "image_size is 128, and backbone=lenet5 takes 28 or 32 px alone: set image_size=32"),
        (["image_size=28"], "image_size is 28; it must be a multiple of 32"),
    ],
)
def test_a_size_that_a_backbone_does_not_take_is_refused(overrides, told):
    with pytest.raises(FrostlineError, match=told):
        compose(overrides)
    assert compose(["backbone=lenet5", "image_size=28"])["image_size"] == 28


@pytest.mark.parametrize(
    "overrides", ["task=detection head=yolo", "task=segmentation head=fpn", "task=localization", "task=segmentation"]
)
def test_maps_that_do_not_lie_evenly_are_refused(overrides):
    config = compose(["backbone=alexnet", "backbone.pretrained=false", *overrides.split()])
    with pytest.raises(FrostlineError, match="those of alexnet do not lie evenly on it"):
        build_task(config, ("a", "b"))


def test_the_table_tells_of_each_what_was_asked(capsys, monkeypatch):
    from frostline.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models", "resnet18", "lenet5"]) == 0
    table = capsys.readouterr().out
    for told in (
        "11,176,512",
        "1,813.6 M",
        "2 4 8 16 32",
        "stem … stage4",
        "timm: resnet18",
        "yolo",
        "none: from scratch",
    ):
        assert told in table
    assert "classification: linear" in table and json.dumps(table).count("segmentation") == 1  # LeNet serves none
    assert main(["models", "resnet19"]) == 2
    assert "'resnet19' is no file in conf/backbone" in capsys.readouterr().err
