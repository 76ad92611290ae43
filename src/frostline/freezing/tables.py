"""A schedule at a glance: its phases, what each one matches, and the rates of every epoch."""

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from frostline.freezing.frosted import Frosted
from frostline.freezing.groups import count

COLUMNS = 12  # epochs that a table shows at most


def phases_table(model: Frosted) -> Table:
    """One row a phase: when, what trains how fast, what is frozen, and the share of the parameters that trains."""
    schedule, total = model.schedule, count(model.parameters())
    table = Table("phase", "epochs", "trains", "frozen", "parameters that train", "batch norms", "ends")
    start = 0
    for number, phase in enumerate(schedule.phases, 1):
        runs = [(scale, _span(list(parts))) for scale, parts in groupby(phase.scales, key=lambda p: phase.scales[p])]
        trains = [f"{span} x {scale:.3g}" for scale, span in reversed(runs) if scale is not None]
        frozen = [span for scale, span in reversed(runs) if scale is None]
        share = sum(count(model.parts[part]) for part, scale in phase.scales.items() if scale is not None)
        epochs = f"{start + 1}" if phase.end == start + 1 else f"{start + 1} to {phase.end}"
        ends = f"after epoch {phase.end}"
        if phase.plateau:
            ends += f", or once {phase.plateau.metric} has not got better for {phase.plateau.patience}"
        norms = "keep statistics" if phase.norms == "keep" else "train"
        if phase.warmup:
            ends += f"; warm-up {phase.warmup:.3g} epochs"
        table.add_row(
            str(number), epochs, "\n".join(trains), "\n".join(frozen) or "nothing", f"{share:,} ({share / total:.1%})",
            norms, ends,
        )  # fmt: skip
        start = phase.end
    return table


def rates_table(model: Frosted, base: Sequence[float]) -> Table:
    """Epochs across, depth down: the rate of each part in the middle of each epoch. base: the base rate there."""
    step = -(-len(base) // COLUMNS)
    shown = range(0, len(base), step)
    table = Table("part", "parameters", *(f"{epoch + 1}" for epoch in shown))
    for part, rates in reversed(rates_of(model, base).items()):
        cells = [rates[epoch] for epoch in shown]
        words = ["." if rate is None else f"{rate:.0e}".replace("e-0", "e-") for rate in cells]
        table.add_row(part, f"{count(model.parts[part]):,}", *words)
    return table


def parameters_table(model: Frosted) -> Table:
    """One row a parameter: the label that patterns match, its size, and its scale in each phase."""
    phases = model.schedule.phases
    table = Table("parameter", "size", *(f"phase {number}" for number in range(1, len(phases) + 1)))
    for part, labels in model.schedule.parts.items():
        scales = [phase.scales[part] for phase in phases]
        words = ["frozen" if scale is None else f"{scale:.3g}" for scale in scales]
        for label, parameter in zip(labels, model.parts[part], strict=True):
            table.add_row(label, f"{parameter.numel():,}", *words)
    return table


def rates_of(model: Frosted, base: Sequence[float]) -> dict[str, list[float | None]]:
    """Learning rate of each part in the middle of each epoch, None where it is frozen."""
    states = [model.state_at(epoch + 0.5) for epoch in range(len(base))]
    return {
        part: [
            None if (scale := state[part]) is None else scale * rate for state, rate in zip(states, base, strict=True)
        ]
        for part in model.parts
    }


def _span(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}"
