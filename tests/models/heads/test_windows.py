import pytest
import torch
from torchvision.ops import roi_align

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.heads.detection.windows import (
    FILLED,
    MARGIN,
    NEAR,
    WINDOW,
    FullyConvolutionalHead,
    SlidingWindowHead,
    assign,
    crop_windows,
)
from frostline.models.small_cnn import SmallCnn
from frostline.runs.build import build_task


@pytest.fixture(scope="module")
def rungs():
    """A backbone, and both heads with the same weights; the norms have seen something."""
    torch.manual_seed(0)
    backbone = SmallCnn()
    for _ in range(3):
        backbone(torch.rand(8, 3, WINDOW, WINDOW))
    slid = SlidingWindowHead(backbone, 3)
    torch.nn.init.normal_(slid.out.bias)
    one_pass = FullyConvolutionalHead(backbone, 3)
    one_pass.load_state_dict(slid.state_dict())
    return backbone.eval(), slid.eval(), one_pass.eval()


@pytest.mark.parametrize("side", [64, 96, 136])
def test_one_pass_says_of_every_window_what_the_window_alone_says(rungs, side):
    # Catches padding, a step that is no multiple of the stride, and a dense layer unrolled in another order.
    backbone, slid, one_pass = rungs
    pictures = torch.rand(2, 3, side, side)
    with torch.no_grad():
        alone, together = slid.score_windows(backbone, pictures), one_pass.score_windows(backbone, pictures)
    assert alone.shape == together.shape == (2, ((side - WINDOW) // 8 + 1) ** 2, 1 + 3 + 4)
    assert (alone - together).abs().max() < 1e-4
    assert side == WINDOW or alone.std(1).max() > 1e-2  # windows do differ


def test_both_find_the_same_boxes(rungs):
    backbone, *heads = rungs
    slid, one_pass = (type(head)(backbone, 3, sizes=(64, 96)).eval() for head in heads)
    for head, same in zip((slid, one_pass), heads, strict=True):
        head.load_state_dict(same.state_dict())
    pictures = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.no_grad():
        one = slid.decode(slid.detect(backbone, pictures))
        other = one_pass.decode(one_pass.detect(backbone, pictures))
    assert one["scores"].shape[1] > 0
    assert torch.allclose(one["scores"], other["scores"], atol=1e-4)
    assert torch.allclose(one["boxes"].sort(1).values, other["boxes"].sort(1).values, atol=0.05)
    assert one["boxes"].min() >= 0 and one["boxes"].max() <= 160


def test_a_box_is_placed_where_its_window_lies(rungs):
    # A head that says "a box over the middle half of the window" of every window.
    backbone, _, one_pass = rungs
    head = FullyConvolutionalHead(backbone, 3, sizes=(128,))
    for layer in (head.hidden, head.out):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        outputs = head.detect(backbone, torch.zeros(1, 3, 256, 256))  # seen at half its size: windows of 128 px
    assert outputs.size == 256 and outputs.windows[1].tolist() == [-16, -32, 112, 96]
    assert outputs.boxes[0, 1].tolist() == [16, 0, 80, 64] and outputs.centres[1].tolist() == [48, 32]
    assert outputs.windows[-1].tolist() == [160, 160, 288, 288]


def test_windows_that_hold_nothing_are_dropped_whatever_their_class(rungs):
    backbone, _, one_pass = rungs
    picture = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        outputs = one_pass.detect(backbone, picture)
    sure = outputs.objectness.sigmoid()[0]
    one_pass.min_objectness = float(sure.median())
    kept = one_pass.decode(outputs)["scores"]
    one_pass.min_objectness = 0.01
    assert int((kept > 0).sum()) == int((sure >= sure.median()).sum())


def test_which_windows_are_assigned_to_a_box():
    box = torch.tensor([[20.0, 20, 60, 50]])  # its centre lies at 40, 35; its longer side is 40
    windows = torch.tensor(
        [
            [8.0, 3, 72, 67],  # around it: 40 of 64
            [8 + 64 * NEAR + 1, 3, 72 + 64 * NEAR + 1, 67],  # beside it
            [20, 15, 60, 55],  # filled by it
            [-60, -65, 140, 135],  # too large for it
        ]
    )
    answers, which = assign(windows, box)
    assert answers.tolist() == [0] and which.tolist() == [0]
    both = torch.cat([box + 5, box])
    assert assign(windows, both)[1].tolist()[0] == 1  # the nearest


def test_a_window_sees_the_picture_where_it_lies_and_grey_beyond():
    # Catches crops of training that lie elsewhere in their picture than the windows that are slid, and another grey.
    picture = torch.zeros(1, 3, 64, 64)
    picture[:, :, :, 32:] = 1
    backbone, seen = SmallCnn().eval(), []
    backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    head = SlidingWindowHead(backbone, 3, sizes=(64,))
    torch.manual_seed(0)
    for outputs in (head.detect(backbone, picture), head.sample(backbone, picture, [torch.zeros(0, 4)])):
        windows, crops = outputs.windows.reshape(-1, 4), seen.pop(0)
        assert len(windows) == len(crops) and windows[:, 0].min() < -8 and windows[:, 2].max() > 72
        for (left, top, *_), crop in zip(windows.tolist(), crops, strict=True):
            xs, ys = torch.arange(64) + 0.5 + left, torch.arange(64) + 0.5 + top
            inside = ((ys > 0) & (ys < 64))[:, None] & ((xs > 0) & (xs < 64))
            truth = torch.where(inside, (xs > 32).float(), 128 / 255)
            # But for the pixels that an edge runs through.
            clear = ((xs[:, None] - torch.tensor([0, 32, 64])).abs() > 1).all(1) & (
                (ys[:, None] - torch.tensor([0, 64])).abs() > 1
            ).all(1)[:, None]
            assert torch.allclose(crop[:, clear], truth[clear].expand(3, -1), atol=1e-5)


def test_every_box_of_a_size_that_is_looked_for_has_a_window_wherever_it_lies(rungs):
    # Catches windows that end at the edge of the picture, where they are near the middle of no small object.
    backbone, slid, one_pass = rungs
    windows = one_pass.detect(backbone, torch.zeros(1, 3, 320, 320)).windows
    for side in (24.0, 40.0, 80.0, 160.0):
        for corner in (0.0, 3.0, (320 - side) / 2, 320 - side):
            for other in (0.0, 320 - side):
                box = torch.tensor([[corner, other, corner + side, other + side]])
                assert len(assign(windows, box)[0]), (side, corner, other)
    torch.manual_seed(0)
    drawn = slid.sample_windows(torch.tensor([[0.0, 100, 24, 124]]), 320)
    assert len(assign(drawn, torch.tensor([[0.0, 100, 24, 124]]))[0]) >= 0.3 * len(drawn)


def test_crops_lie_as_windows_do_and_half_of_them_hold_an_object(rungs):
    _, slid, _ = rungs
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0, 60, 40], [150, 120, 200, 220]])
    windows = torch.cat([slid.sample_windows(boxes, 256) for _ in range(20)])
    extent = windows[:, 2:] - windows[:, :2]
    beyond = MARGIN / WINDOW * extent.amax(1) + 1e-3
    assert (-windows.amin(1) <= beyond).all() and (windows.amax(1) - 256 <= beyond).all() and windows.min() < -8
    assert torch.allclose(extent[:, 0], extent[:, 1], atol=1e-3) and extent.min() >= 256 * WINDOW / 256 - 1e-3
    held = len(assign(windows, boxes)[0]) / len(windows)
    assert 0.35 < held < 0.7  # a window that is moved into the picture may lose its object
    assert slid.sample_windows(torch.zeros(0, 4), 256).shape == (16, 4)
    assert FILLED[0] < FILLED[1] < 1


def test_a_backbone_that_pads_is_refused():
    with pytest.raises(FrostlineError, match="resnet10t pads: set backbone=small_cnn"):
        SlidingWindowHead(timm_backbone("resnet10t", pretrained=False), 3)


def test_a_frozen_small_network_keeps_no_activations_of_whole_pictures():
    task = build_task(compose(["task=detection", "backbone=small_cnn", "head=sliding_window"]), ("a", "b"))
    assert task.model.activations(3) is None


@pytest.mark.slow
def test_it_learns_from_crops(batch_of_rectangles):
    torch.manual_seed(0)
    overrides = ["task=detection", "backbone=small_cnn", "head=fully_convolutional", "schedule=full"]
    task = build_task(compose([*overrides, "trainer.epochs=1", "image_size=96"]), ("red", "green", "blue"))
    task.model.move_line(0)
    task.train()
    optimizer = torch.optim.AdamW(task.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(task.criterion(task.answers(batch_of_rectangles), batch_of_rectangles).values()).backward()
        optimizer.step()
    task.eval()
    metrics = task.make_metrics()
    with torch.no_grad():
        outputs = task(batch_of_rectangles["image"])
        task.update(metrics, task.predict(outputs, batch_of_rectangles), batch_of_rectangles)
        assert all(bool(v.isfinite()) for v in task.criterion(outputs, batch_of_rectangles).values())
    assert float(metrics.compute()["map50"]) > 0.5


def test_windows_are_cut_as_torchvision_cuts_them():
    # On the processor, where `roi_align` calls the same operation; on a GPU it may go another way.
    pictures = torch.rand(3, 3, 80, 80)
    corner, extent = torch.rand(3, 5, 2) * 40, torch.rand(3, 5, 1) * 130
    windows = torch.cat([corner, corner + extent], 2)
    assert torch.equal(crop_windows(pictures, windows), roi_align(pictures, list(windows), 64, aligned=True))
