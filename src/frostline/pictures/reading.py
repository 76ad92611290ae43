"""Reading picture files, of whatever kind, as plain 8-bit RGB, and masks: the one place that decodes what users have.

`prepare` uses it once per picture and `predict` on pictures that never were in a dataset, so both see the same pixels.
"""

import errno
import re
import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

MAX_PIXELS = 89_478_485  # where PIL begins to warn of a decompression bomb
MAX_BYTES = 1 << 30  # of one file: more is no picture of MAX_PIXELS, nor any annotation
ORIENTATION = 0x0112  # the tag of EXIF
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}  # what each orientation asks for
QUARTER_TURNS = (5, 6, 7, 8)  # width becomes height

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # open_picture refuses what is larger


class UnreadablePictureError(ValueError):
    """The file holds no picture that can be decoded completely; the message says why."""


class NoMaskError(UnreadablePictureError):
    """The file holds a picture that cannot be a mask; the message says why."""


class HugePictureError(UnreadablePictureError):
    """The picture has more pixels than are safe to decode."""


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises OSError, also for what is no regular file or has more than `most` bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would never end
        raise OSError(errno.EINVAL, "no regular file", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return path.read_bytes()


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
    except Image.DecompressionBombError as error:  # PIL's own limit, twice MAX_PIXELS; it does not tell the size
        raise HugePictureError(f"has more pixels than the {max_pixels} allowed") from error
    except UnidentifiedImageError as error:
        raise UnreadablePictureError("is no picture") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise UnreadablePictureError(f"cannot be decoded ({error})") from error
    # PIL has cut these to 8 bits already; "BGR;16" of BMP is 16 bits for the whole pixel.
    image.info["frostline_16_bit"] = bool(re.search(r";16[BLN]", encoding))
    return image


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 2 to 8 where the picture is to be turned; 1 also where EXIF cannot be read."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # no promise of the kind, as in open_picture; every viewer shows such a picture as it is
        return 1
    return int(found) if found in TURNS else 1


def turned_boxes(boxes: np.ndarray, orientation: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) x0 y0 x1 y1 on a picture of this size, as the orientation (one of QUARTER_TURNS) turns it."""
    (x0, y0, x1, y1), (width, height) = boxes.T, size
    turned = {
        5: (y0, x0, y1, x1),
        6: (height - y1, x0, height - y0, x1),
        7: (height - y1, width - x1, height - y0, width - x0),
        8: (y0, width - x1, y1, width - x0),
    }[orientation]
    return np.stack(turned, axis=1)


def plain_picture(image: Image.Image) -> tuple[Image.Image, list[tuple[str, str]]]:
    """The picture as displayed, in mode RGB or L, and what was odd about it: pairs (kind of fault, what).

    The very same object where nothing had to be done. Transparent pixels are laid over white, 16 bits are cut to 8, an
    animation gives its first frame. Raises UnreadablePictureError where that cannot be done.
    """
    odd = []
    try:
        palette = image.mode == "P" and image.format != "GIF"  # a GIF has nothing else
        if image.info.get("frostline_16_bit") or image.mode.startswith("I"):
            odd.append(("picture_16_bit", "has 16 bits per channel"))
        if (orientation := orientation_of(image)) != 1:
            odd.append(("picture_rotated", f"is to be turned (EXIF orientation {orientation})"))
            image = image.transpose(TURNS[orientation])
        if palette:
            odd.append(("picture_palette", "has its colours in a palette"))
        if image.mode == "CMYK":
            odd.append(("picture_cmyk", "has the colours of print (CMYK)"))
        if image.mode.startswith("I"):
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 65535:
                raise UnreadablePictureError("has pixel values that 16 bits cannot hold")
            image = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
        elif image.mode == "F":
            raise UnreadablePictureError("has floating-point pixels, whose range nobody knows")
        elif image.has_transparency_data:
            odd.append(("picture_alpha", "has an alpha channel"))
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        elif image.mode not in ("RGB", "L"):
            image = image.convert("RGB")
    except UnreadablePictureError:
        raise
    except Exception as error:
        raise UnreadablePictureError(f"cannot be converted to RGB ({error})") from error
    return image, odd


def read_rgb(file: Path | bytes, at_least: int | None = None) -> Image.Image:
    """Any picture file as displayed, in mode RGB. at_least: as for `open_picture`.

    Raises UnreadablePictureError, or OSError where there is no file.
    """
    data = file if isinstance(file, bytes) else read_file(file)
    return plain_picture(open_picture(data, at_least=at_least))[0].convert("RGB")


def read_mask(file: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The values of a mask's file, (height, width) uint8: numbers, those of a palette, or 0 and 1; nothing is turned.

    Raises NoMaskError for a picture of another kind, UnreadablePictureError for none, OSError where there is no file.
    """
    image = open_picture(read_file(file), max_pixels)
    if image.mode not in ("1", "L", "P"):
        raise NoMaskError(f"has mode {image.mode} where a mask has one channel of 8 bits")
    return np.array(image).astype(np.uint8)


def displayed_size(file: Path | IO[bytes]) -> tuple[int, int] | None:
    """Width and height with the EXIF rotation applied, from the file's header alone; None where it has none to read."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            # PIL turns a TIFF by itself, and its size with it.
            turned = image.format != "TIFF" and orientation_of(image) in QUARTER_TURNS
    except Exception:  # readers raise OSError, SyntaxError, struct.error, ... on damaged files; the picture check tells
        return None
    return (height, width) if turned else (width, height)


def quarter_turn(path: Path) -> tuple[int, int] | None:
    """Width and height as stored of a picture that EXIF turns by a quarter; None for any other, and for a square."""
    shown = displayed_size(path)
    try:
        with Image.open(path) as image:
            turned = image.format != "TIFF" and orientation_of(image) in QUARTER_TURNS  # as in displayed_size
    except Exception:
        return None
    return shown[::-1] if turned and shown is not None and shown[0] != shown[1] else None
