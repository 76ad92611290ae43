from functools import partial
from types import SimpleNamespace

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
    PspNetHead,
    SegformerHead,
    UnetHead,
    UnetPlusPlusHead,
    UperNetHead,
)
from frostline.runs.build import build_task

SMP = [
    UnetHead, UnetPlusPlusHead, FpnHead, PspNetHead, DeepLabV3PlusHead, PanHead, LinknetHead, UperNetHead, SegformerHead
]  # fmt: skip
UNET = [32, 16, 16, 8, 8]
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
    for size in {max(head.smallest, 32), 288 if isinstance(head, PanHead) else 96}:
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
    ("head_class", "make", "options"),
    [
        (
            UnetHead,
            partial(smp.Unet, "resnet18", encoder_weights=None, decoder_channels=UNET),
            {"decoder_channels": UNET},
        ),
        (
            FpnHead,
            partial(
                smp.FPN,
                "resnet18",
                encoder_weights=None,
                decoder_pyramid_channels=128,
                decoder_segmentation_channels=64,
            ),
            {},
        ),
        (
            PanHead,
            partial(smp.PAN, "resnet18", encoder_weights=None, encoder_output_stride=32),
            {"decoder_channels": 32},
        ),
        # Of an encoder without a map at 1/2, as in the paper.
        (SegformerHead, partial(smp.Segformer, "mit_b0", encoder_weights=None), {"segmentation_channels": 256}),
    ],
)
def test_a_head_gives_what_the_librarys_whole_model_gives(head_class, make, options, monkeypatch):
    # But for enlargements: the library's whole models lay corners upon corners.
    whole = make(classes=3).eval()
    strides = [2, 4, 8, 16, 32]
    channels = dict(zip(strides, whole.encoder.out_channels[1:], strict=True))
    have = [stride for stride in strides if channels[stride]]
    backbone = SimpleNamespace(strides=have, channels=[channels[s] for s in have], has="maps")
    ours = head_class(backbone, 3, **options).eval()
    ours.decoder.load_state_dict(whole.decoder.state_dict())
    ours.out.load_state_dict(whole.segmentation_head[0].state_dict())
    side = 288 if head_class is PanHead else 96
    image = torch.rand(2, 3, side, side)
    with torch.no_grad():
        maps = whole.encoder(image)
        found = ours([m for m in maps[1:] if m.shape[1]])
        enlarge = F.interpolate
        by_cells = {"align_corners": False}
        monkeypatch.setattr(
            F, "interpolate", lambda *x, **how: enlarge(*x, **(how | by_cells if how.get("align_corners") else how))
        )
        expected = enlarge(whole.segmentation_head[0](whole.decoder(maps)), size=side, mode="bilinear")
    assert torch.equal(found, expected)


@pytest.mark.parametrize("head_class", [*SMP, FcnHead])
def test_no_decoder_lays_corners_upon_corners(backbones, head_class, monkeypatch):
    # Catches what moves coarser maps by up to half a cell near the border, and elsewhere in a crop than in the whole.
    corners = []
    enlarge = F.interpolate
    monkeypatch.setattr(
        F, "interpolate", lambda *x, **how: corners.append(how.get("align_corners")) or enlarge(*x, **how)
    )
    head = head_class(backbones["resnet10t"], 3).eval()
    side = max(96, head.smallest)
    with torch.no_grad():
        head(backbones["resnet10t"](torch.rand(1, 3, side, side))[0])
    assert any(corners) == (head_class is PspNetHead), "PSPNet does so in the paper's code"


def test_deeplab_enlarges_from_a_thirty_second_to_a_quarter_cell_by_cell(backbones):
    # Catches corners laid upon corners, which move what lies near the border by several cells of the finer map.
    up = DeepLabV3PlusHead(backbones["resnet10t"], 3).decoder.up
    slope = (torch.arange(8.0) + 0.5)[None, None, None].repeat(1, 1, 8, 1)
    assert torch.allclose(up(slope)[0, 0, 4, 4:-4] * 8, torch.arange(64.0)[4:-4] + 0.5, atol=1e-4)


def test_a_head_lays_its_scores_upon_the_picture_cell_by_cell(backbones):
    # As above: at 1/32 the scores of a border would be 15 px beside the place.
    head = PspNetHead(backbones["resnet10t"], 1)
    slope = (torch.arange(8.0) + 0.5)[None, None, None].repeat(1, 1, 8, 1)
    head.decoder, head.out = torch.nn.Identity(), torch.nn.Identity()
    head.decoder.forward = lambda maps: slope
    scores = head([torch.zeros(1, 512, 8, 8)] * 5)
    assert torch.allclose(scores[0, 0, 16, 16:-16] * 32, torch.arange(256.0)[16:-16] + 0.5, atol=1e-3)


def test_a_head_starts_as_the_library_starts_it(backbones):
    # Catches torch's own start, of a third of that size: nothing normalises what these convolutions give.
    head = FpnHead(backbones["resnet10t"], 3)
    assert not head.out.bias.any() and not head.decoder.p5.bias.any()
    assert float(head.decoder.p5.weight.detach().abs().max()) == pytest.approx((6 / 512) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("head_class", "read"),
    [
        (PspNetHead, [4]),
        (DeepLabV3PlusHead, [1, 4]),
        (FpnHead, [1, 2, 3, 4]),
        (UnetHead, [0, 1, 2, 3, 4]),
        (partial(UnetHead, decoder_channels=[32, 16, 16, 8]), [0, 1, 2, 3, 4]),
        (partial(UnetHead, decoder_channels=[32, 16, 16]), [1, 2, 3, 4]),
    ],
)
def test_a_head_asks_for_the_maps_it_reads_alone(backbones, head_class, read):
    # What it does not read would be kept in the cache all the same.
    head = head_class(backbones["resnet10t"], 3).eval()
    assert head.maps == read
    features, _ = backbones["resnet10t"](torch.rand(1, 3, 64, 64))
    wanted = [m if i in read else None for i, m in enumerate(features)]
    with torch.no_grad():
        scores = head(wanted)
        assert torch.equal(scores, head(features))
        for i in read:  # and it reads them all
            changed = [m + 1 if i == n else m for n, m in enumerate(features)]
            assert not torch.equal(scores, head(changed))


@pytest.mark.parametrize(
    "make", [partial(DeepLabV3PlusHead, out_channels=16), partial(PanHead, decoder_channels=16)], ids=["deeplab", "pan"]
)
@pytest.mark.parametrize("enough", [False, True])
def test_on_too_small_a_picture_outer_weights_see_nothing_but_padding(make, enough):
    # The known truth behind `learns_from`: which place of a kernel ever has a gradient.
    narrow = SimpleNamespace(strides=[2, 4, 8, 16, 32], channels=[32] * 5, has="maps")
    size = make(narrow, 3).learns_from - (0 if enough else 32)
    seen = {}
    for seed in range(3):  # as a ReLU may be silent by chance
        torch.manual_seed(seed)
        head = make(narrow, 3).train()
        maps = [torch.randn(8, 32, size // stride, size // stride) for stride in narrow.strides]
        head(maps).square().mean().backward()
        for name, p in head.decoder.named_parameters():
            if p.ndim == 4 and p.shape[-1] > 1:
                seen[name] = seen.get(name, 0) + p.grad.abs().sum((0, 1))
    assert all(bool((places > 0).all()) for places in seen.values()) == enough


def test_the_last_enlargement_of_an_fcn_is_no_weight():
    # One that is only told not to train is trained all the same: a schedule decides about every parameter.
    head = FcnHead(timm_backbone("resnet10t", pretrained=False), 2, 32)
    assert [name for name, _ in head.named_parameters()] == ["scores.0.weight", "scores.0.bias"]


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
        (
            ["augment=crops", "head=deeplabv3plus"],
            480,
            "augment.side is 256, and on less than 320 px head=deeplabv3plus .* augment.side=320 or task.window=256",
        ),
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
