"""Boxes, areas and names drawn over a picture, by PIL alone: quick enough for thousands."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from frostline.pictures.preprocessing import Picture, Preprocessing
from frostline.pictures.regions import edges
from frostline.scenes.scene import BACKGROUND, VOID

# Okabe and Ito's colours, and Tol's "muted" ones, which colour-blind eyes tell apart; they return after these.
COLOURS = (
    *("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"),
    *("#332288", "#ddcc77", "#117733", "#882255", "#88ccee", "#999933", "#aa4499", "#44aa99"),
)
SMALLEST, LARGEST = 11, 40  # px, of letters
SHARE = 32  # letters are this part of the shorter side
COVER = 0.55  # of an area's colour over the picture


def opened(picture: Picture) -> Image.Image:
    """A picture as displayed, in RGB. Raises FrostlineError for what is none."""
    return Image.fromarray(Preprocessing(1).whole(picture, "The picture"))


def colour(label: int) -> str:
    """Of a class, by its number."""
    return COLOURS[label % len(COLOURS)]


def draw_boxes(image: Image.Image, boxes: npt.NDArray[np.float32], labels: Sequence[int], words: Sequence[str]) -> None:
    """Boxes (n, 4) x0 y0 x1 y1 in pixels, the surest first, each in the colour of its class and with its words."""
    pen, font = ImageDraw.Draw(image), _font(image)
    width = max(2, int(font.size) // 6)
    for (x0, y0, x1, y1), label, text in reversed(list(zip(boxes.tolist(), labels, words, strict=True))):
        pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour(label), width=width)
        _tag(pen, font, (x0, y0), text, colour(label), image.size)


def draw_words(image: Image.Image, lines: Sequence[tuple[str, int]]) -> None:
    """Lines in the upper left corner, each on the colour of a class."""
    pen, font = ImageDraw.Draw(image), _font(image)
    top = 0.0
    for text, label in lines:
        top = _tag(pen, font, (0, top), text, colour(label), image.size, below=True)


def draw_mask(image: Image.Image, mask: npt.NDArray[np.uint8], classes: Sequence[str]) -> Image.Image:
    """The picture under class numbers (h, w), each in its colour and named below; the background stays as it is."""
    table = np.array([[int(COLOURS[n % len(COLOURS)][k : k + 2], 16) for k in (1, 3, 5)] for n in range(256)])
    bare = [n for n, name in enumerate(classes) if name == BACKGROUND]
    shown = ~np.isin(mask, [VOID, *bare])
    share = np.where(shown, COVER, 0.0)
    share[edges(mask) & shown] = 0.95
    pixels = np.asarray(image) * (1 - share[..., None]) + table[mask] * share[..., None]
    found = [label for label in np.unique(mask).tolist() if label < len(classes) and label not in bare]
    return _with_key(Image.fromarray(pixels.astype(np.uint8)), [(classes[label], label) for label in found])


def _with_key(image: Image.Image, named: Sequence[tuple[str, int]]) -> Image.Image:
    """The picture, and below it the names of colours, in as many rows as they need."""
    font = _font(image)
    pad = font.size // 2
    rows: list[list[tuple[str, int, float]]] = [[]]
    left = 0.0
    for text, label in named:
        wide = font.getlength(text) + 2 * pad
        if rows[-1] and left + wide > image.width:
            rows.append([])
            left = 0.0
        rows[-1].append((text, label, left))
        left += wide
    high = int(font.size + pad)
    page = Image.new("RGB", (image.width, image.height + (high * len(rows) if named else 0)), "white")
    page.paste(image)
    pen = ImageDraw.Draw(page)
    for number, row in enumerate(rows):
        for text, label, left in row:
            _tag(pen, font, (left, image.height + number * high), text, colour(label), page.size, below=True)
    return page


def _font(image: Image.Image) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(min(LARGEST, max(SMALLEST, min(image.size) // SHARE)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # as every wheel of Pillow has it
    return font


def _tag(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    corner: tuple[float, float],
    text: str,
    ground: str,
    size: tuple[int, int],
    below: bool = False,
) -> float:
    """Words on a coloured ground, above the corner, or below it where there is no room; where they end below."""
    pad = max(1, font.size // 6)
    wide, high = font.getlength(text) + 2 * pad, font.size + 2 * pad
    left = max(0.0, min(corner[0], size[0] - wide))
    top = corner[1] if below or corner[1] < high else corner[1] - high
    pen.rectangle((left, top, left + wide, top + high), fill=ground)
    red, green, blue = (int(ground[k : k + 2], 16) for k in (1, 3, 5))
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 115 else "white"
    pen.text((left + pad, top + pad), text, fill=ink, font=font)
    return top + high
