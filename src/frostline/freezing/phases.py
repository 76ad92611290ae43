"""What a file of conf/schedule/ says, resolved for a budget and a model: its form, and every mistake in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from frostline.errors import FrostlineError, is_number
from frostline.freezing.schedule import Norms, Phase, Plateau, Schedule

OTHERS = "others"  # the pattern for every parameter that no other pattern of its phase matches
KEYS = {"line", "only", "rates", "scale", "decay", "norms", "warmup", "until"}


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
        phases += [replace(span, scales=scales, end=stop) for stop, scales in steps.items() if stop > start]
        start = span.end
    parts = _parts(labels, [phase.scales for phase in phases])
    by_part = [
        replace(phase, scales={part: phase.scales[members[0]] for part, members in parts.items()}) for phase in phases
    ]
    return Schedule(name, tuple(by_part), parts)


def parse_spans(config: Mapping[str, Any], epochs: int) -> list[Phase]:
    """The phases of a schedule file under a budget, but for their scales, which need a model to be told.

    Raises FrostlineError as `parse_schedule` does, where a phase is out of order, or leaves nothing for the next.
    """
    where = f"schedule '{config['name']}'"
    entries = config.get("phases")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise FrostlineError(f"{where} has no phases: give a list of at least one.")
    if epochs < len(entries):
        raise FrostlineError(
            f"{where} has {len(entries)} phases, and trainer.epochs is {epochs}: every phase needs an epoch, so set "
            f"trainer.epochs={len(entries)} or more."
        )
    spans: list[Phase] = []
    end, reached = 0, 0.0  # the same, before it is rounded to whole epochs
    for number, entry in enumerate(entries, 1):
        here = f"{where}, phase {number}"
        _check_keys(entry, KEYS, here)
        norms = entry.get("norms", "train")
        if norms not in get_args(Norms):
            raise FrostlineError(f"{here}: norms is '{norms}'; choose train or keep.")
        warmup = _duration(entry["warmup"], epochs, f"{here}: warmup") if entry.get("warmup") is not None else 0.0
        end, reached, plateau = _end(entry.get("until"), end, reached, epochs, len(entries) - number, here)
        spans.append(Phase({}, norms, warmup, end, plateau))
    return spans


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
    if is_number(group, -len(groups), -1, whole=True):
        return len(groups) + int(group)
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
        if not _above_zero(value):
            raise FrostlineError(f"{here}: a learning-rate scale or decay is a number above 0, not {value!r}.")
    if set(by_group) != set(chosen):
        odd = ", ".join(sorted(set(by_group) ^ set(chosen)))
        raise FrostlineError(f"{here}: scale must name each group that trains exactly once; look at {odd}.")
    return {group: float(by_group[group] * decay ** (len(groups) - 1 - groups.index(group))) for group in chosen}


def _by_pattern(rates: Any, labels: Sequence[str], here: str) -> dict[str, float | None]:
    if not isinstance(rates, Mapping) or not rates:
        raise FrostlineError(f"{here}: rates maps patterns to a learning-rate scale or 'frozen'.")
    home: dict[str, Any] = {}  # of each label, the pattern that matches it
    for pattern, rate in rates.items():
        if rate != "frozen" and not _above_zero(rate):
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
            home[label] = pattern
    rest = [label for label in labels if label not in home]
    if rest and OTHERS not in rates:
        raise FrostlineError(f"{here}: no pattern matches '{rest[0]}' and {len(rest) - 1} more; add one, or 'others'.")
    if OTHERS in rates and not rest:
        raise FrostlineError(f"{here}: the patterns match every parameter, so 'others' has none; take it away.")
    home |= dict.fromkeys(rest, OTHERS)
    if all(rates[pattern] == "frozen" for pattern in home.values()):
        raise FrostlineError(f"{here} leaves nothing to train: give a pattern a rate.")
    return {label: None if rates[pattern] == "frozen" else float(rates[pattern]) for label, pattern in home.items()}


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
        if not is_number(patience, 1, whole=True):
            raise FrostlineError(f"{here}: patience is {patience!r}; it is a whole number of epochs, at least 1.")
        if not is_number(min_delta, 0):
            raise FrostlineError(f"{here}: min_delta is {min_delta!r}; it is a number from 0 up.")
        plateau = Plateau(str(until["plateau"]), int(patience), float(min_delta))
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
    if not _above_zero(amount) or (kind == "share" and amount >= 1):
        raise FrostlineError(f"{what} {kind} is {amount!r}; a share lies between 0 and 1, epochs above 0.")
    return float(amount if kind == "epochs" else amount * epochs)


def _above_zero(value: Any) -> bool:
    return is_number(value, 0) and value > 0


def _check_keys(entry: Any, known: set[str], here: str) -> None:
    if not isinstance(entry, Mapping):
        raise FrostlineError(f"{here} is {entry!r}; it is a mapping with {', '.join(sorted(known))}.")
    if unknown := set(entry) - known:
        raise FrostlineError(f"{here} has an unknown key '{min(unknown)}'; {', '.join(sorted(known))} are known.")
