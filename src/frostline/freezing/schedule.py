"""Freezing schedules: where the frost line is, and how fast each group learns, at every point of training.

A schedule is pure: `state_at` depends on nothing but its arguments, so a resumed run, another rank and a report all
see the same one. Where a phase ends on a plateau, the epoch at which it did becomes part of the schedule (`ended`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Norms = Literal["train", "keep"]
State = dict[str, float | None]  # part -> scale of its learning rate; None where it is frozen


@dataclass(frozen=True)
class Plateau:
    """When a phase ends early: `metric` has not got better by more than `min_delta` for `patience` epochs of the phase.

    A metric whose name ends in `loss` is better where it is lower, any other where it is higher.
    """

    metric: str
    patience: int
    min_delta: float = 0.0

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value beats the best one so far (None: there is none). NaN beats none, and any number beats it."""
        if math.isnan(value):
            return False
        if best is None or math.isnan(best):
            return True
        return best - value > self.min_delta if self.metric.endswith("loss") else value - best > self.min_delta


@dataclass(frozen=True)
class Phase:
    """One stretch of a schedule.

    scales: factor on the base learning rate for each part, None where it is frozen.
    norms: what the backbone's batch norms in groups that train do: `train`, that is normalise by the batch and gather
        its statistics, or `keep` those that they have. Their weights train in both cases, if the schedule says so.
    warmup: epochs over which a part that was frozen before rises from rate 0, at its first step, to its own; a fraction
        is fine.
    end: epoch at which the phase ends, exclusive; where it has a plateau, at the latest.
    """

    scales: Mapping[str, float | None]
    norms: Norms
    warmup: float
    end: int
    plateau: Plateau | None = None


@dataclass(frozen=True)
class Schedule:
    """Phases in order; the last one ends with the budget.

    parts: part -> labels of its parameters (see `groups.labelled`). A part is a group, or, where the schedule's
        patterns tell parameters of a group apart, `group/…`: the largest sets that every phase treats alike.
    """

    name: str
    phases: tuple[Phase, ...]
    parts: Mapping[str, tuple[str, ...]]

    @property
    def epochs(self) -> int:
        """The budget."""
        return self.phases[-1].end


def phase_at(schedule: Schedule, epoch: float) -> tuple[int, Phase]:
    """Number (from 0) and content of the phase that a point of training lies in. epoch: epochs since the start."""
    return next(
        ((i, phase) for i, phase in enumerate(schedule.phases) if epoch < phase.end),
        (len(schedule.phases) - 1, schedule.phases[-1]),
    )


def state_at(schedule: Schedule, epoch: float) -> State:
    """The learning-rate scale of each part at this point of training, None where it is frozen.

    epoch: epochs since the start, fractions within one; what is frozen never changes within an epoch.
    """
    number, phase = phase_at(schedule, epoch)
    return {
        part: None if scale is None else scale * _risen(schedule, part, number, epoch)
        for part, scale in phase.scales.items()
    }


def _risen(schedule: Schedule, part: str, number: int, epoch: float) -> float:
    """How far a part that trains in this phase has warmed up since it thawed, 0..1."""
    phases = schedule.phases
    while number and phases[number - 1].scales[part] is not None:
        number -= 1  # a warm-up goes on although the line has moved on
    if not number or not phases[number].warmup:
        return 1.0
    return min(1.0, (epoch - phases[number - 1].end) / phases[number].warmup)


def ended(schedule: Schedule, number: int, epoch: int) -> Schedule:
    """The schedule in which phase `number` (from 0) has ended at `epoch`, exclusive, on its plateau."""
    phases = list(schedule.phases)
    phases[number] = replace(phases[number], end=epoch, plateau=None)
    return replace(schedule, phases=tuple(phases))


def frozen_groups(state: State) -> list[str]:
    """Groups of which nothing trains, from the stem upwards."""
    groups = groupby(state, key=lambda part: part.split("/")[0])
    return [group for group, parts in groups if all(state[part] is None for part in parts)]


def depth_of(state: State) -> int:
    """Depth of the frost line: how many groups, from the stem upwards, lie below the lowest that trains."""
    groups = list(dict.fromkeys(part.split("/")[0] for part in state))
    frozen = set(frozen_groups(state))
    return next((i for i, group in enumerate(groups) if group not in frozen), len(groups))


def lines_ahead(schedule: Schedule, epoch: int) -> dict[int, list[int]]:
    """Lower lines to come, the next first: depth -> the epochs, from 0, in which it is the line.

    Only those below which nothing trains until then, so that what is computed there now is still right.
    """
    ahead: dict[int, list[int]] = {}
    lowest = depth_of(state_at(schedule, epoch))
    for later in range(epoch + 1, schedule.epochs):
        depth = depth_of(state_at(schedule, later))
        if depth < lowest:
            ahead[depth] = []
            lowest = depth
        if depth in ahead and depth == lowest:
            ahead[depth].append(later)
    ahead.pop(0, None)  # nothing lies below it
    return ahead
