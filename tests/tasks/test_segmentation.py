"""Where masks are measured, and how windows make up a picture."""

import pytest
import torch
import torch.nn.functional as F

from frostline.errors import FrostlineError
from frostline.pictures.fit import place
from frostline.tasks.base import Task


def test_pixels_are_counted_at_the_pictures_own_size_without_the_margin(make):
    # Catches a margin that counts, places mixed up, and a mean over pictures in place of one over all pixels.
    task, generator = make("segmentation"), torch.Generator().manual_seed(0)
    truths = [torch.randint(0, 3, shape, generator=generator).byte() for shape in ((20, 64), (64, 48), (64, 64))]
    truths[2][:5] = 255
    places = [place(truth.shape[1], truth.shape[0], 64, "letterbox") for truth in truths]
    assert places[0] == (0, 22, 64, 20) and places[1] == (8, 0, 48, 64)
    scores = torch.randn(3, 3, 64, 64, generator=generator)
    metrics = task.make_metrics()
    sizes = [(truth.shape[1], truth.shape[0]) for truth in truths]
    batch = {"native_mask": truths, "place": places, "picture_size": sizes}
    task.update(metrics, task.predict(scores, batch), batch)
    both, either = torch.zeros(3), torch.zeros(3)
    for each, truth, (left, top, width, height) in zip(scores, truths, places, strict=True):
        found = each.argmax(0)[top : top + height, left : left + width]
        for kind in range(3):
            known = truth != 255
            both[kind] += ((found == kind) & (truth == kind)).sum()
            either[kind] += (((found == kind) & known) | (truth == kind)).sum()
    assert float(metrics.compute()["miou"]) == pytest.approx(float((both / either).mean()), abs=1e-6)


def test_scores_and_not_classes_are_enlarged(make):
    # Of ten classes, as they are enlarged a few at a time.
    task = make("segmentation", classes=tuple("abcdefghij"))
    scores = torch.randn(1, 10, 64, 64, generator=torch.Generator().manual_seed(0))
    truth = F.interpolate(scores, (100, 150), mode="bilinear").argmax(1).byte()
    metrics = task.make_metrics()
    batch = {"native_mask": list(truth), "place": [(0, 0, 64, 64)], "picture_size": [(150, 100)]}
    task.update(metrics, task.predict(scores, batch), batch)
    assert float(metrics.compute()["miou"]) == 1  # the nearest pixel's class would be wrong along every border


def test_windows_make_up_the_whole(make, monkeypatch):
    looked = []

    def pointwise(self, image):  # what a network would say that sees one pixel at a time, and where it was asked
        looked.append(tuple(image.shape))
        return image * 2 - 1

    task = make("segmentation", "image_size=160", "task.window=64")
    picture = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(Task, "forward", pointwise)
    assert torch.allclose(task.eval()(picture), picture * 2 - 1, atol=1e-6)
    assert looked == [(2, 3, 64, 64)] * 16  # at 0, 32, 64, 96
    task.train()(picture)
    assert looked[-1] == (2, 3, 160, 160)  # training sees what it is given


def test_overlapping_windows_are_averaged(make, monkeypatch):
    task = make("segmentation", "image_size=96", "task.window=64")
    counted = iter(range(4))
    monkeypatch.setattr(Task, "forward", lambda self, image: torch.full_like(image, float(next(counted))))
    scores = task.eval()(torch.zeros(1, 3, 96, 96))[0, 0]
    assert scores[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 1, 2, 3]  # corners: one window each
    assert float(scores[48, 0]) == 1 and float(scores[48, 48]) == 1.5  # (0 + 2) / 2, and of all four


def test_windows_are_no_part_of_what_is_kept(make):
    assert make("segmentation").keeps_activations and not make("segmentation", "task.window=32").keeps_activations


@pytest.mark.parametrize("key", ["task.window", "augment.side"])
@pytest.mark.parametrize(("side", "told"), [(40, "is 40, and head=unet .* set {}=64"), (96, "is 96, more than")])
def test_a_window_that_cannot_be_is_refused(make, key, side, told):
    with pytest.raises(FrostlineError, match=f"{key} {told}".replace("{}", key)):
        make("segmentation", "augment=crops", "augment.side=64", f"{key}={side}")


def test_a_mask_with_a_class_too_many_is_refused_by_name(make, batch):
    task = make("segmentation")
    batch["mask"][1, 5, 5] = 3
    with pytest.raises(FrostlineError, match="mask of the scene y holds the class number 3, and there are 3 classes"):
        task.criterion(task(batch["image"]), batch)
