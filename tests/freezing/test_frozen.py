"""What is frozen does not move by a bit, for every kind of norm and every optimizer shipped."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from frostline.config import conf_dir
from frostline.freezing.groups import labelled

NORMS = ["batch", "group", "layer"]
OPTIMIZERS = sorted(path.stem for path in (conf_dir() / "optimizer").glob("*.yaml"))
SIZE = 64


def everything(module):
    """Every parameter and buffer, those that no checkpoint holds too."""
    return {name: value.detach().clone() for name, value in [*module.named_parameters(), *module.named_buffers()]}


def moved(before, module):
    """Names of what is no longer bit-equal."""
    after = everything(module)
    assert after.keys() == before.keys()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


class Watch(pl.Callback):
    """What moved in each epoch, and whether the backbone gave, in training, what it gives in evaluation mode."""

    def __init__(self):
        self.moved, self.same = [], []

    def on_train_epoch_start(self, trainer, module):
        self.before = everything(module.model)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        backbone = copy.deepcopy(module.model.backbone)  # a forward pass may move statistics
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            training, trained_embedding = backbone(batch["image"])
            evaluated, embedding = backbone.eval()(batch["image"])
        pairs = zip([*training, trained_embedding], [*evaluated, embedding], strict=True)
        self.same.append(all(torch.equal(a, b) for a, b in pairs))

    def on_train_epoch_end(self, trainer, module):
        self.moved.append(moved(self.before, module.model))


def watched(tiny, norm, schedule, epochs, **options):
    """Train one of timm's small models; returns the task, what moved, and the optimizer."""
    precision, drop = options.pop("precision", "32-true"), options.pop("drop", 0.0)
    watch = Watch()
    task = tiny.make(schedule, epochs, lambda: tiny.small(norm, drop), **options)
    trainer = tiny.fit(task, epochs, size=SIZE, callbacks=[watch], precision=precision)
    return task, watch, trainer.optimizers[0]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_frozen_backbone_does_not_move_by_a_bit(tiny, norm, optimizer, precision):
    # The traps: statistics of batch norms, weight decay (0.5, so that a single step shows), a drop path left on, and
    # training mode that comes back after a validation.
    options = {"optimizer": optimizer, "weight_decay": 0.5, "precision": precision, "drop": 0.5}
    _, watch, used = watched(tiny, norm, "frozen", 3, **options)
    assert watch.moved == [{"head.linear.weight", "head.linear.bias"}] * 3
    assert watch.same == [True] * 6
    frozen = [p for group in used.param_groups if group["name"] not in ("base", "head") for p in group["params"]]
    assert len(frozen) > 10 and not any(used.state.get(p) for p in frozen)  # nothing is kept for it either


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("norm", NORMS)
def test_what_trained_and_is_frozen_later_stays(tiny, norm, optimizer):
    # The trap: an optimizer goes on moving, by momentum, whatever has a gradient, be it zero.
    phases = [{"line": "stem", "until": {"epochs": 1}}, {"line": "head"}]
    task, watch, used = watched(tiny, norm, phases, 3, optimizer=optimizer, weight_decay=0.5, drop=0.5)
    weights = {f"backbone.{name}" for name, p in task.model.backbone.named_parameters() if p.ndim > 1}
    assert watch.moved[0] >= weights
    assert watch.moved[1:] == [{"head.linear.weight", "head.linear.bias"}] * 2
    assert False in watch.same[:2] and watch.same[2:] == [True] * 4
    name = {"adamw": "exp_avg", "sgd": "momentum_buffer"}[optimizer]
    momenta = [bool(used.state[p][name].any()) for p in task.model.backbone.parameters()]
    assert sum(momenta) > len(momenta) / 2  # not all: what a drop path leaves out has none


@pytest.mark.parametrize("norm", NORMS)
def test_surgical_moves_one_stage_and_the_head(tiny, norm):
    # The trap: freezing by depth, which cannot leave a hole, and statistics that move although they are to be kept.
    task, watch, _ = watched(tiny, norm, "surgical", 4)
    head = {"head.linear.weight", "head.linear.bias"}
    stage = {name for name, _ in task.model.named_parameters() if name.startswith("backbone.stages.stage3.")}
    assert stage and task.model.schedule.phases[0].end == 1
    assert watch.moved == [head] + [head | stage] * 3


@pytest.mark.parametrize("norm", NORMS)
def test_bitfit_moves_norms_biases_and_the_head(tiny, norm):
    # The traps: norms told by a list of names, which timm's own are not on, or by being named after `norm`.
    task, watch, _ = watched(tiny, norm, "bitfit", 2)
    kinds = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    norms = {
        f"{path}.{name}"
        for path, m in task.model.named_modules()
        if isinstance(m, kinds)
        for name in ("weight", "bias")
    }
    thin = {name for name, p in task.model.named_parameters() if p.ndim == 1}
    kept = [label.split("/", 2) for label in labelled(task.model, task.model.groups)]
    assert norms and {name for _, kind, name in kept if kind == "norm"} == norms < thin
    assert watch.moved == [thin | {"head.linear.weight"}] * 2


@pytest.mark.parametrize(("norms", "statistics"), [("keep", False), ("train", True)])
def test_statistics_above_the_line_move_only_where_the_phase_says_so(tiny, norms, statistics):
    # The trap: `norms: keep` that keeps nothing after the boundary or a validation, or `train` that keeps them too.
    phases = [{"line": "head", "until": {"epochs": 1}}, {"line": "stage4", "norms": norms}]
    task, watch, _ = watched(tiny, "batch", phases, 3)
    above = ("head.", "backbone.stages.stage4.", "backbone.stages.stage5.", "backbone.tail.")
    names = {name for name in everything(task.model) if name.startswith(above)}
    buffers = {name for name, _ in task.model.named_buffers()}
    assert any("running_mean" in name for name in names & buffers)
    expected = names if statistics else names - buffers
    assert watch.moved == [{"head.linear.weight", "head.linear.bias"}] + [expected] * 2
