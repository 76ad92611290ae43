"""Classes, boxes and masks drawn over pictures, in one set of colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from frostline.pictures.kernels import LUMA
from frostline.pictures.regions import edges
from frostline.scenes.scene import BACKGROUND, VOID

Colour = str | Sequence[float]


def class_colours(count: int) -> npt.NDArray[np.float64]:
    """(count, 3) red, green, blue in 0..1; they return after twenty."""
    colours: npt.NDArray[np.float64] = colormaps["tab10" if count <= 10 else "tab20"](np.arange(count) % 20)
    return colours[:, :3]


def outline(axes: Axes, box: Sequence[float], colour: Colour, linestyle: str = "-") -> None:
    """A box, x0 y0 x1 y1 in pixels."""
    x0, y0, x1, y1 = box
    axes.add_patch(
        Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=1.2, edgecolor=colour, linestyle=linestyle)
    )


def tag(axes: Axes, x: float, y: float, text: str, colour: Colour, **style: Any) -> None:
    """A name on a coloured ground, with its lower left corner at x, y. style: matplotlib's, of the text."""
    ink = "black" if np.dot(to_rgb(colour), LUMA) > 0.45 else "white"  # type: ignore[arg-type]
    look: dict[str, Any] = {"fontsize": 5, "va": "bottom", "color": ink, "bbox": {"pad": 0.5, "color": colour}}
    axes.text(x, y, text, **(look | style))


def veil(mask: npt.NDArray[np.uint8], classes: Sequence[str], hatched: bool = False) -> npt.NDArray[np.float64]:
    """Class numbers (H, W) -> what to lay over the picture, (H, W, 4): each class in its colour, with a firm edge.

    The picture stays as it is under BACKGROUND, and under VOID unless that is to be hatched.
    """
    colours = class_colours(len(classes))
    bare = [number for number, name in enumerate(classes) if name == BACKGROUND]
    shown = ~np.isin(mask, [VOID, *bare])
    painted = np.zeros((*mask.shape, 4))
    painted[shown, :3] = colours[mask[shown] % len(colours)]
    painted[shown, 3] = 0.55
    painted[edges(mask) & shown, 3] = 0.9
    if hatched:
        y, x = np.indices(mask.shape)
        stripes = (x + y) // max(2, len(mask) // 40) % 3 == 0
        painted[mask == VOID] = (1, 1, 1, 0.35)
        painted[(mask == VOID) & stripes] = (0.25, 0.25, 0.25, 0.8)
    return painted
