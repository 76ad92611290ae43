"""Every backbone of conf/ with every head of every task: what `frostline models` calls possible works, and no more.

The backbones of QUICK are in the ordinary suite, all the others in `make proofs`.
"""

import io
from copy import deepcopy
from functools import cache

import pytest
import torch
from torchvision.ops import box_convert

from frostline.config import compose, conf_dir
from frostline.errors import FrostlineError
from frostline.freezing.groups import check_partition
from frostline.studies import run
from frostline.studies.architectures import architecture, names, tasks_known
from frostline.studies.run import build_task, class_of, task_class

QUICK = {"lenet5", "small_cnn", "mobilenetv3_small"}
CLASSES = ("a", "b", "c")
SIZES = {"lenet5": 32}  # px; all others take 64


def pairs():
    """Each task with each head that gives what it reads."""
    heads = sorted(path.stem for path in (conf_dir() / "head").glob("*.yaml"))
    for task in tasks_known():
        configs = {head: compose([f"task={task}", f"head={head}"]) for head in heads}
        for head, config in configs.items():
            if class_of(config["head"]["_target_"]).gives == task_class(config).reads:
                yield task, head


PAIRS = list(pairs())
ALL = [
    pytest.param(name, task, head, marks=[] if name in QUICK else pytest.mark.slow, id=f"{name}-{task}-{head}")
    for name in names()
    for task, head in PAIRS
]


@cache
def table_row(name):
    return architecture(name)


@cache
def backbone_of(name, with_embedding, size):
    extra = [] if name in ("lenet5", "small_cnn") else ["backbone.pretrained=false"]
    return build(compose([f"backbone={name}", f"image_size={size}", *extra]), with_embedding)


build = run.build_backbone


@pytest.fixture
def quickly(monkeypatch):
    """Backbones are built once, and copied."""

    def copied(config, with_embedding):
        return deepcopy(backbone_of(config["backbone"]["conf"], with_embedding, config["image_size"]))

    monkeypatch.setattr(run, "build_backbone", copied)


def config_of(name, task, head):
    size = SIZES.get(name, 256 if head == "pan" else 64)
    chosen = [f"task={task}", f"backbone={name}", f"head={head}", f"image_size={size}"]
    chosen += ["head.sizes=[64,96]"] if head in ("sliding_window", "fully_convolutional") else []
    config = compose([*chosen, "schedule=full", "trainer.epochs=1", "optimizer=sgd", "optimizer.lr=0.001"])
    config["backbone"]["conf"] = name
    return config


def batch_of(size):
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.tensor([[0.1, 0.1, 0.9, 0.6], [0.5, 0.5, 0.9, 0.9]]) * size, torch.zeros(0, 4)]
    return {
        "image": torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator),
        "size": size,
        "id": ["x", "y"],
        "label": torch.tensor([0, 2]),
        "boxes": boxes,
        "box_labels": [torch.tensor([0, 1]), torch.zeros(0, dtype=torch.long)],
        "mask": (mask := torch.randint(0, 3, (2, size, size), generator=generator)),
        "native_mask": list(mask),
        "native_place": [(0, 0, size, size)] * 2,
    }


def check_ranges(task, predictions, size):
    if task == "detection":
        for found in predictions:
            if len(found["boxes"]):
                assert found["boxes"].min() >= 0 and found["boxes"].max() <= size
                assert found["scores"].min() >= 0 and found["scores"].max() <= 1
                assert found["labels"].min() >= 0 and found["labels"].max() < len(CLASSES)
    elif task == "segmentation":
        assert predictions.shape == (2, size, size)
        assert predictions.min() >= 0 and predictions.max() < len(CLASSES)
    else:
        probabilities = predictions["probabilities"] if task == "localization" else predictions
        assert torch.allclose(probabilities.sum(1), torch.ones(2)) and probabilities.min() >= 0
        if task == "localization":
            corners = box_convert(predictions["boxes"], "cxcywh", "xyxy")
            assert corners.shape == (2, 4) and predictions["boxes"].min() >= 0 and predictions["boxes"].max() <= 1


@pytest.mark.parametrize(("name", "task", "head"), ALL)
def test_what_the_table_calls_possible_works_and_the_rest_is_refused(name, task, head, quickly):
    config = config_of(name, task, head)
    if head not in table_row(name).heads.get(task, []):
        with pytest.raises(FrostlineError):
            build_task(config, CLASSES)
        return
    torch.manual_seed(0)
    model, batch = build_task(config, CLASSES), batch_of(config["image_size"])
    check_partition(model, model.groups)
    model.move_line(0)
    model.train()
    before = {key: parameter.clone() for key, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(2 if head.startswith("fcn") else 1):  # whose scores start from zero, and pass nothing down
        loss = torch.stack(list(model.criterion(model.outputs(batch), batch).values())).sum()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    for group, modules in model.groups.items():  # the step reached every one of them
        inside = {id(parameter) for module in modules for parameter in module.parameters()}
        moved = [key for key, p in model.named_parameters() if id(p) in inside and not torch.equal(p, before[key])]
        assert moved, group
    model.eval()
    metrics = model.make_metrics()
    with torch.no_grad():
        outputs = model.outputs(batch)
        predictions = model.postprocess(outputs)
        model.measure(metrics, outputs, batch)
    assert all(bool(value.float().isfinite().all()) for value in metrics.compute().values())
    check_ranges(task, predictions, config["image_size"])
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = build_task(config, CLASSES).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        again = other.postprocess(other.outputs(batch))
    assert same(predictions, again)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other)
