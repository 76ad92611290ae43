"""How a picture of any shape comes into the square that models see: stretched, or whole with a margin (letterbox)."""

import numpy as np
import numpy.typing as npt
from PIL import Image

FITS = ("stretch", "letterbox")
GREY = 128  # colour of what lies outside the picture


def place(width: int, height: int, size: int, fit: str) -> tuple[int, int, int, int]:
    """Where a picture of this width and height lies in a square of `size` pixels: left, top, width, height there.

    stretch: it fills the square. letterbox: it keeps its shape, and lies in the middle.
    """
    if fit == "stretch":
        return 0, 0, size, size
    longer = max(width, height)
    w, h = max(1, round(size * width / longer)), max(1, round(size * height / longer))
    return (size - w) // 2, (size - h) // 2, w, h


def square(
    image: Image.Image,
    size: int,
    fit: str,
    resample: Image.Resampling,
    margin: int,
    shape: tuple[int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """A picture as a square, (size, size) or (size, size, channels); `margin` is the value where it does not reach.

    shape: width and height of the whole picture, where `image` was decoded at a part of its size.
    """
    left, top, w, h = place(*(shape or image.size), size, fit)
    resized = np.array(image.resize((w, h), resample))
    if (w, h) == (size, size):
        return resized
    pixels = np.full((size, size, *resized.shape[2:]), margin, np.uint8)
    pixels[top : top + h, left : left + w] = resized
    return pixels
