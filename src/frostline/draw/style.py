"""What all pictures have in common: names as they are, a headline, axes without ornament, and the look of charts."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axes._base import _AxesBase
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from frostline.draw.colours import FAINT, INK, PALE, QUIET

P = ParamSpec("P")
T = TypeVar("T")

CHART: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture does not depend on the machine's fonts
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
LEFT, ABOVE = 0.13, 0.1  # inches between a headline and the edges of the picture


def names_as_they_are(draw: Callable[P, T], **style: Any) -> Callable[P, T]:
    """For what draws names of strangers: matplotlib takes what stands between two dollars for a formula.

    style: matplotlib's settings meanwhile.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        settings: Any = {**style, "text.parse_math": False}
        with rc_context(settings):
            return draw(*args, **kwargs)

    return drawn


def chart(draw: Callable[P, T]) -> Callable[P, T]:
    """For what draws charts, and makes pictures of them: ticks and their labels come to be while that happens."""
    return names_as_they_are(draw, **CHART)


def headline(figure: Figure, title: str, below: str = "", size: float = 11.0) -> None:
    """A title at the upper left, and how to read the picture in the line below it. A layout engine leaves them room."""
    width, height = figure.get_size_inches()
    line = 1.45 * size / 72
    left, top = LEFT / width, 1 - ABOVE / height
    figure.text(left, top, title, fontsize=size, fontweight="bold", color=INK, va="top")
    small = max(8.0, 0.68 * size)
    figure.text(left, top - line / height, below, fontsize=small, color=QUIET, va="top", linespacing=1.25)
    reserve(figure, above=ABOVE + line + (1.8 * small / 72 if below else 0.0))


def reserve(figure: Figure, above: float = 0.0, below: float = 0.0) -> None:
    """Have a layout engine leave so many inches more free at the edges of the picture."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        left, bottom, width, height = engine.get()["rect"]
        total = figure.get_figheight()
        engine.set(rect=(left, bottom + below / total, width, height - (above + below) / total), h_pad=0.06)


def place(figure: Figure, left: float, top: float, side: float) -> Axes:
    """A bare square for a picture, in inches from the upper left corner. For as many, layout engines take a second."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
    axes.set_xticks([])
    axes.set_yticks([])
    bare(axes)
    return axes


def bare(axes: _AxesBase) -> None:
    """Without spines and ticks; what is named along the axes stays."""
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
