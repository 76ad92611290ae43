import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.heads.segmentation.fcn import FcnHead, enlargement
from frostline.models.heads.segmentation.smp import (
    DeepLabV3PlusHead,
    FpnHead,
    LinknetHead,
    PanHead,
    PspHead,
    SegformerHead,
    UnetHead,
    UnetPlusPlusHead,
    UperNetHead,
)
from frostline.studies.run import build_task

SMP = [
    UnetHead, UnetPlusPlusHead, FpnHead, PspHead, DeepLabV3PlusHead, PanHead, LinknetHead, UperNetHead, SegformerHead
]  # fmt: skip
ALL_MAPS = {UnetPlusPlusHead, LinknetHead}  # also one at 1/2


@pytest.fixture(scope="module")
def backbones():
    return {name: timm_backbone(name, pretrained=False).eval() for name in ("resnet10t", "convnext_atto")}


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
@pytest.mark.parametrize("head_class", [*SMP, FcnHead])
def test_every_decoder_answers_for_every_pixel_and_learns_with_all_its_weights(backbones, head_class, name):
    # Catches maps handed over in another order, a wrong enlargement, and parts of a decoder that nothing reaches.
    backbone = backbones[name]
    if name == "convnext_atto" and head_class in ALL_MAPS:
        with pytest.raises(FrostlineError, match="convnext_atto has maps at"):
            head_class(backbone, 3)
        return
    head = head_class(backbone, 3).train()
    for size in {getattr(head, "smallest", 32), 288 if isinstance(head, PanHead) else 96}:
        with torch.no_grad():
            features, _ = backbone(torch.rand(2, 3, size, size))
        outputs = head(features)
        assert outputs.shape == (2, 3, size, size)
    if isinstance(head, FcnHead):  # its scores start from zero, so nothing else has a gradient in the first step
        for score in head.scores:
            torch.nn.init.normal_(score.weight)
        outputs = head(features)
    outputs.square().mean().backward()
    idle = [n for n, p in head.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # SegFormer and others end in a convolution before a batch norm, whose bias changes nothing.
    assert not [n for n in idle if not n.endswith("bias")]


@pytest.mark.parametrize(
    ("head_class", "model", "options"),
    [
        (UnetHead, smp.Unet, {"decoder_channels": [32, 16, 16, 8, 8]}),
        (FpnHead, smp.FPN, {"decoder_pyramid_channels": 128, "decoder_segmentation_channels": 64}),
        (SegformerHead, smp.Segformer, {"decoder_segmentation_channels": 96}),
    ],
)
def test_a_head_gives_what_the_librarys_whole_model_gives(head_class, model, options):
    whole = model("resnet18", encoder_weights=None, classes=3, **options).eval()
    backbone = timm_backbone("resnet18", pretrained=False)
    ours = head_class(
        backbone, 3, **({"decoder_channels": [32, 16, 16, 8, 8]} if head_class is UnetHead else {})
    ).eval()
    ours.decoder.load_state_dict(whole.decoder.state_dict())
    ours.out.load_state_dict(whole.segmentation_head.state_dict())
    image = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        maps = whole.encoder(image)[1:]
        assert torch.equal(ours(maps), whole(image))


def test_deeplab_enlarges_from_a_thirty_second_to_a_quarter(backbones):
    head = DeepLabV3PlusHead(backbones["resnet10t"], 3)
    assert head.decoder.up(torch.zeros(1, 1, 3, 3)).shape[-1] == 24


def test_the_fcn_starts_as_bilinear_interpolation():
    # Catches a kernel that is off by half a pixel: on a slope it gives the slope, shifted by nothing.
    slope = (torch.arange(12.0) + 0.5)[None, None, None].repeat(1, 2, 12, 1)
    for factor in (2, 8):
        layer = enlargement(2, factor)
        with torch.no_grad():
            ours = layer(slope)
        theirs = F.interpolate(slope, scale_factor=factor, mode="bilinear", align_corners=False)
        inner = slice(factor, -factor)
        assert ours.shape == theirs.shape
        assert torch.allclose(ours[..., inner, inner], theirs[..., inner, inner], atol=1e-5)


@pytest.mark.parametrize(("finest", "maps"), [(32, [4]), (16, [3, 4]), (8, [2, 3, 4])])
def test_the_fcn_adds_what_finer_maps_say(backbones, finest, maps):
    head = FcnHead(backbones["resnet10t"], 2, finest)
    assert head.maps == maps
    features = [
        torch.zeros(1, c, 64 // s, 64 // s) for c, s in zip([32, 64, 128, 256, 512], [2, 4, 8, 16, 32], strict=True)
    ]
    assert not head(features).any()  # as in the paper, scores start from zero
    for score, told in zip(head.scores, (1.0, 10.0, 100.0), strict=False):
        torch.nn.init.constant_(score.bias, told)
    with torch.no_grad():
        middle = head(features)[0, 0, 32, 32]
    assert float(middle) == pytest.approx(sum((1.0, 10.0, 100.0)[: len(maps)]))


@pytest.mark.parametrize(
    ("overrides", "size", "told"),
    [
        (["head=pan"], 128, "head=pan .* needs a multiple of 32, at least 256: set image_size=256"),
        (["head=fpn"], 100, "head=fpn .* needs a multiple of 32, at least 32: set image_size=128"),
        (["task=classification"], 28, "head=linear .* a multiple of 32, at least 32: set image_size=32"),
    ],
)
def test_a_picture_that_a_head_cannot_take_is_refused_before_training(overrides, size, told):
    config = compose(
        ["task=segmentation", "backbone=timm", "backbone.name=resnet10t", "backbone.pretrained=false", *overrides]
    )
    with pytest.raises(FrostlineError, match=told):
        build_task({**config, "image_size": size}, ("a", "b"))
