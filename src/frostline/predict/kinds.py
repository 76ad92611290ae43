"""What a model says of one picture, for each task, in the picture's own pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Picture
from frostline.predict.drawn import draw_boxes, draw_mask, draw_words, opened

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.uint8]

SURE = 0.3  # score from which on a detected box is shown, and can be a mistake: as many as an eye can take in
DRAWN = 3  # classes that are written over a picture


@dataclass(frozen=True)
class Placement:
    """How a picture lies in the square that the model sees.

    side: of the square, in pixels. place: left, top, width, height of the picture there. size: its own width and
    height, in pixels.
    """

    side: int
    place: tuple[int, int, int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, batch: Mapping[str, Any], index: int) -> Self:
        """Of one scene of a batch of val or test."""
        return cls(batch["size"], batch["place"][index], batch["picture_size"][index])

    def in_picture(self, boxes: Floats) -> Floats:
        """(n, 4) x0 y0 x1 y1 in pixels of the square -> in pixels of the picture, clipped to it."""
        left, top, width, height = self.place
        corner, extent = np.array([left, top] * 2, np.float32), np.array([width, height] * 2, np.float32)
        shares: Floats = (boxes - corner) / extent
        inside: Floats = shares.clip(0, 1) * np.array(self.size * 2, np.float32)
        return inside


@dataclass(frozen=True, eq=False)
class Classified:
    """probabilities: (C,) of the classes, in their order."""

    classes: Sequence[str]
    probabilities: Floats

    @property
    def label(self) -> int:
        """Number of the likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def name(self) -> str:
        return self.classes[self.label]

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.probabilities[self.label])

    def likeliest(self, most: int) -> list[tuple[str, float]]:
        """So many classes at most with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:most]
        return [(self.classes[label], float(self.probabilities[label])) for label in order]

    def draw(self, picture: Picture) -> Image.Image:
        """The picture with its likeliest classes. Raises FrostlineError for what is no picture."""
        image = opened(picture)
        order = np.argsort(-self.probabilities, kind="stable")[:DRAWN].tolist()
        draw_words(image, [(f"{self.classes[n]} {self.probabilities[n]:.1%}", n) for n in order])
        return image

    def to_json(self) -> dict[str, Any]:
        shares = dict(zip(self.classes, self.probabilities.tolist(), strict=True))
        return {"class": self.name, "probabilities": shares}


@dataclass(frozen=True, eq=False)
class Located(Classified):
    """One class and one box. measured: (4,), centre x, centre y, width, height in 0..1 of the square."""

    measured: Floats
    placement: Placement

    @property
    def in_square(self) -> Floats:
        """(4,) x0 y0 x1 y1 in pixels of the square."""
        centre, half = self.measured[:2], self.measured[2:] / 2
        corners: Floats = np.concatenate([centre - half, centre + half]) * np.float32(self.placement.side)
        return corners

    @property
    def box(self) -> Floats:
        """(4,) x0 y0 x1 y1 in pixels of the picture, clipped to it."""
        corners: Floats = self.placement.in_picture(self.in_square[None])[0]
        return corners

    def draw(self, picture: Picture) -> Image.Image:
        """The picture with its box. Raises FrostlineError for what is no picture."""
        image = opened(picture)
        draw_boxes(image, self.box[None], [self.label], [f"{self.name} {self.score:.0%}"])
        return image

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "box": self.box.tolist()}


@dataclass(frozen=True, eq=False)
class Detected:
    """Boxes, the surest first. scores: (n,) in 0..1. labels: (n,) class numbers.

    in_square: (n, 4) x0 y0 x1 y1 in pixels of the square, as they are measured.
    """

    classes: Sequence[str]
    in_square: Floats
    scores: Floats
    labels: Whole
    placement: Placement

    @property
    def boxes(self) -> Floats:
        """(n, 4) x0 y0 x1 y1 in pixels of the picture, clipped to it."""
        return self.placement.in_picture(self.in_square)

    def sure(self, score: float = SURE) -> "Detected":
        """Only the boxes of at least this score."""
        good = self.scores >= score
        return Detected(self.classes, self.in_square[good], self.scores[good], self.labels[good], self.placement)

    def draw(self, picture: Picture) -> Image.Image:
        """The picture with the boxes; `sure` leaves out the doubtful. Raises FrostlineError for what is no picture."""
        image, labels = opened(picture), self.labels.tolist()
        words = [f"{self.classes[label]} {score:.0%}" for label, score in zip(labels, self.scores, strict=True)]
        draw_boxes(image, self.boxes, labels, words)
        return image

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`, where that package is installed; FrostlineError where it is not."""
        try:
            from supervision import Detections  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise FrostlineError("The package supervision is not installed: pip install supervision.") from error
        names = np.array([self.classes[label] for label in self.labels.tolist()], dtype=np.str_)
        data = {"class_name": names}
        return Detections(xyxy=self.boxes, confidence=self.scores, class_id=self.labels.astype(int), data=data)

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        return {"objects": [{"class": self.classes[label], "score": s, "box": box} for box, s, label in rows]}


@dataclass(frozen=True, eq=False)
class Segmented:
    """mask: (h, w) uint8, class number of each pixel of the picture."""

    classes: Sequence[str]
    mask: Mask

    def draw(self, picture: Picture) -> Image.Image:
        """The picture under the areas, and their names below it. Raises FrostlineError for what is no picture."""
        return draw_mask(opened(picture), self.mask, self.classes)

    def to_json(self) -> dict[str, Any]:
        """Its size, and how many pixels each class has; the mask itself is a picture."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes)).tolist()
        height, width = self.mask.shape
        return {"width": width, "height": height, "pixels": dict(zip(self.classes, counts, strict=False))}


Prediction = Classified | Located | Detected | Segmented
