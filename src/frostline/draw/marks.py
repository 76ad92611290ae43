"""Classes, boxes and masks drawn over pictures, in one set of colours."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from frostline.pictures.kernels import LUMA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colour = str | Sequence[float]
P = ParamSpec("P")
T = TypeVar("T")


def names_as_they_are(draw: Callable[P, T]) -> Callable[P, T]:
    """For what draws names of strangers: matplotlib takes what stands between two dollars for a formula."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        from matplotlib import rc_context

        with rc_context({"text.parse_math": False}):
            return draw(*args, **kwargs)

    return drawn


def short(text: str, most: int) -> str:
    """At most so many letters, with both ends, as names are often told apart by one of them."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"


def class_colours(count: int) -> npt.NDArray[np.float64]:
    """(count, 3) red, green, blue in 0..1; they return after twenty."""
    import matplotlib

    colours: npt.NDArray[np.float64] = matplotlib.colormaps["tab10" if count <= 10 else "tab20"](np.arange(count) % 20)
    return colours[:, :3]


def outline(axes: "Axes", box: Sequence[float], colour: Colour, linestyle: str = "-") -> None:
    """A box, x0 y0 x1 y1 in pixels."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    axes.add_patch(
        Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=1.2, edgecolor=colour, linestyle=linestyle)
    )


def tag(axes: "Axes", x: float, y: float, text: str, colour: Colour, **style: Any) -> None:
    """A name on a coloured ground, with its lower left corner at x, y. style: matplotlib's, of the text."""
    ink = "black" if _brightness(colour) > 0.45 else "white"
    look: dict[str, Any] = {"fontsize": 5, "va": "bottom", "color": ink, "bbox": {"pad": 0.5, "color": colour}}
    axes.text(x, y, text, **(look | style))


def _brightness(colour: Colour) -> float:
    from matplotlib.colors import to_rgb

    return float(np.dot(to_rgb(colour), LUMA))  # type: ignore[arg-type]
