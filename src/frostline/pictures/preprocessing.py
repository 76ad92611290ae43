"""From a picture to the square that a network sees: the same in training, evaluation, prediction, and wherever a model
goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from frostline.errors import FrostlineError
from frostline.pictures.fit import FITS, GREY, place, square
from frostline.pictures.reading import (
    MAX_PIXELS,
    WHITE,
    UnreadablePictureError,
    plain_picture,
    read_file,
    read_rgb,
    read_shown,
)

Pixels: TypeAlias = npt.NDArray[np.uint8]
Picture: TypeAlias = str | Path | bytes | Image.Image | Pixels

REDUCED = 2  # large JPEGs are decoded at a part of their size, but at no less than this many times the size wanted


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become squares; scaling and normalisation are the network's own.

    size: px, side of the square. fit: one of FITS; the margin of a letterbox is GREY. max_pixels: width x height; more
    are refused. white: of 16 bits, the value that is white.
    """

    size: int
    fit: str = "stretch"
    max_pixels: int = MAX_PIXELS
    white: int = WHITE

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise FrostlineError(f"fit is '{self.fit}'; {' and '.join(FITS)} are known.")

    def square(self, picture: Path | bytes | Pixels, shape: tuple[int, int] | None = None) -> Pixels:
        """A picture (a file, its bytes, or RGB pixels) as models see it: (size, size, 3), antialiased.

        shape: its width and height, where known; a letterbox needs them to a pixel.
        Raises UnreadablePictureError, or OSError where there is no file.
        """
        if isinstance(picture, np.ndarray):
            return self._square(Image.fromarray(picture), shape)
        return self._square(read_rgb(picture, REDUCED * self.size, self.max_pixels, self.white), shape)

    def seen(self, picture: Picture, name: str) -> tuple[Pixels, tuple[int, int]]:
        """Anybody's picture as models see it, (size, size, 3), and its own width and height as displayed.

        name: what to call it where it is no file. Raises FrostlineError for what is no picture.
        """
        if isinstance(picture, np.ndarray | Image.Image):
            pixels = self.whole(picture, name)
            shown = pixels.shape[1], pixels.shape[0]
            return self.square(pixels, shown), shown
        with readable(picture, name):
            data = picture if isinstance(picture, bytes) else read_file(Path(picture))
            if not data:
                raise UnreadablePictureError("is empty")
            image, shown = read_shown(data, REDUCED * self.size, self.max_pixels, self.white)
            return self._square(image, shown), shown

    def whole(self, picture: Picture, name: str) -> Pixels:
        """All pixels of anybody's picture as displayed, (h, w, 3) RGB. Raises FrostlineError for what is no picture."""
        if isinstance(picture, np.ndarray):
            _check(picture, name)
            return picture
        with readable(picture, name):
            if isinstance(picture, Image.Image):
                return np.asarray(plain_picture(picture, lambda: self.white)[0].convert("RGB"))
            data = picture if isinstance(picture, bytes) else Path(picture)
            return np.asarray(read_rgb(data, None, self.max_pixels, self.white))

    def _square(self, image: Image.Image, shape: tuple[int, int] | None) -> Pixels:
        return square(image, self.size, self.fit, Image.Resampling.BILINEAR, GREY, shape)

    def place(self, shown: tuple[int, int]) -> tuple[int, int, int, int]:
        """Where a picture of this width and height lies in the square: left, top, width, height there."""
        return place(*shown, self.size, self.fit)


@contextmanager
def readable(picture: Picture, name: str) -> Iterator[None]:
    """Within it, what is no picture, or cannot be read, becomes a FrostlineError that names it."""
    if not isinstance(picture, str | Path | bytes | Image.Image):
        raise FrostlineError(f"{name} is {type(picture).__name__}: give a path, bytes, a PIL image, or RGB pixels.")
    name = str(picture) if isinstance(picture, str | Path) else name
    try:
        yield
    except UnreadablePictureError as error:
        raise FrostlineError(f"{name} {error}: leave it out, or save it anew.") from error
    except OSError as error:
        raise FrostlineError(f"{name} cannot be read ({error.strerror or error}).") from error


def _check(pixels: Pixels, name: str) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        shape = " x ".join(map(str, pixels.shape))
        raise FrostlineError(f"{name} is {shape} {pixels.dtype}: give RGB pixels, height x width x 3 uint8.")
