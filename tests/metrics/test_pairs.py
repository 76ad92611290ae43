"""Figures by class from the pairs that occur: those of torchmetrics to the last digit, at a price that is none."""

import time

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

from frostline.metrics.pairs import ClassScores, PairScores, among_first, pair_scores


def drawn(classes, scenes=700, seed=0):
    """Probabilities and labels, where the last class is in no scene."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes - 1, (scenes,), generator=generator)
    scores = 2 * torch.randn(scenes, classes, generator=generator)
    scores[torch.arange(scenes), labels] += 2
    return scores.softmax(1), labels


def counted(metric, found, labels, size=64):
    for part, truth in zip(found.split(size), labels.split(size), strict=True):
        metric.update(part, truth)
    return metric.compute()


@pytest.mark.parametrize("classes", [2, 3, 11, 40])
def test_every_figure_is_that_of_torchmetrics_to_the_last_digit(classes):
    found, labels = drawn(classes)
    values = counted(ClassScores(classes, top_k=3), found, labels)
    theirs = {
        "accuracy": MulticlassAccuracy(classes, average="micro"),
        "f1": MulticlassF1Score(classes, average="macro"),
        "ece": MulticlassCalibrationError(classes, n_bins=15),
    }
    if classes > 3:
        theirs["top3"] = MulticlassAccuracy(classes, average="micro", top_k=3)
    for name, metric in theirs.items():
        assert torch.equal(values[name], counted(metric, found, labels)), name
    by_class = counted(MulticlassF1Score(classes, average="none"), found, labels)
    assert torch.equal(values["f1_by_class"][:-1], by_class[:-1]) and values["f1_by_class"][-1] == -1
    assert values["confusion"].tolist() == confusion_matrix(labels, found.argmax(1), labels=range(classes)).tolist()
    assert ("top3" in values) == (classes > 3)


def test_batches_change_nothing_and_a_set_without_scenes_has_figures():
    found, labels = drawn(5)
    one, other = (counted(ClassScores(5, 2), found, labels, size) for size in (700, 7))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert all(torch.isfinite(value).all() for value in ClassScores(5, 2).compute().values())


def test_pairs_of_many_classes_say_what_a_matrix_would():
    found, labels = drawn(300)
    values = counted(ClassScores(300), found, labels)
    matrix = torch.zeros(300, 300, dtype=torch.long)
    truth, taken, often = values["pairs"].unbind(1)
    matrix[truth, taken] = often
    assert matrix.tolist() == confusion_matrix(labels, found.argmax(1), labels=range(300)).tolist()
    assert "confusion" not in values and len(truth) <= 700


def test_the_first_two_hold_what_is_first_and_ties_are_in_order():
    # Of equal scores, a library's own two may be any: then less would be right among two than at first sight.
    scores = torch.tensor([[0.25, 0.25, 0.25, 0.25]] * 4 + [[0.4, 0.1, 0.4, 0.1]] * 4)
    labels = torch.tensor([0, 1, 2, 3] * 2)
    assert among_first(scores, labels, 2).tolist() == [True, True, False, False, True, False, True, False]
    assert among_first(scores, labels, 1).tolist() == [True, False, False, False, True, False, False, False]
    for seed in range(20):
        rounded = (drawn(6, 40, seed)[0] * 4).round() / 4
        order = rounded.argsort(dim=1, descending=True, stable=True)
        labels = torch.arange(40) % 6
        for count in (1, 2, 5):
            assert torch.equal(among_first(rounded, labels, count), (order[:, :count] == labels[:, None]).any(1))
        values = counted(ClassScores(6, 2), rounded, labels, 40)
        assert values["top2"] >= values["accuracy"]


def test_scores_that_are_no_numbers_are_never_among_the_first():
    scores = torch.full((2, 4), torch.nan)
    values = counted(ClassScores(4, 2), scores, torch.tensor([1, 2]))
    assert values["top2"] == values["accuracy"] == 0


def test_found_classes_alone_give_accuracy_and_confusion():
    values = counted(PairScores(3), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    assert set(values) == {"accuracy", "confusion"} and values["confusion"][2].tolist() == [0, 1, 0]
    assert values["accuracy"] == pytest.approx(2 / 3)


def test_ten_thousand_classes_take_no_memory_and_hardly_any_time():
    # A matrix of all pairs would be 800 MB at every batch, and a second or two.
    metric, (found, labels) = ClassScores(10_000, 2), drawn(10_000, 128)
    metric.update(found, labels)
    start = time.process_time()
    for _ in range(10):
        metric.update(found, labels)
    metric.compute()
    assert time.process_time() - start < 1
    assert sum(len(part) for part in metric.pairs) == 11 * 128
    assert len(pair_scores(torch.zeros(0, dtype=torch.long), 10_000)["pairs"]) == 0
