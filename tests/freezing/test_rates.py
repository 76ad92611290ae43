"""Every part's rate is its scale x the base rate, whichever freezing schedule meets whichever base rate."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch.optim import lr_scheduler

from frostline.config import conf_dir
from frostline.freezing.rates import one_cycle
from frostline.freezing.schedule import ended, state_at

EPOCHS, STEPS = 12, 2


def names(group):
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


# Where a phase waits for a plateau of a loss that never changes: patience + 1 epochs, as the first one sets the mark.
ENDS = {"lp_ft": 4, "surgical": 3, "thaw": 3, "thaw_top": 3}


class Rates(pl.Callback):
    """What each optimizer group's rate is when the optimizer steps."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen.append({group["name"]: group["lr"] for group in optimizer.param_groups})


def base_rates(name, option, peak, epochs, steps):
    """The rate of one parameter under torch's own scheduler, before each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    total = epochs * steps

    def rise(step):
        return (step / total + 1e-3) / (option["warmup"] + 1e-3) if step / total < option["warmup"] else None

    def half_cosine(step):
        done = (step / total - option["warmup"]) / (1 - option["warmup"])
        return (1 + math.cos(math.pi * min(done, 1))) / 2

    scheduler = {
        "constant": lambda: lr_scheduler.LambdaLR(optimizer, lambda step: rise(step) or 1),
        "cosine": lambda: lr_scheduler.LambdaLR(optimizer, lambda step: rise(step) or half_cosine(step)),
        "one_cycle": lambda: lr_scheduler.OneCycleLR(
            optimizer, peak, total, pct_start=option["warmup"], cycle_momentum=False
        ),
        "step": lambda: lr_scheduler.StepLR(optimizer, round(option["every"] * total), option["factor"]),
        "plateau": lambda: lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=option["factor"], patience=option["patience"]
        ),
    }[name]()
    seen = []
    for step in range(1, total + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if name != "plateau":
            scheduler.step()
        elif step % steps == 0:
            scheduler.step(1.0)
    return seen


@pytest.mark.parametrize("rate", names("rate"))
@pytest.mark.parametrize("schedule", names("schedule"))
def test_every_schedule_crosses_its_boundaries_under_every_base_rate(tiny, schedule, rate):
    # The traps: a scheduler that overwrites what a boundary has set, or loses its place at one; a phase that ends an
    # epoch late or early.
    watch = Rates()
    task = tiny.make(schedule, EPOCHS, rate=rate, kind=tiny.Flat)
    before = task.model.schedule
    tiny.fit(task, EPOCHS, STEPS, callbacks=[watch])

    expected = ended(before, 0, ENDS[schedule]) if schedule in ENDS else before
    assert task.model.schedule == expected
    bases = base_rates(rate, tiny.option("rate", rate), tiny.option("optimizer", "adamw")["lr"], EPOCHS, STEPS)
    assert len(watch.seen) == len(bases) == EPOCHS * STEPS
    for step, (rates, base) in enumerate(zip(watch.seen, bases, strict=True)):
        assert rates.pop("base") == pytest.approx(base, rel=1e-12, abs=0)
        state = state_at(expected, step / STEPS)
        assert rates.keys() == state.keys()
        for part, scale in state.items():
            assert rates[part] == pytest.approx((scale or 0) * base, rel=1e-12, abs=0), (step, part)


def test_base_rates_do_change(tiny):
    # Guards the test above, which would say little if few of them moved, or none at a boundary.
    seen = {rate: base_rates(rate, tiny.option("rate", rate), 1.0, EPOCHS, STEPS) for rate in names("rate")}
    numbers = {rate: len(set(bases)) for rate, bases in seen.items()}
    assert numbers == {"constant": 1, "cosine": 24, "one_cycle": 24, "plateau": 4, "step": 4}


def test_each_phase_counts_for_itself(tiny):
    # The trap: a second phase that goes on counting where the first one ended.
    phases = [
        {"line": "head", "until": {"plateau": "val_loss", "patience": 1, "at_most": {"epochs": 3}}},
        {"line": "stage5", "until": {"plateau": "val_accuracy", "patience": 99, "at_most": {"epochs": 5}}},
        {"line": "stage4", "until": {"plateau": "val_loss", "patience": 2}},
        {"line": "stem"},
    ]
    task = tiny.make(phases, 10, kind=tiny.Flat)
    tiny.fit(task, 10)
    assert [phase.end for phase in task.model.schedule.phases] == [2, 5, 8, 10]


def test_what_thaws_rises_in_a_straight_line_from_nothing(tiny):
    # The traps: a rise that starts again at each boundary, that slows what had trained before, or that starts at the
    # at_most of a phase which ended early.
    phases = [
        {"line": "head", "until": {"plateau": "val_loss", "patience": 1, "at_most": {"epochs": 4}}},  # ends at 2
        {"line": "stage5", "scale": 0.5, "warmup": {"epochs": 2}, "until": {"epochs": 5}},
        {"line": "stem", "scale": 0.25, "warmup": {"epochs": 0.5}},
    ]
    watch = Rates()
    tiny.fit(tiny.make(phases, 7, kind=tiny.Flat), 7, steps=4, callbacks=[watch])
    peak = tiny.option("optimizer", "adamw")["lr"]
    scales = {part: [rates[part] / peak for rates in watch.seen] for part in ("head", "stage5", "stem")}
    assert scales["head"] == pytest.approx([1] * 8 + [0.5] * 12 + [0.25] * 8, rel=1e-12)
    rise = [0.5 * i / 8 for i in range(8)]
    assert scales["stage5"] == pytest.approx([0] * 8 + rise + [0.5] * 4 + [0.25] * 8, rel=1e-12)
    assert scales["stem"] == pytest.approx([0] * 20 + [0, 0.125] + [0.25] * 6, rel=1e-12)


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_only_weights_that_train_decay(tiny, optimizer):
    # The traps: frozen weights that shrink, biases and norms that do. With a decay this strong, any step would show.
    phases = [{"rates": {"(stage1|head)/.*": 1.0, "others": "frozen"}}]
    task = tiny.make(phases, 2, optimizer=optimizer, lr=0.1, weight_decay=5.0)
    for parameter in task.parameters():
        parameter.data.fill_(1.0)  # so that no gradient comes near the decay
    decays = {}

    class Decay(pl.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            for group in optimizer.param_groups[1:]:
                for parameter in group["params"]:
                    decays[parameter] = group["weight_decay"]
                    if parameter.grad is not None:
                        parameter.grad.zero_()

    tiny.fit(task, 2, callbacks=[Decay()])
    for name, parameter in task.named_parameters():
        shrinks = parameter.ndim > 1 and ("stage1" in name or "head" in name)
        assert (parameter.max() < 0.5) if shrinks else torch.equal(parameter, torch.ones_like(parameter)), name
        assert decays[parameter] == (5.0 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_cycle_whose_rise_is_one_step_long_can_be_built(steps):
    # torch divides by zero there.
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = one_cycle(optimizer, steps, 1, warmup=min(1 / steps, 0.9))["scheduler"]
    for _ in range(steps - 1):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] < 1.0
