"""What a trained task says of pictures that need not lie in any dataset."""

from collections.abc import Iterable
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from frostline.errors import FrostlineError
from frostline.loading.batch import Batch, stack_pictures
from frostline.loading.decoded import square_picture
from frostline.parallel import in_threads
from frostline.pictures.fit import place
from frostline.pictures.reading import QUARTER_TURNS, UnreadablePictureError, orientation_of, read_file
from frostline.tasks.base import Task
from frostline.tasks.predictions import Prediction

Picture: TypeAlias = str | Path | bytes | npt.NDArray[np.uint8]
BATCH = 16


@torch.inference_mode()
def predict(task: Task, pictures: Iterable[Picture], size: int, fit: str) -> list[Prediction]:
    """One prediction a picture, in their order. size, fit: of the square that the task sees.

    Raises FrostlineError for what is no picture.
    """
    if isinstance(pictures, str | Path | bytes | np.ndarray):
        raise FrostlineError("predict takes a list of pictures, and this is one: write [picture].")
    task.eval()
    predictions: list[Prediction] = []
    squares = in_threads(lambda numbered: _square(*numbered, size, fit), enumerate(pictures))
    while some := list(islice(squares, BATCH)):
        sizes = [shown for _, shown in some]
        batch = {"size": size, "place": [place(*shown, size, fit) for shown in sizes], "picture_size": sizes}
        images = stack_pictures([image for image, _ in some]).to(task.device)
        predictions += task.predict(task(images), cast(Batch, batch))
    return predictions


def _square(number: int, picture: Picture, size: int, fit: str) -> tuple[Tensor, tuple[int, int]]:
    """A picture as the task sees it, (3, size, size), and its own width and height as displayed."""
    name = str(picture) if isinstance(picture, str | Path) else f"The picture at index {number}"
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            shape = " x ".join(map(str, picture.shape))
            raise FrostlineError(f"{name} is {shape} {picture.dtype}: give RGB pixels, height x width x 3 uint8.")
        shown = picture.shape[1], picture.shape[0]
        return square_picture(picture, size, fit, shown), shown
    try:
        data = picture if isinstance(picture, bytes) else read_file(Path(picture))
        shown = _shown_size(data)
        return square_picture(data, size, fit, shown), shown
    except UnreadablePictureError as error:
        raise FrostlineError(f"{name} {error}: leave it out, or save it anew.") from error
    except OSError as error:
        raise FrostlineError(f"{name} cannot be read ({error.strerror or error}).") from error


def _shown_size(data: bytes) -> tuple[int, int]:
    """Without decoding it, as a large JPEG is decoded at a part of its size."""
    try:
        with Image.open(BytesIO(data)) as image:
            width, height = image.size
            return (height, width) if orientation_of(image) in QUARTER_TURNS else (width, height)
    except Exception as error:  # of many kinds on damaged files
        raise UnreadablePictureError("is no picture") from error
