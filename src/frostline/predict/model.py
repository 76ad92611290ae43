"""A model that says something of pictures, whatever computes it: a run's network, or a file that was exported."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from frostline.errors import FrostlineError, check_number
from frostline.parallel import in_threads
from frostline.pictures.preprocessing import Picture, Pixels
from frostline.predict.answers import answers
from frostline.predict.info import ModelInfo
from frostline.predict.kinds import Placement, Prediction
from frostline.predict.windows import check_window, joined, windows_of

BATCH = 16  # pictures that are predicted at once

# Squares (B, S, S, 3), RGB, to what `answers` reads.
Engine: TypeAlias = Callable[[Pixels], dict[str, npt.NDArray[Any]]]
Seen: TypeAlias = tuple[Pixels, Placement]  # a square, and how the picture lies in it
Answer: TypeAlias = Prediction | FrostlineError
Said = TypeVar("Said")


@dataclass(frozen=True)
class Model:
    """A model in use. info: all that is known of it. engine: what computes it."""

    info: ModelInfo
    engine: Engine

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.info.classes

    def predict(
        self, pictures: Iterable[Picture], *, batch_size: int = BATCH, window: int | None = None
    ) -> list[Prediction]:
        """What the model says of each picture, in their order and in their own pixels.

        pictures: files of any kind that `prepare` reads, their bytes, PIL images, or RGB pixels (h, w, 3) uint8.
        batch_size, window: see `stream`. Raises FrostlineError for what is no picture.
        """
        found = []
        for answer in self.stream(pictures, batch_size=batch_size, window=window):
            if isinstance(answer, FrostlineError):
                raise answer
            found.append(answer)
        return found

    def stream(
        self, pictures: Iterable[Picture], *, batch_size: int = BATCH, window: int | None = None
    ) -> Iterator[Answer]:
        """As `predict`, one after the other: a hundred thousand take no more memory than some batches. What is no
        picture gets the error in place of a prediction.

        batch_size: pictures that go through the network at once. window: px; larger pictures are looked at as a whole,
        and in overlapping windows of this side. Raises FrostlineError where the task has no windows.
        """
        if window is not None:
            check_list(pictures, batch_size)
            check_window(self.info.task, window)
            yield from self._in_windows(pictures, batch_size, window)
            return
        yield from self.batches(pictures, batch_size, self.said)

    def batches(
        self, pictures: Iterable[Picture], batch_size: int, say: Callable[[Sequence[Seen]], Iterable[Said]]
    ) -> Iterator[Said | FrostlineError]:
        """What `say` says of so many pictures at once, one after the other; what is no picture gets the error."""
        check_list(pictures, batch_size)
        seen = in_threads(lambda numbered: self._seen(*numbered), enumerate(pictures), ahead=2 * batch_size)
        while some := list(islice(seen, batch_size)):
            yield from _in_place(some, say)

    def seen(self, picture: Picture, name: str) -> Seen:
        """A picture as the network sees it, which any thread may make. name: what to call it where it is no file.

        Raises FrostlineError for what is no picture.
        """
        preprocessing = self.info.preprocessing
        pixels, shown = preprocessing.seen(picture, name)
        return pixels, Placement(preprocessing.size, preprocessing.place(shown), shown)

    def said(self, seen: Sequence[Seen]) -> list[Prediction]:
        """What the network says of pictures, all at once. Threads may ask beside each other."""
        raw = self.engine(np.stack([pixels for pixels, _ in seen]))
        placements = [placement for _, placement in seen]
        return answers(self.info.task, raw, self.classes, placements, self.info.rule)

    def _seen(self, number: int, picture: Picture) -> Seen | FrostlineError:
        try:
            return self.seen(picture, f"The picture at index {number}")
        except FrostlineError as error:
            return error

    def _in_windows(self, pictures: Iterable[Picture], batch_size: int, window: int) -> Iterator[Answer]:
        """One picture after the other, each as many squares as it has windows."""
        for number, picture in enumerate(pictures):
            try:
                pixels = self.info.preprocessing.whole(picture, f"The picture at index {number}")
            except FrostlineError as error:
                yield error
                continue
            parts = windows_of(self.info.task, pixels.shape[1::-1], window)
            crops = iter([pixels[top : top + height, left : left + width] for left, top, width, height in parts])
            found: list[Answer] = []
            while some := list(islice(crops, batch_size)):
                seen = [self._seen(number, np.ascontiguousarray(crop)) for crop in some]
                found += _in_place(seen, self.said)
            yield joined(found, parts, pixels.shape[1::-1], self.info.rule)


def check_list(pictures: Iterable[Picture], batch_size: int) -> None:
    """Raise FrostlineError for one picture in place of several, and for batches of none."""
    if isinstance(pictures, str | Path | bytes | np.ndarray | Image.Image):
        raise FrostlineError("A list of pictures is wanted, and this is one: write [picture].")
    check_number("batch_size", batch_size, 1, whole=True)


def _in_place(
    seen: Sequence[Seen | FrostlineError], say: Callable[[Sequence[Seen]], Iterable[Said]]
) -> list[Said | FrostlineError]:
    """What is said of squares; errors stay where they are."""
    good = [one for one in seen if not isinstance(one, FrostlineError)]
    found = iter(say(good) if good else ())
    return [one if isinstance(one, FrostlineError) else next(found) for one in seen]
