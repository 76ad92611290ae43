"""A schedule at a glance: its phases, what each one matches, the rates of every epoch, and all of it as a picture."""

from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of, state_at

if TYPE_CHECKING:
    from frostline.tasks.base import Task

COLUMNS = 12  # epochs that a table shows at most
ICE, LINE, INK = "#dce9f2", "#0b3c5d", "#1f2933"


def phases_table(task: "Task") -> Table:
    """One row a phase: when, what trains how fast, what is frozen, and the share of the parameters that trains."""
    schedule, total = task.schedule, count(task.parameters())
    table = Table("phase", "epochs", "trains", "frozen", "parameters that train", "batch norms", "ends")
    start = 0
    for number, phase in enumerate(schedule.phases, 1):
        runs = [(scale, _span(list(parts))) for scale, parts in groupby(phase.scales, key=lambda p: phase.scales[p])]
        trains = [f"{span} x {scale:.3g}" for scale, span in reversed(runs) if scale is not None]
        frozen = [span for scale, span in reversed(runs) if scale is None]
        share = sum(count(task.parts[part]) for part, scale in phase.scales.items() if scale is not None)
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


def rates_table(task: "Task", base: Sequence[float]) -> Table:
    """Epochs across, depth down: the rate of each part in the middle of each epoch. base: the base rate there."""
    step = -(-len(base) // COLUMNS)
    shown = range(0, len(base), step)
    table = Table("part", "parameters", *(f"{epoch + 1}" for epoch in shown))
    for part, rates in reversed(rates_of(task, base).items()):
        cells = [rates[epoch] for epoch in shown]
        words = ["." if rate is None else f"{rate:.0e}".replace("e-0", "e-") for rate in cells]
        table.add_row(part, f"{count(task.parts[part]):,}", *words)
    return table


def parameters_table(task: "Task") -> Table:
    """One row a parameter: the label that patterns match, its size, and its scale in each phase."""
    phases = task.schedule.phases
    table = Table("parameter", "size", *(f"phase {number}" for number in range(1, len(phases) + 1)))
    for part, labels in task.schedule.parts.items():
        scales = [phase.scales[part] for phase in phases]
        words = ["frozen" if scale is None else f"{scale:.3g}" for scale in scales]
        for label, parameter in zip(labels, task.parts[part], strict=True):
            table.add_row(label, f"{parameter.numel():,}", *words)
    return table


def rates_of(task: "Task", base: Sequence[float]) -> dict[str, list[float | None]]:
    """Learning rate of each part in the middle of each epoch, None where it is frozen."""
    states = [state_at(task.schedule, epoch + 0.5) for epoch in range(len(base))]
    return {
        part: [
            None if (scale := state[part]) is None else scale * rate for state, rate in zip(states, base, strict=True)
        ]
        for part in task.parts
    }


def schedule_picture(task: "Task", base: Sequence[float], suffix: str = "png") -> bytes:
    """Epochs across, depth down, colour = learning rate, pale = frozen; the frost line drawn through. PNG or SVG.

    base: the base rate of each epoch.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    rates = rates_of(task, base)
    parts = list(reversed(list(task.parts)))  # the head at the top, as the line goes down
    epochs = len(base)
    known = [rate for row in rates.values() for rate in row if rate]
    norm = LogNorm(min(known) / 1.5, max(known) * 1.5) if known else LogNorm(1e-6, 1e-2)
    figure = Figure(figsize=(8.2, 1.5 + 0.36 * len(parts)), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.set_facecolor(ICE)
    grid = [[rate if rate else float("nan") for rate in rates[part]] for part in parts]
    image = axes.imshow(
        grid, aspect="auto", cmap="YlOrRd", norm=norm, extent=(0, epochs, len(parts), 0), interpolation="nearest"
    )
    heights = [_depth_in_parts(task, epoch) for epoch in range(epochs)]
    axes.step(range(epochs + 1), [*heights, heights[-1]], where="post", color=LINE, lw=2.4, solid_joinstyle="miter")
    for phase in task.schedule.phases[:-1]:
        axes.axvline(phase.end, color=INK, lw=0.8, ls=(0, (2, 2)))
    sizes = [count(task.parts[part]) for part in parts]
    axes.set_yticks([i + 0.5 for i in range(len(parts))], parts)
    twin = axes.secondary_yaxis("right")
    twin.set_yticks([i + 0.5 for i in range(len(parts))], [_short(size) for size in sizes])
    twin.tick_params(length=0, labelsize=8, colors="#66737f")
    axes.set_ylim(len(parts) + 0.06, -0.06)
    axes.set_xlim(0, epochs)
    axes.set_xlabel("epochs")
    axes.tick_params(length=0)
    axes.hlines(range(1, len(parts)), 0, epochs, color="white", lw=1, zorder=1)
    for side in (*axes.spines.values(), *twin.spines.values()):
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, shrink=0.9)
    bar.set_label("learning rate")
    bar.outline.set_visible(False)  # type: ignore[operator]
    name = f"{task.schedule.name} on {task.backbone.name}"
    axes.set_title(
        f"{name}: pale is frozen, the blue edge is the frost line", loc="left", fontsize=10, color=INK, parse_math=False
    )
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix)
    return buffer.getvalue()


def write_picture(task: "Task", base: Sequence[float], path: Path) -> None:
    """`schedule_picture` into a file; its suffix says whether PNG or SVG."""
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(schedule_picture(task, base, path.suffix.lstrip(".") or "png"))
    aside.rename(path)


def _span(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}"


def _depth_in_parts(task: "Task", epoch: int) -> float:
    """Where the frost line runs in the picture, counted in rows from the top."""
    above = list(task.groups)[depth_of(task.state_at(epoch)) :]
    return sum(part.split("/")[0] in above for part in task.parts)


def _short(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.1f} k" if number >= 1e3 else str(number)
