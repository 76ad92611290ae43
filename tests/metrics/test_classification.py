from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    top_k_accuracy_score,
)

from frostline.metrics.classification import (
    THRESHOLDS,
    PrecisionRecall,
)
from frostline.metrics.pairs import ClassScores
from frostline.tasks.classification import Classification

CLASSES = 4


def probabilities(seed, sure=3.0, scenes=300):
    """Of 300 scenes of three of four classes; the surer, the closer to 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES - 1, (scenes,), generator=generator)
    scores = torch.randn(scenes, CLASSES, generator=generator) + torch.nn.functional.one_hot(labels, CLASSES)
    return (sure * scores).softmax(1), labels


def computed(found, labels, size):
    metric = PrecisionRecall(CLASSES)
    for start in range(0, len(found), size):
        metric.update(found[start : start + size], labels[start : start + size])
    return metric.compute()


def sets_of_scenes():
    found, labels = probabilities(2, sure=1.0)
    every = labels.where(torch.arange(len(labels)) % 5 > 0, CLASSES - 1)
    return {
        "every class": (found, every),
        "one only predicted": (found, labels),
        "one nowhere": (found * torch.tensor([1, 1, 1, 0]), labels),
        "ties": ((4 * found).round() / 4, every),
    }


SETS = sets_of_scenes()


@pytest.mark.parametrize("name", SETS)
def test_what_a_task_counts_is_what_scikit_learn_counts(name):
    # Catches means over batches, a mean over classes where one over scenes is meant or the other way, and a confusion
    # matrix that lies on its side.
    found, labels = SETS[name]
    metrics = Classification.make_metrics(SimpleNamespace(classes=range(CLASSES), top_k=2))
    for part, truth in zip(found.split([1, 7, 92, 200]), labels.split([1, 7, 92, 200]), strict=True):
        metrics.update(part, truth)
    values = metrics.compute()
    a, b, classes = labels.numpy(), found.numpy().argmax(1), range(CLASSES)  # the first of equal ones
    assert float(values["accuracy"]) == pytest.approx(accuracy_score(a, b))
    assert values["confusion"].tolist() == confusion_matrix(a, b, labels=classes).tolist()
    # Over the classes in truth or prediction, so that one in no scene counts as 0 as soon as it is predicted; by class
    # it has no F1 even then.
    assert float(values["f1"]) == pytest.approx(f1_score(a, b, average="macro"), abs=1e-6)
    told = f1_score(a, b, average=None, labels=classes, zero_division=0)
    told[~np.isin(classes, a)] = -1
    assert values["f1_by_class"].tolist() == pytest.approx(told.tolist(), abs=1e-6)
    if name != "ties":  # which of two equal ones is second, each library decides for itself
        same = top_k_accuracy_score(a, found.numpy(), k=2, labels=classes)
        assert float(values["top2"]) == pytest.approx(same)


@pytest.mark.parametrize("sure", [1.0, 3.0, 6.0])
def test_curves_are_those_of_scikit_learn(sure):
    # Catches recall and precision in each other's place, classes in each other's, and an even grid of thresholds, on
    # which the average precision of a sure model is another.
    found, labels = probabilities(0, sure)
    values = computed(found, labels, 32)
    at = THRESHOLDS.numpy()
    for label in range(CLASSES - 1):
        scores, truth = found[:, label].numpy(), (labels == label).numpy()
        rounded = np.concatenate([[0], at])[np.searchsorted(at, scores, side="right")]  # what thresholds tell apart
        precision, recall, thresholds = precision_recall_curve(truth, rounded)
        curve = values["curve"][label].numpy()
        for p, r, threshold in zip(precision, recall, thresholds, strict=False):
            if threshold:
                assert curve[np.searchsorted(at, threshold)] == pytest.approx([r, p], abs=1e-6)
        assert curve[-1].tolist() == [0, 1]
        same = average_precision_score(truth, rounded)
        assert float(values["ap_by_class"][label]) == pytest.approx(same, abs=1e-5)
        assert float(values["ap_by_class"][label]) == pytest.approx(average_precision_score(truth, scores), abs=0.01)


def test_a_class_without_a_scene_has_no_curve_and_batches_change_nothing():
    # Catches an average precision of 0 for what does not occur, and a curve that is of the last batch.
    found, labels = probabilities(1)
    values = computed(found, labels, 300)
    assert values["curve"][-1].isnan().all() and not values["curve"][:-1].isnan().any()
    assert values["ap_by_class"][-1] == -1
    for size in (1, 7):
        again = computed(found, labels, size)
        assert all(torch.equal(values[k].nan_to_num(), again[k].nan_to_num()) for k in values)


@pytest.mark.parametrize("sure", [1.0, 0.97])
def test_the_calibration_error_is_the_papers(sure):
    # Catches a bin of its own for what is wholly sure: that one and the last would not make up for each other.
    confidences = [sure] * 10 + [0.95] * 10 + [0.42] * 5
    right = [True] * 9 + [False] + [True] * 10 + [True] * 2 + [False] * 3
    probabilities = torch.tensor([[c, 1 - c] if c > 0.5 else [c, 0.3] for c in confidences])
    probabilities = torch.cat([probabilities, 1 - probabilities.sum(1, keepdim=True)], 1).clamp(min=0)
    metric = ClassScores(3)
    metric.update(probabilities, torch.tensor([0 if one else 1 for one in right]))
    expected = 0.0
    for low in range(15):
        inside = [i for i, c in enumerate(confidences) if low / 15 < c <= (low + 1) / 15]
        if inside:
            share = sum(right[i] for i in inside) / len(inside)
            expected += len(inside) / 25 * abs(share - sum(confidences[i] for i in inside) / len(inside))
    assert float(metric.compute()["ece"]) == pytest.approx(expected, abs=1e-6)


def test_f1_of_a_class_without_a_scene_is_none_and_not_zero():
    metric = ClassScores(4)
    found, labels = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 1, 2])
    metric.update(torch.eye(4)[found], labels)
    assert metric.compute()["f1_by_class"].tolist() == pytest.approx([2 / 3, 2 / 3, 0, -1])


def test_where_nothing_is_predicted_precision_is_one():
    # torchmetrics gives 0 there, and a curve would fall from its best point to the corner.
    values = computed(torch.tensor([[0.6, 0.4, 0, 0], [0.3, 0.7, 0, 0]]), torch.tensor([0, 1]), 2)
    precision = values["curve"][0, :, 1]
    assert precision[THRESHOLDS.shape[0] - 1] == 1 and precision.min() == 0.5


def test_a_batch_of_many_classes_takes_little_memory_where_torch_is_deterministic():
    # As every run is; torchmetrics' own counting would ask for terabytes here.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        metric = PrecisionRecall(200)
        metric.update(torch.rand(64, 200).softmax(1), torch.arange(64))
        assert metric.compute()["curve"].shape == (200, len(THRESHOLDS) + 1, 2)
    finally:
        torch.use_deterministic_algorithms(before)
