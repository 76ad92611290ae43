"""The colours of every picture.

Those of Okabe and Ito (2008, Color Universal Design), which colour-blind eyes tell apart, without yellow; and greys.
"""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.colors import to_hex

BLUE, ORANGE, GREEN, PINK, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"
INK, QUIET, FAINT, PALE = "#1f2933", "#66737f", "#c3ccd4", "#e6eaee"

# For more things, Tol's "muted" ones and a grey, which colour-blind eyes tell apart, too.
PALETTES = (
    (BLUE, ORANGE, GREEN, PINK, RED, SKY),
    ("#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE", "#882255", "#999933", "#44AA99", "#AA4499", "#7D8790"),
)


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, the same for the same list."""
    ramp = colormaps["viridis"].resampled(len(names) + 1)  # its last colour is too pale for lines
    palettes = [*PALETTES, [to_hex(ramp(i)) for i in range(len(names))]]
    return dict(zip(names, next(palette for palette in palettes if len(palette) >= len(names)), strict=False))
