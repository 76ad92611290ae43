"""Weights of classes: one meaning for all tasks, from the command to the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.runs.build import build_run
from frostline.tasks.weights import balanced

COUNTS = torch.tensor([70, 20, 10])
WEIGHTS = [100 / 210, 100 / 60, 100 / 30]


def test_balanced_is_scikit_learns_and_an_absent_class_changes_nothing():
    labels = np.repeat([0, 1, 3], COUNTS.numpy())
    told = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    found = balanced(torch.bincount(torch.from_numpy(labels), minlength=5))
    assert found[[0, 1, 3]].tolist() == pytest.approx(told.tolist(), rel=1e-6)
    assert found[[2, 4]].tolist() == [1, 1]
    assert balanced(torch.zeros(2, dtype=torch.long)).tolist() == [1, 1]


def losses_of(make, task, *overrides, counts=COUNTS):
    made = make(task, *overrides)
    made.weigh(counts)
    return made


def outputs_and_batch(task):
    generator = torch.Generator().manual_seed(0)
    if task == "segmentation":
        mask = torch.randint(0, 3, (2, 5, 5), generator=generator)
        return torch.randn(2, 3, 5, 5, generator=generator), {"mask": mask, "id": ["a", "b"]}, mask
    labels = torch.tensor([0, 1, 2, 0])
    scores, batch = torch.randn(4, 3, generator=generator), {"label": labels, "id": list("abcd"), "size": 8}
    batch["boxes"] = [torch.zeros(0, 4)] * 4
    return (scores if task == "classification" else (scores, torch.rand(4, 4))), batch, labels


@pytest.mark.parametrize(
    ("task", "name"), [("classification", "class"), ("localization", "class"), ("segmentation", "cross_entropy")]
)
def test_the_cross_entropy_counts_a_class_by_its_weight(make, task, name):
    outputs, batch, labels = outputs_and_batch(task)
    scores = outputs[0] if task == "localization" else outputs
    lost = F.cross_entropy(scores, labels, reduction="none")
    weight = torch.tensor(WEIGHTS)[labels]
    weighed = losses_of(make, task, "task.class_weights=balanced").criterion(outputs, batch)[name]
    assert float(weighed) == pytest.approx(float((weight * lost).sum() / weight.sum()), rel=1e-5)
    given = losses_of(make, task, f"task.class_weights={WEIGHTS}").criterion(outputs, batch)[name]
    assert float(given) == pytest.approx(float(weighed), rel=1e-5)
    # Without, nothing is counted whatever is told, to the last digit.
    plain = losses_of(make, task).criterion(outputs, batch)[name]
    assert torch.equal(plain, lost.mean()) or float(plain) == pytest.approx(float(lost.mean()), rel=1e-6)


@pytest.mark.parametrize("task", ["classification", "localization"])
def test_a_batch_of_classes_that_do_not_count_teaches_nothing(make, task):
    # torch's own weighted mean is 0 / 0 there, which would stop the run.
    outputs, batch, _ = outputs_and_batch(task)
    batch["label"] = torch.zeros(4, dtype=torch.long)
    assert losses_of(make, task, "task.class_weights=[0, 1, 1]").criterion(outputs, batch)["class"] == 0
    tiny = losses_of(make, task, "task.class_weights=[1e-20, 1, 1]").criterion(outputs, batch)["class"]
    assert tiny == pytest.approx(float(losses_of(make, task).criterion(outputs, batch)["class"]), rel=1e-5)


def test_mixed_labels_count_by_the_weights_of_their_classes(make):
    outputs, batch, labels = outputs_and_batch("classification")
    task = losses_of(make, "classification", "task.class_weights=balanced")
    soft = task.criterion(outputs, {"label": F.one_hot(labels, 3).float()})["class"]
    assert float(soft) == pytest.approx(float(task.criterion(outputs, batch)["class"]), rel=1e-5)


@pytest.mark.parametrize("setting", ["balanced", "[1, 2, 4]"])
def test_a_detector_is_told_its_weights(make, setting):
    task = losses_of(make, "detection", f"task.class_weights={setting}")
    expected = WEIGHTS if setting == "balanced" else [1, 2, 4]
    assert task.detector.class_weights.tolist() == pytest.approx(expected)
    assert losses_of(make, "detection").detector.class_weights is None


@pytest.mark.parametrize("task", ["classification", "localization", "detection", "segmentation"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("even", "is 'even'; it is balanced, a number for each class, or null"),
        ("[1, 2]", r"has 2 numbers, and there are 3 classes: a, b, c"),
        ("[1, -1, 1]", "task.class_weights is -1"),
        ("[0, 0, 0]", "leave nothing to learn"),
    ],
)
def test_what_are_no_weights_is_told(make, task, setting, words):
    with pytest.raises(FrostlineError, match=words):
        make(task, f"task.class_weights={setting}")


def test_weights_without_a_cross_entropy_are_refused(make):
    with pytest.raises(FrostlineError, match="they weigh the cross-entropy"):
        make("segmentation", "task.class_weights=balanced", "task.losses.cross_entropy=0")


@pytest.mark.parametrize("task", ["classification", "localization", "detection", "segmentation"])
def test_a_run_counts_its_training_scenes(small, small_meadow, task, here):
    built = build_run(
        compose([*small, f"task={task}", "tracking=none", "task.class_weights=balanced"]), small_meadow, "x"
    )
    counts = built.data.occurrences.by_class(len(built.data.classes))
    assert torch.equal(built.task.class_weights, balanced(counts))
    assert not any("class_weights" in name for name in built.task.state_dict())
