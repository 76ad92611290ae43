"""The one legend below a picture: what colours and marks mean, in as many lines as that takes."""

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from frostline.draw.colours import INK
from frostline.draw.style import reserve

MARK = 7  # letters that a mark takes, with the air around it
LINE = 1.9  # heights of a letter from line to line


def lines_of(legends: Sequence[Sequence[Artist]], width: float, size: float = 10.0) -> list[list[Artist]]:
    """The lines that a legend is cut into, each no wider than `width` inches. Each of `legends` starts a new one.

    size: of the letters, in points.
    """
    most = width * 72 / (0.58 * size)
    lines: list[list[Artist]] = []
    for handles in legends:
        room = 0.0
        for handle in handles:
            needed = len(str(handle.get_label())) + MARK
            if handle is handles[0] or needed > room:
                lines.append([])
                room = most
            lines[-1].append(handle)
            room -= needed
    return lines


def height_of(legends: Sequence[Sequence[Artist]], width: float, size: float = 10.0) -> float:
    """Inches that `legend` needs below a picture that many inches wide."""
    lines = len(lines_of(legends, width, size))
    return (0.5 + LINE * lines) * size / 72 if lines else 0.0


def legend(figure: Figure, legends: Sequence[Sequence[Artist]], size: float = 10.0) -> None:
    """Below the picture. A layout engine leaves it room; a picture that is placed by hand has to have left it.

    legends: each starts a new line.
    """
    width, height = figure.get_size_inches()
    lines = lines_of(legends, width, size)
    for i, line in enumerate(reversed(lines)):
        place = (0.5, (0.4 + LINE * i) * size / 72 / height)
        figure.legend(
            handles=line, loc="lower center", bbox_to_anchor=place, ncols=len(line), fontsize=size, frameon=False,
            labelcolor=INK, borderaxespad=0, borderpad=0, columnspacing=1.6, handlelength=1.8, handletextpad=0.6,
        )  # fmt: skip
    reserve(figure, below=height_of(legends, width, size))


def mark(label: str, colour: str, marker: str = "", line: Any = "", size: float = 7.0) -> Line2D:
    """An entry of a legend: a mark, a line or both."""
    return Line2D([], [], color=colour, marker=marker, linestyle=line, lw=2, ms=size, label=label)
