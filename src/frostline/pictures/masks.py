"""Reading masks: the values of their pixels, in whatever kind of picture they are stored."""

from pathlib import Path

import numpy as np
from PIL import Image

from frostline.pictures.reading import MAX_PIXELS, WHITE, UnreadablePictureError, open_picture, read_file


class NoMaskError(UnreadablePictureError):
    """The file holds a picture that cannot be a mask; the message says why."""


def read_mask(file: Path, max_pixels: int = MAX_PIXELS, colours: bool = False) -> np.ndarray:
    """The values of a mask's file, (height, width) uint8, or uint16 where it has more; nothing is turned.

    They are numbers, those of a palette, or 0 and 1; in three channels where these are alike. colours: its colours, as
    0xRRGGBB in uint32.

    Raises NoMaskError for a picture of another kind, UnreadablePictureError for none, OSError where there is no file.
    """
    image: Image.Image = open_picture(read_file(file), max_pixels)
    if image.mode in ("RGBA", "LA") and image.getextrema()[-1] == (255, 255):  # an alpha that hides nothing
        image = image.convert(image.mode[:-1])
    if image.mode not in ("1", "L", "P", "RGB") and not image.mode.startswith("I"):
        raise NoMaskError(f"has mode {image.mode} where a mask has one channel, or colours")
    if colours and not image.mode.startswith("I"):
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.uint32), -1, 0)
        return np.asarray(red << 16 | green << 8 | blue)
    values = np.array(image)
    if image.mode == "RGB":
        if (values != values[..., :1]).any():
            raise NoMaskError(
                "has colours where a mask has numbers: dataset=masks takes them, by dataset.source.values"
            )
        values = values[..., 0]
    if image.mode.startswith("I"):
        if values.min() < 0 or values.max() > WHITE:
            raise NoMaskError("has values that 16 bits cannot hold")
        return values.astype(np.uint8 if values.max() < 256 else np.uint16)
    return values.astype(np.uint8)


def is_coloured(file: Path) -> bool:
    """Whether a mask has colours, its own or a palette's, rather than numbers alone; by its pixels."""
    try:
        image = open_picture(read_file(file))
        pixels = np.asarray(image.convert("RGB"))
        return bool((pixels != pixels[..., :1]).any())
    except (OSError, UnreadablePictureError):
        return False
