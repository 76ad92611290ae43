"""Reading picture files, of whatever kind, as plain 8-bit RGB, and masks: the one place that decodes what users have.

`prepare` uses it once per picture and `predict` on pictures that never were in a dataset, so both see the same pixels.
"""

import errno
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features
from PIL.Image import Transpose

FORMATS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "PNG": {".png", ".apng"},
    "BMP": {".bmp", ".dib"},
    "DIB": {".bmp", ".dib"},
    "TIFF": {".tif", ".tiff"},
    "HEIF": {".heic", ".heif"},
    "JPEG2000": {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
    **{form: {f".{form.lower()}"} for form in ("GIF", "WEBP", "AVIF", "TGA", "QOI", "PCX", "SGI", "PSD")},
}  # that are read, and their suffixes; not what is no picture (PDF, video), runs a program (EPS), or is an icon
_LACKING = {
    "WEBP": not features.check("webp"),
    "AVIF": not features.check("avif"),
    "JPEG2000": not features.check("jpg_2000"),
    "HEIF": not find_spec("pillow_heif"),
}  # what this Pillow is built without, or whose plug-in is not there
PICTURE_SUFFIXES = frozenset(
    suffix for form, suffixes in FORMATS.items() if not _LACKING.get(form) for suffix in suffixes
)
LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"})  # their pixels depend on who decodes them
# What Pillow is told to try: without that it takes whatever it knows, and EPS is a program that Ghostscript runs. A
# JPEG's reader gives MPO, too.
_TRIED = [form for form in FORMATS if form not in ("MPO", "HEIF") and not _LACKING.get(form)]
MAX_PIXELS = 89_478_485  # where PIL begins to warn of a decompression bomb
MOST_PAGES = 1000  # of one file that are looked at
WHITE = 65535  # of 16 bits
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


class HugePictureError(UnreadablePictureError):
    """The picture has more pixels than are safe to decode."""


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises OSError, also for what is no regular file or has more than `most` bytes."""
    return read_with_status(path, most)[0]


def read_with_status(path: Path, most: int = MAX_BYTES) -> tuple[bytes, os.stat_result]:
    """The content of a file as by `read_file`, and its status when that was begun."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would never open
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):  # nor end
            raise OSError(errno.EINVAL, "no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
        parts = [os.read(handle, found.st_size + 1)]
        while parts[-1]:
            parts.append(os.read(handle, found.st_size + 1))
        return b"".join(parts), found
    finally:
        os.close(handle)


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decode the whole picture; nothing is converted yet.

    at_least: a JPEG may come at a half, a quarter or an eighth of its size, with no side below this many pixels.

    Raises UnreadablePictureError for anything but a complete picture of at most `max_pixels` pixels. Of several pages
    the largest is taken, of an animation the first frame.
    """
    with _decoding(max_pixels):
        image: ImageFile.ImageFile = _opened(data, max_pixels)
        whole = image.size
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.info["frostline_reduced"] = whole if image.size != whole else None
        encoding = str(image.tile[0].args) if image.tile else ""
        image.load()
    # PIL has cut these to 8 bits already; "BGR;16" of BMP is 16 bits for the whole pixel.
    image.info["frostline_16_bit"] = bool(re.search(r";16[BLN]", encoding))
    if image.info["frostline_16_bit"] and image.mode == "RGB":
        image.info["frostline_data"] = data
    return image


def open_grey_jpeg(data: bytes, max_pixels: int, at_least: int) -> tuple[Image.Image, tuple[int, int]] | None:
    """The grey of a plain JPEG, that is one which `plain_picture` leaves as it is, and its whole size; else None.

    All of it is read, so that what is broken is found as by `open_picture`; but colours are not decoded, nor more of
    its size than leaves `at_least` pixels a side. Raises as `open_picture`.
    """
    if data[:2] != b"\xff\xd8":  # looked at once, as most are such or are not
        return None
    with _decoding(max_pixels):
        image = _opened(data, max_pixels)
        if image.format != "JPEG" or image.mode not in ("RGB", "L") or orientation_of(image) != 1:
            return None
        size = image.size
        image.draft("L", (at_least, at_least))
        image.load()
    return image, size


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """At its largest page; what is left aside of it stands in info["frostline_odd"]."""
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):  # somebody asked for more than PIL's own limit
        Image.MAX_IMAGE_PIXELS = max_pixels
    image = _identified(BytesIO(data))
    odd = _largest_page(image)
    width, height = image.size
    if width * height > max_pixels:
        raise HugePictureError(
            f"has {width} x {height} pixels, more than the {max_pixels} of dataset.max_pixels, which can be raised"
        )
    image.info["frostline_odd"] = odd
    return image


@contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Whatever a decoder raises becomes an UnreadablePictureError."""
    try:
        yield
    except UnreadablePictureError:
        raise
    except Image.DecompressionBombError as error:  # PIL's own limit, twice MAX_PIXELS; it does not tell the size
        raise HugePictureError(
            f"has more pixels than the {max_pixels} of dataset.max_pixels, which can be raised"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadablePictureError("is no picture") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise UnreadablePictureError(f"cannot be decoded ({error})") from error


def _identified(file: Path | IO[bytes]) -> ImageFile.ImageFile:
    """Raises as Image.open does."""
    try:
        return Image.open(file, formats=_TRIED)
    except UnidentifiedImageError:
        if not _heif():
            raise
        return Image.open(file, formats=["HEIF"])


@cache
def _heif() -> bool:
    """Whether Pillow's plug-in for HEIC is there; it is made known when it is first asked for, as it takes a while."""
    if not find_spec("pillow_heif"):
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


def _largest_page(image: Image.Image) -> list[tuple[str, str]]:
    """Turn to the largest page, and say what of the file is left aside: pairs (kind of fault, what)."""
    if image.format == "TIFF":
        return _tiff_page(image) + _further_bands(image)
    if image.format in ("GIF", "PNG", "WEBP", "AVIF") and getattr(image, "is_animated", False):
        return [("picture_pages", "is an animation, of which the first frame is taken")]
    return []


def _tiff_page(image: Image.Image) -> list[tuple[str, str]]:
    count = min(getattr(image, "n_frames", 1), MOST_PAGES)
    if count < 2:
        return []
    sizes = []
    for page in range(count):
        image.seek(page)
        sizes.append(image.size)
    best = max(range(count), key=lambda page: sizes[page][0] * sizes[page][1])  # the first of equals
    image.seek(best)
    width, height = sizes[best]
    largest = "the first" if len(set(sizes)) == 1 else f"the largest, page {best + 1} with {width} x {height} pixels,"
    return [("picture_pages", f"has {count} pages, of which {largest} is taken")]


def _further_bands(image: Image.Image) -> list[tuple[str, str]]:
    """PIL reads three bands of five, and of four where none is said to be alpha."""
    bands, taken = int(image.tag_v2.get(277, 1)), len(image.getbands())  # type: ignore[attr-defined]
    return [("picture_bands", f"has {bands} bands, of which the first {taken} are taken")] if bands > taken else []


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


def plain_picture(
    image: Image.Image, white: Callable[[], int] = lambda: WHITE
) -> tuple[Image.Image, list[tuple[str, str]]]:
    """The picture as displayed, in mode RGB or L, and what was odd about it: pairs (kind of fault, what).

    The very same object where nothing had to be done. Transparent pixels are laid over white, 16 bits are cut to 8.
    white: asked for where there are 16 bits: the value that becomes 255, with others in proportion; those above are
    white, too. Raises UnreadablePictureError where that cannot be done.
    """
    try:
        return _plain(image, white)
    except UnreadablePictureError:
        raise
    except Exception as error:
        raise UnreadablePictureError(f"cannot be converted to RGB ({error})") from error


def _plain(image: Image.Image, white: Callable[[], int]) -> tuple[Image.Image, list[tuple[str, str]]]:
    odd: list[tuple[str, str]] = list(image.info.pop("frostline_odd", ()))
    palette = image.mode == "P" and image.format != "GIF"  # a GIF has nothing else
    orientation, print_colours = orientation_of(image), image.mode == "CMYK"
    if image.info.get("frostline_16_bit") or image.mode.startswith("I"):
        image, what = _cut(image, white())
        odd.append(("picture_16_bit", what))
    if orientation != 1:
        odd.append(("picture_rotated", f"is to be turned (EXIF orientation {orientation})"))
        image = image.transpose(TURNS[orientation])
    if palette:
        odd.append(("picture_palette", "has its colours in a palette"))
    if print_colours:
        odd.append(("picture_cmyk", "has the colours of print (CMYK)"))
    if image.mode == "F":
        raise UnreadablePictureError("has floating-point pixels, whose range nobody knows")
    if image.has_transparency_data:
        odd.append(("picture_alpha", "has an alpha channel"))
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    return image, odd


def _cut(image: Image.Image, white: int) -> tuple[Image.Image, str]:
    """A picture of 16 bits in 8, and words on it. PIL itself cuts colours, by a shift of 8 bits."""
    what = "has 16 bits per channel" + (f", whose white is {white}" if white != WHITE else "")
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > WHITE:
            raise UnreadablePictureError("has pixel values that 16 bits cannot hold")
        return Image.fromarray(_in_8_bits(grey, white)).convert("RGB"), what
    values = deep_values(image) if white != WHITE else None
    return (image if values is None else Image.fromarray(_in_8_bits(values, white))), what


def _in_8_bits(values: np.ndarray, white: int) -> np.ndarray:
    """uint8 of the same shape: `white` becomes 255. The whole range is cut as a shift does it, as PIL cuts colours."""
    if white == WHITE:
        return (values >> 8).astype(np.uint8)
    return np.minimum((values.astype(np.uint32) * 255 + white // 2) // white, 255).astype(np.uint8)


def deep_values(image: Image.Image) -> np.ndarray | None:
    """The values of a picture of 16 bits from `open_picture`, (h, w) or (h, w, 3); None where they cannot be told.

    Grey ones as PIL has them. Colours from OpenCV, as PIL has them in 8 bits only.
    """
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode != "RGB" or (data := image.info.get("frostline_data")) is None:
        return None
    import cv2  # takes a while to load, and few need it

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.shape != (image.height, image.width, 3):
        return None
    return np.ascontiguousarray(found[..., ::-1])


def read_rgb(
    file: Path | bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS, white: int = WHITE
) -> Image.Image:
    """Any picture file as displayed, in mode RGB. at_least, max_pixels, white: as for `open_picture`, `plain_picture`.

    Raises UnreadablePictureError, or OSError where there is no file.
    """
    return read_shown(file, at_least, max_pixels, white)[0]


def read_shown(
    file: Path | bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS, white: int = WHITE
) -> tuple[Image.Image, tuple[int, int]]:
    """As `read_rgb`, and the width and height of the whole picture as displayed, also where it came reduced."""
    data = file if isinstance(file, bytes) else read_file(file)
    opened = open_picture(data, max_pixels, at_least)
    image = plain_picture(opened, lambda: white)[0].convert("RGB")
    width, height = opened.info["frostline_reduced"] or image.size
    turned = (width, height) != image.size and orientation_of(opened) in QUARTER_TURNS
    return image, (height, width) if turned else (width, height)


def displayed_size(file: Path | IO[bytes]) -> tuple[int, int] | None:
    """Width and height with the EXIF rotation applied, from the file's header alone; None where it has none to read."""
    try:
        with _identified(file) as image:
            _largest_page(image)
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
