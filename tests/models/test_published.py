"""Backbones of torchvision, the plain ResNet-34 and Xception: they give what the whole models give."""

from urllib.error import URLError

import pytest
import timm
import torch
import torchvision.models
from torch import nn
from torchvision.models._api import WeightsEnum

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.freezing.groups import check_partition, count
from frostline.models.backbones import timm_backbone, xception
from frostline.models.resnet import ResNet20, ResNet34, resnet20, resnet34_plain
from frostline.models.torchvision import alexnet, googlenet
from frostline.runs.build import build_task

SIZE = 96
MAKERS = {"alexnet": alexnet, "googlenet": googlenet, "resnet34_plain": resnet34_plain, "xception": xception}
STRIDES = {"alexnet": [], "googlenet": [2, 4, 8, 16, 32], "resnet34_plain": [2, 4, 8, 16, 32], "xception": [8, 16, 32]}


@pytest.fixture
def pictures():
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def stirred(model):
    """The model with statistics and weights of batch norms that are not those of the start.

    Convolutions of the usual size: GoogLeNet's start so small that its embedding would hardly depend on the picture.
    """
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.7), (module.weight.data, 0.7)):
                tensor.copy_(low + 0.6 * torch.rand(tensor.shape, generator=generator))
    return model.eval()


def test_resnet20_has_its_depth_and_leaves_maps_at_half_and_a_quarter():
    network = ResNet20().eval()
    shortcuts = [f"{name}.0" for name, module in network.named_modules() if name.endswith("downsample")]
    weighted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and n not in shortcuts]
    assert len(weighted) == 20
    backbone = resnet20(with_embedding=True).eval()
    backbone.load_state_dict(stirred(resnet20(with_embedding=True)).state_dict())
    check_partition(backbone, backbone.groups)
    pictures = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        maps, embedding = backbone(pictures)
        assert [tuple(each.shape[1:]) for each in maps] == [(16, 28, 28), (32, 14, 14), (64, 7, 7)]
        assert torch.allclose(embedding, maps[-1].mean((2, 3)), atol=1e-6)


def moved(monkeypatch, state):
    """Weights for torchvision, as if they had been fetched."""
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, *args, **kwargs: state)


@pytest.mark.parametrize("name", MAKERS)
def test_groups_maps_and_activations(name, pictures):
    backbone = MAKERS[name](pretrained=False, with_embedding=True).eval()
    check_partition(backbone, backbone.groups)
    assert list(backbone.groups) == ["stem", *(f"stage{i}" for i in range(1, len(backbone.groups)))]
    assert all(count(p for m in modules for p in m.parameters()) for modules in backbone.groups.values())
    with torch.no_grad():
        maps, embedding = backbone(pictures)
        assert [SIZE / m.shape[2] for m in maps] == backbone.strides == STRIDES[name]
        assert [m.shape[1] for m in maps] == backbone.channels
        assert embedding.shape == (2, backbone.embedding_size)
        for depth in (1, 3, len(backbone.groups)):
            wanted = range(len(maps))
            kept = backbone.below(pictures, backbone.activations(depth, list(wanted), True))
            again, vector = backbone.above(kept, depth)
            assert torch.equal(vector, embedding)
            assert all(torch.equal(a, b) for a, b in zip(again, maps, strict=True))
        without = MAKERS[name](pretrained=False).eval()
        assert without(pictures)[1] is None


def test_the_plain_resnet_gives_torchvisions_outputs(pictures, monkeypatch):
    truth = stirred(torchvision.models.resnet34(weights=None))
    plain = ResNet34().eval()
    assert list(plain.state_dict()) == list(truth.state_dict())
    plain.load_state_dict(truth.state_dict())
    moved(monkeypatch, truth.state_dict())
    backbone = resnet34_plain(with_embedding=True).eval()
    reference = timm.create_model("resnet34", features_only=True, pretrained=False).eval()
    reference.load_state_dict(truth.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.allclose(plain(pictures), truth(pictures), rtol=0, atol=1e-5)
        normalised = backbone.normalise(pictures)
        maps, embedding = backbone(pictures)
        truth.fc = nn.Identity()
        assert torch.allclose(embedding, truth(normalised), rtol=0, atol=1e-5)
        for ours, theirs in zip(maps, reference(normalised), strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_torchvisions_weights_give_torchvisions_embedding(name, pictures, monkeypatch):
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    whole = stirred(torchvision.models.get_model(name, weights=None, **options))
    moved(monkeypatch, whole.state_dict())
    backbone = MAKERS[name](with_embedding=True).eval()
    imagenet = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (imagenet.mean, imagenet.std))
    if name == "googlenet":
        whole.fc, whole.transform_input = nn.Identity(), True
    else:
        whole.classifier[6] = nn.Identity()
    with torch.no_grad():
        assert torch.allclose(backbone(pictures)[1], whole((pictures - mean) / std), rtol=1e-4, atol=1e-5)


def test_xception_gives_timms_embedding_and_maps(pictures):
    torch.manual_seed(0)
    backbone = stirred(xception(pretrained=False, with_embedding=True))
    torch.manual_seed(0)
    whole = stirred(timm.create_model("legacy_xception", num_classes=0))
    with torch.no_grad():
        normalised = backbone.normalise(pictures)
        maps, embedding = backbone(pictures)
        assert torch.allclose(embedding, whole(normalised), rtol=1e-4, atol=1e-5)
        assert torch.allclose(maps[-1], whole.forward_features(normalised), rtol=1e-4, atol=1e-5)
    assert backbone.mean.flatten().tolist() == [0.5] * 3


def test_xceptions_old_name_leads_to_the_same():
    assert timm_backbone("legacy_xception", pretrained=False).strides == [8, 16, 32]


def test_alexnets_maps_would_not_lie_upon_the_picture():
    # So it offers none: 55, 27 and 13 cells of 224 px, where strides of 4, 8 and 16 would have 56, 28 and 14.
    backbone = alexnet(pretrained=False, with_embedding=True).eval()
    x, cells = torch.rand(1, 3, 224, 224), []
    for layer in torchvision.models.alexnet(weights=None).features:
        x = layer(x)
        cells.append(x.shape[-1])
    assert [cells[0], *(cells[i] for i in (2, 5, 12))] == [55, 27, 13, 6]
    assert list(backbone.groups)[-1] == "stage6"  # a group a layer


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet34_plain"])
def test_weights_that_cannot_be_fetched_are_told_in_a_sentence(name, monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(FrostlineError, match=f"weights of '{name}'.*no network.*backbone.pretrained=false") as error:
        MAKERS[name](pretrained=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MAKERS)
def test_another_name_does_not_relabel_it(name):
    with pytest.raises(FrostlineError, match="write backbone=timm as well"):
        MAKERS[name](name="resnet18", pretrained=False)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["backbone=alexnet", "image_size=32"], "head=linear on alexnet needs .* at least 64: set image_size=64"),
        (
            ["backbone=swin_tiny", "task=detection", "image_size=96", "augment=crops", "augment.side=64"],
            "augment.side is 64, and swin_tiny_patch4_window7_224 takes pictures of 96 px: set augment.side=96",
        ),
        (["backbone=swin_tiny", "task=segmentation", "head=pan", "image_size=96"], "at least 256: set image_size=256"),
        (["backbone=vit_small", "image_size=100"], "must be a multiple of 32"),
        (["backbone=vit_small", "task=segmentation", "head=linknet"], "224 has maps at .4, 8, 16, 32.: choose"),
        (["backbone=alexnet", "task=segmentation"], "alexnet has no feature maps that lie upon the picture: choose"),
        (["backbone=xception", "task=segmentation", "head=fpn"], "xception has maps at .8, 16, 32.: choose"),
    ],
)
def test_what_cannot_be_fed_is_refused_before_training(overrides, words):
    with pytest.raises(FrostlineError, match=words) as error:
        build_task(compose([*overrides, "backbone.pretrained=false"]), ("a", "b"))
    assert "\n" not in str(error.value)
