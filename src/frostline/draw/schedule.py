"""A schedule as a picture: where the frost line runs, and how fast what lies above it trains."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from frostline.draw.colours import INK, QUIET
from frostline.files import write_whole
from frostline.freezing.frosted import Frosted
from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of
from frostline.freezing.tables import rates_of
from frostline.words import quantity

ICE, LINE = "#dce9f2", "#0b3c5d"


def schedule_picture(model: Frosted, base: Sequence[float], suffix: str = "png") -> bytes:
    """Epochs across, depth down, colour = learning rate, pale = frozen; the frost line drawn through. PNG or SVG.

    base: the base rate of each epoch.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    rates = rates_of(model, base)
    parts = list(reversed(list(model.parts)))  # the head at the top, as the line goes down
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
    heights = [_depth_in_parts(model, epoch) for epoch in range(epochs)]
    axes.step(range(epochs + 1), [*heights, heights[-1]], where="post", color=LINE, lw=2.4, solid_joinstyle="miter")
    for phase in model.schedule.phases[:-1]:
        axes.axvline(phase.end, color=INK, lw=0.8, ls=(0, (2, 2)))
    sizes = [count(model.parts[part]) for part in parts]
    axes.set_yticks([i + 0.5 for i in range(len(parts))], parts)
    twin = axes.secondary_yaxis("right")
    twin.set_yticks([i + 0.5 for i in range(len(parts))], [quantity(size) for size in sizes])
    twin.tick_params(length=0, labelsize=8, colors=QUIET)
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
    name = f"{model.schedule.name} on {model.backbone.name}"
    axes.set_title(
        f"{name}: pale is frozen, the blue edge is the frost line", loc="left", fontsize=10, color=INK, parse_math=False
    )
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix)
    return buffer.getvalue()


def write_picture(model: Frosted, base: Sequence[float], path: Path) -> None:
    """`schedule_picture` into a file; its suffix says whether PNG or SVG."""
    write_whole(path, schedule_picture(model, base, path.suffix.lstrip(".") or "png"))


def _depth_in_parts(model: Frosted, epoch: int) -> float:
    """Where the frost line runs in the picture, counted in rows from the top."""
    above = list(model.groups)[depth_of(model.state_at(epoch)) :]
    return sum(part.split("/")[0] in above for part in model.parts)
