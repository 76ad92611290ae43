"""Figures and pictures as PNGs: quickly, or in few bytes, as those of a study stay in git for good."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from frostline.draw.colours import INK
from frostline.draw.style import names_as_they_are
from frostline.files import replacing

COLOURS = 256
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)  # of a picture's size, tried in turn


@names_as_they_are
def save(figure: Figure, path: Path) -> None:
    """Into a PNG, whole or not at all."""
    with replacing(path) as aside:
        _drawn(figure).save(aside, "PNG", compress_level=3)  # a quarter of a second less, for few more bytes


def png_of(figure: Figure, dpi: float) -> bytes:
    """A chart as a PNG in few colours."""
    figure.set_dpi(dpi)
    return _png(in_few_colours(_drawn(figure)))


def small_png(picture: Image.Image, most: int) -> bytes:
    """A PNG in few colours, and at less than its size where it takes more than so many bytes else."""
    for share in SHARES:
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        content = _png(in_few_colours(picture.resize(size, Image.Resampling.LANCZOS)))
        if len(content) <= most:
            break
    return content


def montage(shown: Sequence[tuple[str, Image.Image]], width: int) -> Image.Image:
    """The pictures, `width` pixels wide, below each other, each under its title."""
    font, band = ImageFont.load_default(size=max(11, width // 55)), max(20, width // 26)
    heights = [max(1, round(picture.height * width / picture.width)) for _, picture in shown]
    sheet = Image.new("RGB", (width, sum(heights) + band * len(shown)), "white")
    y = 0
    for (title, picture), height in zip(shown, heights, strict=True):
        ImageDraw.Draw(sheet).text((4, y + band // 2), title, fill=INK, font=font, anchor="lm")
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (0, y + band))
        y += band + height
    return sheet


def in_few_colours(picture: Image.Image) -> Image.Image:
    """A picture in red, green, blue with a palette of 256 colours, which takes a third of the bytes.

    The palette has the grounds of a chart as they are: the commonest colours, as far as they cover a noticeable part.
    The others lie as far apart as can be: the commonest would be those of photographs alone, and a key beside them
    would not have the colours that it stands for. They are chosen among one for each of 32,768 cubes of the colours,
    as choosing among all of a photograph takes forty times as long.
    """
    pixels = np.asarray(picture).reshape(-1, 3)
    colours = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    some, counts = np.unique(colours[:: 1 + len(colours) // 100_000], return_counts=True)
    common = [n for n in counts.argsort()[::-1][: COLOURS // 4] if counts[n] >= counts.sum() / 2000]
    flat = np.sort(some[common or [0]])

    cubes = (pixels >> 3).astype(np.int32) @ np.array([1 << 10, 1 << 5, 1], np.int32)
    first = np.full(1 << 15, -1)
    first[cubes[::-1]] = np.arange(len(cubes))[::-1]
    one_a_cube = Image.fromarray(pixels[first[first >= 0]][None])
    far = one_a_cube.quantize(COLOURS - len(flat), Image.Quantize.MAXCOVERAGE).getpalette() or []

    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.stack([flat >> 16, flat >> 8 & 255, flat & 255], axis=1).ravel().tolist(), *far][:768])
    mapped = np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE)).ravel()
    # Pillow takes a colour for its neighbours, too, so that white would not always be white.
    place = np.searchsorted(flat, colours).clip(max=len(flat) - 1)
    exact = flat[place] == colours
    mapped[exact] = place[exact]
    few = Image.fromarray(mapped.reshape(picture.height, picture.width))
    few.putpalette(palette.getpalette() or [])
    return few


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _drawn(figure: Figure) -> Image.Image:
    """Drawn once, where `savefig` draws twice for the sake of a layout engine."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
