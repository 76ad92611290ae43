"""Freezing schedules: where the frost line is, and how fast each group learns, at every point of training.

A schedule is pure: `state_at` depends on nothing but its arguments, so a resumed run, another rank and a report all
see the same one. Where a phase ends on a plateau, the epoch at which it did becomes part of the schedule (`ended`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from frostline.errors import FrostlineError

Norms = Literal["train", "keep"]
State = dict[str, float | None]  # part -> scale of its learning rate; None where it is frozen
INF = float("inf")
OTHERS = "others"  # the pattern for every parameter that no other pattern of its phase matches
KEYS = {"line", "only", "rates", "scale", "decay", "norms", "warmup", "until"}


@dataclass(frozen=True)
class Plateau:
    """When a phase ends early: `metric` has not got better by more than `min_delta` for `patience` epochs of the phase.

    A metric whose name ends in `loss` is better where it is lower, any other where it is higher.
    """

    metric: str
    patience: int
    min_delta: float = 0.0

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value beats the best one so far (None: there is none)."""
        if best is None:
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
class Span:
    """What a phase of a schedule file says for any model; see `Phase`."""

    norms: Norms
    warmup: float
    end: int
    plateau: Plateau | None


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


def parse_schedule(config: Mapping[str, Any], epochs: int, labels: Sequence[str]) -> Schedule:
    """A schedule file, resolved for a budget and a model.

    config: `name`, and `phases`. Each phase says what trains, by one of
        `line`: the lowest group that trains, by name or counted from the top (-1 is the head), or `{from: …, to: …}`,
            which lowers the line group by group in equal steps until the phase ends;
        `only`: the list of groups that train;
        `rates`: a mapping of patterns (regular expressions for whole labels, `others` for the rest) to a learning-rate
            scale or the word `frozen`;
    how fast, with `line` and `only`: `scale`, a number or one for each group that trains, times `decay` for each group
    that lies between it and the head; `norms` and `warmup` (see `Phase`; `{epochs: n}` or `{share: s}`); and, in all
    but the last phase, `until`: `{epochs: n}` or `{share: s}` of the budget, both counted from the start of training,
    or `{plateau: METRIC, patience: n, min_delta: d, at_most: {share: s}}`. A share is rounded to whole epochs, but
    every phase lasts at least one.
    epochs: the budget. labels: of all parameters, from the stem to the head.
    Raises FrostlineError where a phase names what is not there, leaves nothing to train, covers a parameter twice or
    never, is out of order, or leaves nothing for the next.
    """
    name, entries, spans = str(config["name"]), config.get("phases"), parse_spans(config, epochs)
    phases: list[Phase] = []  # by label; parts become known once all are there
    start = 0
    for number, (entry, span) in enumerate(zip(entries or [], spans, strict=True), 1):
        here = f"schedule '{name}', phase {number}"
        settings = list(_settings(entry, labels, here))
        if span.warmup and number == 1 and len(settings) == 1:
            raise FrostlineError(f"{here}: nothing has thawed yet; take its warmup away and set rate.warmup instead.")
        if span.plateau and len(settings) > 1:
            raise FrostlineError(f"{here}: a line that moves step by step cannot wait for a plateau; give it an end.")
        # Where there are fewer epochs than steps, the line moves by more than one group at a time.
        steps = {start + round(step * (span.end - start) / len(settings)): s for step, s in enumerate(settings, 1)}
        phases += [
            Phase(scales, span.norms, span.warmup, stop, span.plateau) for stop, scales in steps.items() if stop > start
        ]
        start = span.end
    parts = _parts(labels, [phase.scales for phase in phases])
    by_part = [
        replace(phase, scales={part: phase.scales[members[0]] for part, members in parts.items()}) for phase in phases
    ]
    return Schedule(name, tuple(by_part), parts)


def parse_spans(config: Mapping[str, Any], epochs: int) -> list[Span]:
    """How long each phase of a schedule file lasts under a budget, which needs no model to be told.

    Raises FrostlineError as `parse_schedule` does, where a phase is out of order, or leaves nothing for the next.
    """
    where = f"schedule '{config['name']}'"
    entries = config.get("phases")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise FrostlineError(f"{where} has no phases: give a list of at least one.")
    spans: list[Span] = []
    end, reached = 0, 0.0  # the same, before it is rounded to whole epochs
    for number, entry in enumerate(entries, 1):
        here = f"{where}, phase {number}"
        _check_keys(entry, KEYS, here)
        norms = entry.get("norms", "train")
        if norms not in get_args(Norms):
            raise FrostlineError(f"{here}: norms is '{norms}'; choose train or keep.")
        warmup = _duration(entry["warmup"], epochs, f"{here}: warmup") if entry.get("warmup") is not None else 0.0
        end, reached, plateau = _end(entry.get("until"), end, reached, epochs, len(entries) - number, here)
        spans.append(Span(norms, warmup, end, plateau))
    return spans


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
    frozen: dict[str, bool] = {}
    for part, scale in state.items():
        group = part.split("/")[0]
        frozen[group] = frozen.get(group, True) and scale is None
    return [group for group, whole in frozen.items() if whole]


def depth_of(state: State) -> int:
    """Depth of the frost line: how many groups, from the stem upwards, lie below the lowest that trains."""
    groups = list(dict.fromkeys(part.split("/")[0] for part in state))
    frozen = set(frozen_groups(state))
    return next((i for i, group in enumerate(groups) if group not in frozen), len(groups))


def _settings(entry: Mapping[str, Any], labels: Sequence[str], here: str) -> Iterator[dict[str, float | None]]:
    """The scale of every label, None where frozen; several in turn for a line that moves."""
    given = [key for key in ("line", "only", "rates") if key in entry]
    if len(given) != 1:
        raise FrostlineError(f"{here} must say what trains by one of line, only and rates; it has {given or 'none'}.")
    groups = list(dict.fromkeys(label.split("/")[0] for label in labels))
    if given == ["rates"]:
        if spare := {"scale", "decay"} & set(entry):
            raise FrostlineError(f"{here}: rates says every scale; take '{min(spare)}' away.")
        yield _by_pattern(entry["rates"], labels, here)
        return
    if given == ["only"]:
        wanted = entry["only"] if isinstance(entry["only"], Sequence) and not isinstance(entry["only"], str) else []
        choices = [[groups[_place(group, groups, here)] for group in wanted]]
    else:
        choices = [groups[place:] for place in _lines(entry["line"], groups, here)]
    for chosen in choices:
        if not chosen:
            raise FrostlineError(f"{here} leaves nothing to train: name at least one group in 'only', as a list.")
        rates = _scales(entry, chosen, groups, here)
        yield {label: rates.get(label.split("/")[0]) for label in labels}


def _lines(line: Any, groups: Sequence[str], here: str) -> list[int]:
    if not isinstance(line, Mapping):
        return [_place(line, groups, here)]
    if set(line) != {"from", "to"}:
        raise FrostlineError(f"{here}: a line that moves is {{from: GROUP, to: GROUP}}.")
    top, bottom = _place(line["from"], groups, here), _place(line["to"], groups, here)
    if bottom > top:
        raise FrostlineError(f"{here}: the line moves down, from {groups[bottom]} to {groups[top]}; swap from and to.")
    return list(range(top, bottom - 1, -1))


def _place(group: Any, groups: Sequence[str], here: str) -> int:
    if isinstance(group, int) and not isinstance(group, bool) and -len(groups) <= group < 0:
        return len(groups) + group
    if group not in groups:
        raise FrostlineError(
            f"{here}: '{group}' is no group of this model; its groups are {', '.join(groups)}, or -1 (head) to "
            f"{-len(groups)} (stem)."
        )
    return groups.index(group)


def _scales(entry: Mapping[str, Any], chosen: Sequence[str], groups: Sequence[str], here: str) -> dict[str, float]:
    scale, decay = entry.get("scale", 1.0), entry.get("decay", 1.0)
    by_group = {str(k): v for k, v in scale.items()} if isinstance(scale, Mapping) else dict.fromkeys(chosen, scale)
    for value in (*by_group.values(), decay):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < INF:
            raise FrostlineError(f"{here}: a learning-rate scale or decay is a number above 0, not {value!r}.")
    if set(by_group) != set(chosen):
        odd = ", ".join(sorted(set(by_group) ^ set(chosen)))
        raise FrostlineError(f"{here}: scale must name each group that trains exactly once; look at {odd}.")
    return {group: float(by_group[group] * decay ** (len(groups) - 1 - groups.index(group))) for group in chosen}


def _by_pattern(rates: Any, labels: Sequence[str], here: str) -> dict[str, float | None]:
    if not isinstance(rates, Mapping) or not rates:
        raise FrostlineError(f"{here}: rates maps patterns to a learning-rate scale or 'frozen'.")
    scales: dict[str, float | None] = {}
    home: dict[str, str] = {}
    for pattern, rate in rates.items():
        if rate != "frozen" and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < INF):
            raise FrostlineError(f"{here}: '{pattern}' has the rate {rate!r}; give a number above 0, or frozen.")
        if pattern == OTHERS:
            continue
        try:
            matched = [label for label in labels if re.fullmatch(str(pattern), label)]
        except re.error as error:
            raise FrostlineError(f"{here}: '{pattern}' is no regular expression ({error}).") from error
        if not matched:
            raise FrostlineError(
                f"{here}: the pattern '{pattern}' matches no parameter; they are called like '{labels[0]}' "
                "(`frostline schedule show NAME --parameters` lists them)."
            )
        for label in matched:
            if label in home:
                raise FrostlineError(f"{here}: both '{home[label]}' and '{pattern}' match '{label}'; let one do so.")
            home[label] = str(pattern)
            scales[label] = None if rate == "frozen" else float(rate)
    rest = [label for label in labels if label not in home]
    if rest and OTHERS not in rates:
        raise FrostlineError(f"{here}: no pattern matches '{rest[0]}' and {len(rest) - 1} more; add one, or 'others'.")
    if OTHERS in rates and not rest:
        raise FrostlineError(f"{here}: the patterns match every parameter, so 'others' has none; take it away.")
    scales |= dict.fromkeys(rest, None if rates.get(OTHERS) == "frozen" else rates.get(OTHERS))
    if all(scale is None for scale in scales.values()):
        raise FrostlineError(f"{here} leaves nothing to train: give a pattern a rate.")
    return scales


def _parts(labels: Sequence[str], phases: Sequence[Mapping[str, float | None]]) -> dict[str, tuple[str, ...]]:
    """The largest sets of parameters of one group that every phase treats alike."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for label in labels:
        alike.setdefault((label.split("/")[0], *(scales[label] for scales in phases)), []).append(label)
    groups = [group for group, *_ in alike]
    parts: dict[str, tuple[str, ...]] = {}
    for group in dict.fromkeys(groups):
        for members in (members for (home, *_), members in alike.items() if home == group):
            kinds = "+".join(dict.fromkeys(label.split("/")[1] for label in members))
            name = group if groups.count(group) == 1 else f"{group}/{kinds}"
            if name in parts:  # patterns that tell layers of one kind apart
                name += f"-{sum(other.startswith(name) for other in parts)}"
            parts[name] = tuple(members)
    return parts


def _end(
    until: Any, start: int, reached: float, epochs: int, later: int, here: str
) -> tuple[int, float, Plateau | None]:
    if not later:
        if until is not None:
            raise FrostlineError(f"{here} is the last one and lasts until the budget ends: take its 'until' away.")
        return epochs, float(epochs), None
    plateau = None
    if isinstance(until, Mapping) and "plateau" in until:
        _check_keys(until, {"plateau", "patience", "min_delta", "at_most"}, f"{here}, until")
        patience, min_delta = until.get("patience", 1), until.get("min_delta", 0.0)
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
            raise FrostlineError(f"{here}: patience is {patience!r}; it is a whole number of epochs, at least 1.")
        if isinstance(min_delta, bool) or not isinstance(min_delta, int | float) or not 0 <= min_delta < INF:
            raise FrostlineError(f"{here}: min_delta is {min_delta!r}; it is a number from 0 up.")
        plateau = Plateau(str(until["plateau"]), patience, float(min_delta))
        until = until.get("at_most", {"epochs": max(epochs - later, 1)})
    if until is None:
        raise FrostlineError(f"{here} must say until when: 'until: {{epochs: 3}}' or 'until: {{share: 0.3}}'.")
    length = _duration(until, epochs, f"{here}: until")
    end = int(length) if "epochs" in until else max(start + 1, round(length))
    if end != length and "epochs" in until:
        raise FrostlineError(f"{here}: until epochs is {length:g}; a phase ends with a whole epoch.")
    if length <= reached:
        raise FrostlineError(
            f"{here} would end at epoch {length:g}, before the phase above it, at {reached:g}; swap them."
        )
    if not start < end < epochs:
        raise FrostlineError(
            f"{here} would end at epoch {end}, but it starts at {start} and the budget is {epochs} epochs: "
            "every phase needs an epoch (raise trainer.epochs or change the phase)."
        )
    return end, length, plateau


def _duration(value: Any, epochs: int, what: str) -> float:
    """`{epochs: n}` or `{share: s}` as a number of epochs."""
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in ("epochs", "share"):
        raise FrostlineError(f"{what} is {value!r}; write '{{epochs: 3}}' or '{{share: 0.3}}'.")
    ((kind, amount),) = value.items()
    if (
        isinstance(amount, bool)
        or not isinstance(amount, int | float)
        or not 0 < amount < INF
        or (kind == "share" and amount >= 1)
    ):
        raise FrostlineError(f"{what} {kind} is {amount!r}; a share lies between 0 and 1, epochs above 0.")
    return float(amount if kind == "epochs" else amount * epochs)


def _check_keys(entry: Any, known: set[str], here: str) -> None:
    if not isinstance(entry, Mapping):
        raise FrostlineError(f"{here} is {entry!r}; it is a mapping with {', '.join(sorted(known))}.")
    if unknown := set(entry) - known:
        raise FrostlineError(f"{here} has an unknown key '{min(unknown)}'; {', '.join(sorted(known))} are known.")
