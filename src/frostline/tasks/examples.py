"""Scenes of a split beside what a task says of them, for pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from frostline.loading.batch import collate
from frostline.loading.items import SceneItems
from frostline.pictures.stored import stored_picture
from frostline.predict.kinds import Prediction
from frostline.tasks.base import Task, on_cpu
from frostline.tasks.truth import Truth

LONGEST = 400  # px; longer sides are drawn smaller


@dataclass(frozen=True, eq=False)
class Example:
    """picture: (h, w, 3) uint8, at most LONGEST in size. size: width and height of the whole picture, in pixels.

    words: what is wrong with the prediction; empty where nothing is.
    """

    id: str
    picture: npt.NDArray[np.uint8]
    size: tuple[int, int]
    prediction: Prediction
    truth: Truth
    words: str


@torch.no_grad()
def examples(task: Task, items: SceneItems, positions: Sequence[int]) -> list[Example]:
    """These scenes of val or test, predicted at once where the task is."""
    if not positions:
        return []
    batch = collate([items.plain(position) for position in positions])
    task.eval()
    predictions = task.predict(task(batch["image"].to(task.device)), batch)
    mistakes = list(task.mistakes(predictions, on_cpu(batch)))
    return [
        Example(
            batch["id"][n],
            _shown(stored_picture(items.scenes[position])),
            batch["picture_size"][n],
            predictions[n],
            Truth.of(batch, n),
            mistakes[n].words,
        )
        for n, position in enumerate(positions)
    ]


def spread(count: int, of: int) -> list[int]:
    """So many positions spread evenly over `of`, the first and the last among them; all where there are no more.

    Scenes lie in the order of their ids, in which those of one class often follow one another.
    """
    count = min(count, of)
    return [k * (of - 1) // max(count - 1, 1) for k in range(count)]


def _shown(picture: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(BytesIO(picture)) as image:  # a prepared dataset's: plain RGB or grey
        image.draft("RGB", (LONGEST, LONGEST))
        small = image.convert("RGB")
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    return np.asarray(small)
