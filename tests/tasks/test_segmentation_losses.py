"""The losses of segmentation, against plain loops over the pixels that are known."""

import pytest
import torch

from frostline.errors import FrostlineError
from frostline.scenes.scene import VOID

LOSSES = ("cross_entropy", "dice", "focal", "lovasz")


def only(make, name, *overrides):
    chosen = [f"task.losses.{loss}={int(loss == name)}" for loss in LOSSES]
    return make("segmentation", *chosen, *overrides, classes=("a", "b", "c"))


@pytest.fixture
def scores_and_mask():
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 3, (2, 5, 5), generator=generator)
    mask[0, :2] = VOID
    return torch.randn(2, 3, 5, 5, generator=generator), mask


def known_pixels(scores, mask):
    return scores.permute(0, 2, 3, 1)[mask != VOID], mask[mask != VOID]


def cross_entropy(scores, truth):
    return -sum(float(s.log_softmax(0)[t]) for s, t in zip(scores, truth, strict=True)) / len(truth)


def dice(scores, truth):
    shares = scores.softmax(1)
    lost = []
    for c in truth.unique().tolist():
        is_c = (truth == c).float()
        lost.append(1 - float(2 * (shares[:, c] * is_c).sum() / (shares[:, c] + is_c).sum()))
    return sum(lost) / len(lost)


def focal(scores, truth):
    lost = []
    for s, t in zip(scores, truth, strict=True):
        for c in range(3):
            right = float(s[c].sigmoid()) if c == t else 1 - float(s[c].sigmoid())
            lost.append(-((1 - right) ** 2) * float(torch.tensor(right).log()))
    return sum(lost) / len(lost)


def lovasz(scores, truth):
    """For each class, the Jaccard loss of the worst n pixels being wrong, for every n, weighted by their errors."""
    shares, lost = scores.softmax(1), []
    for c in truth.unique().tolist():
        is_c = truth == c
        errors = (is_c.float() - shares[:, c]).abs()
        order, before, total = errors.argsort(descending=True), 0.0, 0.0
        for n in range(1, len(order) + 1):
            wrong = torch.zeros_like(is_c)
            wrong[order[:n]] = True
            jaccard = 1 - float((is_c & ~wrong).sum() / (is_c | wrong).sum())
            total, before = total + float(errors[order[n - 1]]) * (jaccard - before), jaccard
        lost.append(total)
    return sum(lost) / len(lost)


@pytest.mark.parametrize("absent", [None, 1])
@pytest.mark.parametrize("plain", [cross_entropy, dice, focal, lovasz])
def test_a_loss_is_what_a_plain_loop_over_the_known_pixels_gives(make, scores_and_mask, plain, absent):
    # Without a class, too: a mean over all would be less the fewer classes a batch shows.
    scores, mask = scores_and_mask
    mask = mask if absent is None else mask.where(mask != absent, 0)
    losses = only(make, plain.__name__).criterion(scores, {"mask": mask})
    assert losses.keys() == {plain.__name__}
    assert float(losses[plain.__name__]) == pytest.approx(plain(*known_pixels(scores, mask)), abs=1e-4)


@pytest.mark.parametrize(("name", "weights"), [("dice", "[1, 5, 5]"), ("cross_entropy", "[0, 0, 0]")])
def test_class_weights_that_weigh_nothing_are_refused(make, name, weights):
    with pytest.raises(FrostlineError, match="would change nothing, or leave nothing to learn"):
        only(make, name, f"task.class_weights={weights}")


@pytest.mark.parametrize("name", LOSSES)
def test_pictures_of_which_nothing_is_known_teach_nothing(make, scores_and_mask, name):
    # The library's own Lovász gives no scalar then, and its focal loss no number.
    scores = scores_and_mask[0].requires_grad_()
    (loss,) = only(make, name).criterion(scores, {"mask": torch.full((2, 5, 5), VOID)}).values()
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()


def test_losses_add_up_by_their_weights(make, scores_and_mask):
    scores, mask = scores_and_mask
    task = make("segmentation", "task.losses.cross_entropy=0.5", "task.losses.lovasz=2", classes=("a", "b", "c"))
    losses = task.criterion(scores, {"mask": mask})
    assert list(losses) == ["cross_entropy", "dice", "lovasz"]
    pixels = known_pixels(scores, mask)
    assert float(losses["cross_entropy"]) == pytest.approx(0.5 * cross_entropy(*pixels), abs=1e-4)
    assert float(losses["lovasz"]) == pytest.approx(2 * lovasz(*pixels), abs=1e-4)


def test_a_class_counts_by_its_weight(make, scores_and_mask):
    scores, truth = known_pixels(*scores_and_mask)
    weights = [1.0, 0.0, 5.0]
    task = only(make, "cross_entropy", "task.class_weights=[1, 0, 5]")
    found = task.criterion(scores_and_mask[0], {"mask": scores_and_mask[1]})["cross_entropy"]
    lost = [weights[t] * -float(s.log_softmax(0)[t]) for s, t in zip(scores, truth, strict=True)]
    assert float(found) == pytest.approx(sum(lost) / sum(weights[t] for t in truth), abs=1e-4)
    nothing_counts = task.criterion(scores_and_mask[0], {"mask": torch.ones(2, 5, 5, dtype=torch.long)})
    assert float(nothing_counts["cross_entropy"]) == 0
