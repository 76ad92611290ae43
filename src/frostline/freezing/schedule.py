"""Freezing schedules: where the frost line is, and how fast each group learns, at every epoch.

A schedule is pure: `state_at` depends on nothing but its arguments, so a resumed run, another rank and a report all
see the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from frostline.errors import FrostlineError

Norms = Literal["train", "keep"]
State = dict[str, float | None]  # group -> scale of its learning rate; None where it is frozen


@dataclass(frozen=True)
class Phase:
    """One stretch of a schedule.

    line: the lowest group that trains; every group below it is frozen.
    scale: factor on the base learning rate, for all groups above the line or by group.
    norms: what the backbone's batch norms above the line do: `train`, that is normalise by the batch and gather its
        statistics, or `keep` those that they have. Their weights train in both cases.
    end: epoch at which the phase ends, exclusive; None for the end of the budget.
    """

    line: str
    scale: float | Mapping[str, float] = 1.0
    norms: Norms = "train"
    end: int | None = None


@dataclass(frozen=True)
class Schedule:
    """Phases in order; the last one lasts until the budget is spent."""

    name: str
    phases: tuple[Phase, ...]


def parse_schedule(config: Mapping[str, Any], epochs: int, groups: Sequence[str]) -> Schedule:
    """A schedule file, resolved for a budget and a model.

    config: `name`, and `phases`: each with `line`, optionally `scale` and `norms`, and (all but the last) `until`,
        which is `{epochs: n}` or `{share: s}` of the budget, both counted from the start of training. A share is
        rounded to whole epochs, but every phase lasts at least one.
    epochs: the budget. groups: names from the stem to the head.
    Raises FrostlineError where a phase names no group, is out of order, or leaves nothing for the next.
    """
    name = str(config["name"])
    where = f"schedule '{name}'"
    entries = list(config.get("phases") or [])
    if not entries:
        raise FrostlineError(f"{where} has no phases: give at least one with a frost line.")
    phases: list[Phase] = []
    start = 0
    for number, entry in enumerate(entries, 1):
        here = f"{where}, phase {number}"
        unknown = set(entry) - {"line", "scale", "norms", "until"}
        if unknown:
            raise FrostlineError(f"{here} has an unknown key '{min(unknown)}': line, scale, norms and until are known.")
        norms = entry.get("norms", "train")
        if norms not in get_args(Norms):
            raise FrostlineError(f"{here}: norms is '{norms}'; choose train or keep.")
        line = str(entry.get("line"))
        if line not in groups:
            raise FrostlineError(f"{here}: '{line}' is no group of this model; its groups are {', '.join(groups)}.")
        last = number == len(entries)
        end = None if last else _end(entry.get("until"), start, epochs, here)
        if last and entry.get("until") is not None:
            raise FrostlineError(f"{here} is the last one and lasts until the budget ends: take its 'until' away.")
        if end is not None and not start < end < epochs:
            raise FrostlineError(
                f"{here} would end at epoch {end}, but it starts at {start} and the budget is {epochs} epochs: "
                "every phase needs an epoch (raise trainer.epochs or change the phase)."
            )
        phases.append(Phase(line, _scale(entry.get("scale", 1.0), groups, line, here), norms, end))
        start = end or start
    return Schedule(name, tuple(phases))


def phase_at(schedule: Schedule, epoch: int) -> Phase:
    """The phase that an epoch (from 0) lies in."""
    return next(phase for phase in schedule.phases if phase.end is None or epoch < phase.end)


def state_at(schedule: Schedule, epoch: int, groups: Sequence[str]) -> State:
    """The learning-rate scale of each group in this epoch (from 0), None where it is frozen."""
    phase = phase_at(schedule, epoch)
    line = groups.index(phase.line)
    scale = phase.scale
    return {
        group: None if i < line else float(scale[group] if isinstance(scale, Mapping) else scale)
        for i, group in enumerate(groups)
    }


def depth_of(state: State) -> int:
    """Depth of the frost line: how many groups lie below it."""
    return next((i for i, scale in enumerate(state.values()) if scale is not None), len(state))


def _end(until: Any, start: int, epochs: int, here: str) -> int:
    if not isinstance(until, Mapping) or len(until) != 1 or next(iter(until)) not in ("epochs", "share"):
        raise FrostlineError(f"{here} must say until when: 'until: {{epochs: 3}}' or 'until: {{share: 0.3}}'.")
    ((kind, amount),) = until.items()
    if not isinstance(amount, int | float) or amount <= 0 or (kind == "share" and amount >= 1):
        raise FrostlineError(f"{here}: until {kind} is {amount!r}; a share lies between 0 and 1, epochs above 0.")
    return int(amount) if kind == "epochs" else max(start + 1, round(amount * epochs))


def _scale(scale: Any, groups: Sequence[str], line: str, here: str) -> float | dict[str, float]:
    by_group = {str(k): v for k, v in scale.items()} if isinstance(scale, Mapping) else None
    values = list(by_group.values()) if by_group is not None else [scale]
    if any(isinstance(v, bool) or not isinstance(v, int | float) or v <= 0 for v in values):
        raise FrostlineError(f"{here}: a learning-rate scale is a number above 0, not {scale!r}.")
    if by_group is None:
        return float(scale)
    above = set(groups[groups.index(line) :])
    if set(by_group) != above:
        odd = ", ".join(sorted(set(by_group) ^ above))
        raise FrostlineError(f"{here}: scale must name each group from the line up exactly once; look at {odd}.")
    return by_group
