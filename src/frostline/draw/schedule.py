"""A schedule as a picture: where the frost line runs, and how fast what lies above it trains."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from frostline.draw.colours import INK, QUIET
from frostline.draw.png import save
from frostline.draw.style import bare, headline, names_as_they_are
from frostline.files import replacing
from frostline.freezing.frosted import Frosted
from frostline.freezing.groups import count
from frostline.freezing.schedule import depth_of
from frostline.freezing.tables import rates_of
from frostline.words import quantity

ICE, LINE = "#dce9f2", "#0b3c5d"


@names_as_they_are
def write_picture(model: Frosted, base: Sequence[float], path: Path) -> None:
    """Write a schedule as a picture, PNG or SVG by the suffix. base: the base rate of each epoch."""
    figure = schedule_figure(model, base)
    if path.suffix == ".svg":
        with replacing(path) as aside:
            figure.savefig(aside)
    else:
        save(figure, path)


def schedule_figure(model: Frosted, base: Sequence[float]) -> Figure:
    """Epochs across, depth down, colour = learning rate, pale = frozen; the frost line drawn through."""
    rates = rates_of(model, base)
    parts = list(reversed(list(model.parts)))  # the head at the top, as the line goes down
    epochs = len(base)
    known = [rate for row in rates.values() for rate in row if rate]
    low, high = (min(known) / 1.5, max(known) * 1.5) if known else (1e-6, 1e-2)
    figure = Figure(figsize=(8.2, 1.7 + 0.36 * len(parts)), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.set_facecolor(ICE)
    grid = [[rate if rate else float("nan") for rate in rates[part]] for part in parts]
    image = axes.imshow(
        grid,
        aspect="auto",
        cmap="YlOrRd",
        norm=LogNorm(low, high),
        extent=(0, epochs, len(parts), 0),
        interpolation="nearest",
    )
    heights = [_depth_in_parts(model, epoch) for epoch in range(epochs)]
    axes.step(range(epochs + 1), [*heights, heights[-1]], where="post", color=LINE, lw=2.4, solid_joinstyle="miter")
    for phase in model.schedule.phases[:-1]:
        axes.axvline(phase.end, color=INK, lw=0.8, ls=(0, (2, 2)))
    sizes = [count(model.parts[part]) for part in parts]
    axes.set_yticks([i + 0.5 for i in range(len(parts))], parts)
    twin = axes.secondary_yaxis("right")
    twin.set_yticks([i + 0.5 for i in range(len(parts))], [quantity(size) for size in sizes])
    twin.tick_params(labelsize=8, colors=QUIET)
    axes.set_ylim(len(parts) + 0.06, -0.06)
    axes.set_xlim(0, epochs)
    axes.set_xlabel("epochs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.hlines(range(1, len(parts)), 0, epochs, color="white", lw=1, zorder=1)
    bare(axes)
    bare(twin)
    bar = figure.colorbar(image, ax=axes, pad=0.02, shrink=0.9)
    bar.set_label("learning rate")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_rate))
    bar.ax.yaxis.set_minor_formatter(NullFormatter() if high > 10 * low else FuncFormatter(_rate))
    bar.outline.set_visible(False)  # type: ignore[operator]
    headline(
        figure, f"{model.schedule.name} on {model.backbone.name}", "pale is frozen, the blue edge is the frost line"
    )
    return figure


def _rate(rate: float, _: int) -> str:
    """In place of matplotlib's own, which is a formula."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _depth_in_parts(model: Frosted, epoch: int) -> float:
    """Where the frost line runs in the picture, counted in rows from the top."""
    above = list(model.groups)[depth_of(model.state_at(epoch)) :]
    return sum(part.split("/")[0] in above for part in model.parts)
