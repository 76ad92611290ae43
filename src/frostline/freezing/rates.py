"""Base learning-rate schedules, and the rate of each part: its scale in the freezing schedule x the base rate.

The optimizer has, beside its parameters, a parameter group without any, `base`: a learning-rate scheduler of torch
drives its rate, and every other group's rate is set from it before each step. So any scheduler works with any freezing
schedule, its state is kept in checkpoints as usual, and it never meets a new group.

Each function here takes the optimizer and the number of steps and epochs of the whole budget, and returns what
Lightning's `configure_optimizers` calls an `lr_scheduler_config`. They are chosen in conf/rate/. All shares are of the
whole budget, in 0..1. Raises ValueError for an option out of its range.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

BASE = "base"  # name of the parameter group whose rate the scheduler drives
RateSchedule = Callable[[Optimizer, int, int], dict[str, Any]]


def constant(optimizer: Optimizer, steps: int, epochs: int, warmup: float = 0.0) -> dict[str, Any]:
    """One rate, after a linear rise over `warmup`, a share of the budget."""
    _check_share("warmup", warmup, most=0.9)
    return _each_step(lr_scheduler.LambdaLR(optimizer, lambda step: _rise(step / steps, warmup)))


def cosine(optimizer: Optimizer, steps: int, epochs: int, warmup: float = 0.0) -> dict[str, Any]:
    """A linear rise over `warmup`, a share of the budget, then half a cosine down to 0."""
    _check_share("warmup", warmup, most=0.9)
    return _each_step(lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step / steps, warmup)))


def one_cycle(optimizer: Optimizer, steps: int, epochs: int, warmup: float = 0.3) -> dict[str, Any]:
    """torch's OneCycleLR (Smith & Topin 2018, arXiv:1708.07120) up to the optimizer's rate; momentum stays as it is."""
    _check_share("warmup", warmup, most=0.9)
    peak = optimizer.defaults["lr"]
    rise = warmup if warmup * steps > 1 else 0.0  # torch divides by zero where the rise is one step long
    return _each_step(
        lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=steps, pct_start=rise, cycle_momentum=False)
    )


def step(optimizer: Optimizer, steps: int, epochs: int, every: float = 0.3, factor: float = 0.1) -> dict[str, Any]:
    """torch's StepLR: the rate times `factor` after each `every`, a share of the budget."""
    _check_share("every", every)
    if not 0 < factor <= 1:
        raise ValueError(f"factor is {factor}; it lies above 0 and is at most 1")
    size = max(1, round(every * steps))
    return _each_step(lr_scheduler.StepLR(optimizer, step_size=size, gamma=factor))


def plateau(
    optimizer: Optimizer, steps: int, epochs: int, monitor: str = "val_loss", factor: float = 0.3, patience: int = 2
) -> dict[str, Any]:
    """torch's ReduceLROnPlateau: the rate times `factor` once `monitor` has not improved for `patience` epochs.

    `FrostLine` steps it, at the end of each epoch.
    """
    if not 0 < factor < 1 or patience < 0:
        raise ValueError(f"factor {factor} must lie between 0 and 1, patience {patience} must not be negative")
    mode: Any = "min" if monitor.endswith("loss") else "max"
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience)
    return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}


def warmup_cosine(progress: float, warmup: float) -> float:
    """Factor on the learning rate at this share of the training (0..1): a linear rise, then half a cosine down to 0.

    After SGDR without restarts (Loshchilov & Hutter 2017, arXiv:1608.03983).
    """
    if progress < warmup:
        return _rise(progress, warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def base_rates(
    rate: RateSchedule, make_optimizer: Callable[[list[dict[str, Any]]], Optimizer], epochs: int
) -> list[float]:
    """The base rate in the middle of each epoch, as far as it can be known before training (no plateau is met)."""
    fine = 100  # steps an epoch; any even number does
    optimizer = make_optimizer([{"params": [torch.zeros(1, requires_grad=True)]}])
    config = rate(optimizer, epochs * fine, epochs)
    seen = []
    for _ in range(epochs * fine):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if config["interval"] == "step":
            config["scheduler"].step()
    return seen[fine // 2 :: fine]


def _check_share(name: str, value: float, most: float = 1.0) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name} is {value}; it is a share of the budget, 0 to {most:g}")


def _rise(progress: float, warmup: float) -> float:
    return (progress + 1e-3) / (warmup + 1e-3) if progress < warmup else 1.0


def _each_step(scheduler: lr_scheduler.LRScheduler) -> dict[str, Any]:
    return {"scheduler": scheduler, "interval": "step"}
