"""What a batch is: of pictures or of activations, stacked, packed and made up."""

import pytest
import torch
from helpers.batches import TASKS

from frostline.loading.batch import collate, made_up, pack, packed_names, unpack


@pytest.mark.parametrize("needs", [{"label"}, {"boxes"}, {"label", "boxes"}, {"mask"}])
def test_what_is_packed_comes_out_as_it_was(needs):
    batch = made_up(3, 32, classes=4)
    batch["boxes"][1], batch["box_labels"][1] = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    batch["boxes"][2], batch["box_labels"][2] = torch.rand(5, 4), torch.arange(5)
    batch["box_marks"][1:] = [torch.zeros(0, dtype=torch.uint8), torch.tensor([0, 1, 0, 2, 0], dtype=torch.uint8)]
    known = {"label": ["label"], "mask": ["mask"], "boxes": ["boxes", "box_labels", "box_marks"]}
    kept = {key: batch[key] for need in needs for key in known[need]}
    packed = pack(kept, most_boxes=7)
    assert set(packed) == set(packed_names(frozenset(needs))) and all(len(rows) == 3 for rows in packed.values())
    back = unpack(packed)
    assert back.keys() == kept.keys()
    for key, values in kept.items():
        pairs = zip(values, back[key], strict=True)
        assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("task", TASKS)
def test_noise_serves_every_task(make, task):
    made = make(task)
    batch = made_up(4, 64, classes=3)
    losses = made.criterion(made(batch["image"]), batch)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_noise_is_the_same_for_a_seed():
    one, same, other = made_up(2, 32, seed=1), made_up(2, 32, seed=1), made_up(2, 32, seed=2)
    assert torch.equal(one["image"], same["image"]) and not torch.equal(one["image"], other["image"])
    assert one["image"].dtype == torch.uint8 and set(one["mask"].unique().tolist()) == {0}


def test_channels_that_lie_last_stay_there():
    item = {"image": torch.zeros(8, 8, 3, dtype=torch.uint8).permute(2, 0, 1), "index": 0, "id": "x"}
    assert collate([item, item])["image"].is_contiguous(memory_format=torch.channels_last)
