"""Writing pictures."""

from io import BytesIO

import numpy as np
from PIL import Image

LONGEST = 65_500  # px of a side of a JPEG


def png(image: Image.Image | np.ndarray) -> bytes:
    """A picture, (height, width) or (height, width, 3) uint8, as a plain PNG file."""
    buffer = BytesIO()
    # A fresh picture carries no colour profile, text or EXIF over; level 1 halves the time and costs little space.
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def jpeg(image: Image.Image, size: tuple[int, int]) -> bytes:
    """A picture in mode RGB or L as a plain JPEG of this width and height.

    Quality 95 with colours at full size is within a few of 255 values nearly everywhere; a lossless WebP of photographs
    takes more than twice the room, and twice the time to decode.
    """
    buffer = BytesIO()
    smaller = Image.fromarray(np.asarray(image)).resize(size, Image.Resampling.BILINEAR)  # with no profile, text, EXIF
    smaller.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
