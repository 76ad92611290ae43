"""Reading picture files, of whatever kind, as plain 8-bit RGB.

`prepare` uses it once per picture and `predict` on pictures that never were in a dataset, so both see the same pixels.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485  # where PIL begins to warn of a decompression bomb
_ORIENTATION = 0x0112


class UnreadablePictureError(ValueError):
    """The file holds no picture that can be decoded completely; the message says why."""


class HugePictureError(UnreadablePictureError):
    """The picture has more pixels than are safe to decode."""


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decode the whole picture; nothing is converted yet.

    at_least: a JPEG may come at a half, a quarter or an eighth of its size, with no side below this many pixels.

    Raises UnreadablePictureError for anything but a complete picture of at most `max_pixels` pixels.
    """
    try:
        image = Image.open(BytesIO(data))
        width, height = image.size
        if width * height > max_pixels:
            raise HugePictureError(f"has {width} x {height} pixels, more than the {max_pixels} allowed")
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        encoding = str(image.tile[0].args) if image.tile else ""
        image.load()
    except UnreadablePictureError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePictureError("is no picture") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise UnreadablePictureError(f"cannot be decoded ({error})") from error
    image.info["frostline_16_bit"] = "16" in encoding and image.mode in ("RGB", "L")
    return image


def plain_picture(image: Image.Image) -> tuple[Image.Image, list[tuple[str, str]]]:
    """The picture as displayed, in mode RGB or L, and what was odd about it: pairs (kind of fault, what).

    The very same object where nothing had to be done. Transparent pixels are laid over white, 16 bits are cut to 8, an
    animation gives its first frame.
    """
    odd = []
    if image.info.get("frostline_16_bit"):  # PIL has cut these to 8 bits already
        odd.append(("picture_16_bit", "has 16 bits per channel"))
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation in range(2, 9):
            odd.append(("picture_rotated", f"is to be turned (EXIF orientation {orientation})"))
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # no promise of the kind, as in open_picture
        raise UnreadablePictureError(f"has damaged EXIF data ({error})") from error
    if image.mode == "P" and image.format != "GIF":  # a GIF has nothing else
        odd.append(("picture_palette", "has its colours in a palette"))
    if image.mode == "CMYK":
        odd.append(("picture_cmyk", "has the colours of print (CMYK)"))
    if image.has_transparency_data:
        odd.append(("picture_alpha", "has transparent pixels"))
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode.startswith("I"):
        odd.append(("picture_16_bit", "has 16 bits per channel"))
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadablePictureError("has pixel values that 16 bits cannot hold")
        image = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    elif image.mode == "F":
        raise UnreadablePictureError("has floating-point pixels, whose range nobody knows")
    elif image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    return image, odd


def read_rgb(file: Path | bytes, at_least: int | None = None) -> Image.Image:
    """Any picture file as displayed, in mode RGB. at_least: as for `open_picture`.

    Raises UnreadablePictureError, or OSError where there is no file.
    """
    data = file if isinstance(file, bytes) else file.read_bytes()
    return plain_picture(open_picture(data, at_least=at_least))[0].convert("RGB")
