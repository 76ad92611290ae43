"""Every (backbone, task, head) that `frostline models` calls possible: a step, an evaluation, its weights in a twin."""

from dataclasses import fields
from functools import cache, partial

import numpy as np
import pytest
import torch

from frostline.config import build, compose, conf_dir, conf_files
from frostline.freezing.groups import check_partition
from frostline.loading.batch import made_up
from frostline.predict.kinds import Classified, Detected, Located, Segmented
from frostline.runs.anatomy import heads_on
from frostline.runs.build import build_task, class_of, smallest_side
from frostline.runs.catalogue import node_of, shipped

CLASSES = ("a", "b", "c")
# One of each kind: of own sizes, without padding, a chain, a transformer. The others take minutes, so `make proofs`.
QUICK = {"lenet5", "small_cnn", "mobilenetv3_small", "vit_small"}
FEW_WINDOWS = {"sliding_window": {"sizes": [64, 96]}}  # it scores each by itself


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in shipped()]
)
def test_everything_that_is_possible_works(name):
    possible = heads_on(made(name, True, None, 0))
    assert possible["classification"] == ["linear"]
    failed = []
    for task, heads in possible.items():
        for head in heads:
            try:
                works(name, task, head)
            except Exception as error:  # all of them are tried, and all that failed are told
                failed.append(f"{task} {head}: {type(error).__name__}: {error}")
    made.cache_clear()
    assert not failed, "\n".join(failed)


def test_the_product_leaves_no_file_out():
    assert set(shipped()) | {"timm"} == {path.stem for path in (conf_dir() / "backbone").glob("*.yaml")}
    assert set(shipped()) > QUICK


def works(name, task_name, head_name):
    task, side = assembled(name, task_name, head_name, copy=0)
    check_partition(task, task.model.groups)
    assert list(task.model.groups) == [*task.model.backbone.groups, "head"]
    batch = made_up(2, side, len(CLASSES))

    task.model.move_line(0)
    task.train()
    optimizer = torch.optim.SGD(task.parameters(), 1e-4)
    loss = sum(task.criterion(task.answers(batch), batch).values())
    loss.backward()
    assert torch.isfinite(loss)
    for group, modules in task.model.groups.items():
        gradients = [p.grad for m in modules for p in m.parameters() if p.grad is not None]
        assert gradients, f"{group} learns nothing"
        assert all(bool(g.isfinite().all()) for g in gradients), f"{group} has a gradient that is no number"
    # As in a run. Two values in a batch norm, of maps of one cell, make gradients of any size.
    torch.nn.utils.clip_grad_norm_(task.parameters(), composed(task_name)["trainer"]["clip_norm"])
    optimizer.step()
    optimizer.zero_grad()

    task.eval()
    with torch.no_grad():
        outputs = task.answers(batch)
        assert torch.isfinite(sum(task.criterion(outputs, batch).values()))
        found = task.predict(outputs, batch)
        task.update(task.val_metrics, found, batch)
        assert all(mistake.amount >= 0 for mistake in task.mistakes(found, batch))
        measured = float(task.val_metrics.compute()[task.primary])
        assert 0 <= measured <= 1
    in_range(found, side)

    other, _ = assembled(name, task_name, head_name, copy=1)
    other.load_state_dict(task.state_dict())
    other.eval()
    with torch.no_grad():
        same(found, other.predict(other.answers(batch), batch))


def assembled(name, task_name, head_name, copy):
    """The task on the smallest pictures that it takes, and their side."""
    config = dict(composed(task_name))
    head = head_files()[head_name] | FEW_WINDOWS.get(head_name, {})
    reads = class_of(head["_target_"]).reads_embedding
    small = smallest_side(made(name, True, None, 0), class_of(head["_target_"]))
    side = small if "sides" in node(name) else -(-small // 32) * 32
    backbone = made(name, reads, side, copy)
    torch.manual_seed(copy)
    config |= {"backbone": node(name), "head": head, "image_size": side}
    return build_task(config, CLASSES, backbone=backbone), side


# Read once: there are hundreds of pairs.
head_files, node = cache(partial(conf_files, "head")), cache(node_of)


@cache
def made(name, with_embedding, side, copy):
    """A backbone of random weights, other ones for each copy; heads take turns on it."""
    torch.manual_seed(copy)
    return build(node(name), with_embedding=with_embedding, image_size=side, without=["sides"])


@cache
def composed(task_name):
    # So that untrained detectors say something that can be looked at.
    sure = ["task.min_score=0"] if task_name == "detection" else []
    return compose([f"task={task_name}", "schedule=full", "trainer.epochs=1", *sure])


def in_range(predictions, side):
    assert len(predictions) == 2
    for found in predictions:
        if isinstance(found, Classified):
            shares = found.probabilities
            assert shares.shape == (len(CLASSES),) and bool((shares >= 0).all())
            assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
        if isinstance(found, Located):
            assert found.box.shape == (4,) and bool(((found.box >= 0) & (found.box <= side)).all())
        if isinstance(found, Segmented):
            assert found.mask.shape == (side, side)
            assert set(np.unique(found.mask).tolist()) <= set(range(len(CLASSES)))
        if isinstance(found, Detected):
            boxes, scores, labels = found.boxes, found.scores, found.labels
            assert boxes.shape == (len(scores), 4) and labels.shape == scores.shape and len(scores) <= 100
            assert bool(((boxes >= 0) & (boxes <= side)).all()) and bool((boxes[:, 2:] >= boxes[:, :2]).all())
            assert bool(((scores >= 0) & (scores <= 1)).all()) and set(labels.tolist()) <= set(range(len(CLASSES)))
    assert not isinstance(predictions[0], Detected) or any(len(found.scores) for found in predictions)


def same(one, other):
    """Whatever a task predicts, the same to the last bit."""
    for mine, its in zip(one, other, strict=True):
        values = [(getattr(mine, f.name), getattr(its, f.name)) for f in fields(mine)]
        assert all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in values)
