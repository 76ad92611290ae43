"""What each task says of one picture, in the picture's own pixels, on the CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from frostline.scenes.scene import VOID

SURE = 0.3  # score from which on a detected box is shown, and can be a mistake: as many as an eye can take in


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

    def in_picture(self, boxes: Tensor) -> Tensor:
        """(n, 4) x0 y0 x1 y1 in pixels of the square -> in pixels of the picture, clipped to it."""
        left, top, width, height = self.place
        shares = (boxes - torch.tensor([left, top] * 2)) / torch.tensor([width, height] * 2)
        return shares.clamp(0, 1) * torch.tensor(self.size * 2)


@dataclass(frozen=True, eq=False)
class Classified:
    """probabilities: (C,) of the classes, in their order."""

    classes: Sequence[str]
    probabilities: Tensor

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

    def to_json(self) -> dict[str, Any]:
        shares = dict(zip(self.classes, self.probabilities.tolist(), strict=True))
        return {"class": self.name, "probabilities": shares}


@dataclass(frozen=True, eq=False)
class Located(Classified):
    """One class and one box. measured: (4,), centre x, centre y, width, height in 0..1 of the square."""

    measured: Tensor
    placement: Placement

    @property
    def in_square(self) -> Tensor:
        """(4,) x0 y0 x1 y1 in pixels of the square."""
        centre, half = self.measured[:2], self.measured[2:] / 2
        return torch.cat([centre - half, centre + half]) * self.placement.side

    @property
    def box(self) -> Tensor:
        """(4,) x0 y0 x1 y1 in pixels of the picture, clipped to it."""
        return self.placement.in_picture(self.in_square[None])[0]

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "box": self.box.tolist()}


@dataclass(frozen=True, eq=False)
class Detected:
    """Boxes, the surest first. scores: (n,) in 0..1. labels: (n,) class numbers.

    in_square: (n, 4) x0 y0 x1 y1 in pixels of the square, as they are measured.
    """

    classes: Sequence[str]
    in_square: Tensor
    scores: Tensor
    labels: Tensor
    placement: Placement

    @property
    def boxes(self) -> Tensor:
        """(n, 4) x0 y0 x1 y1 in pixels of the picture, clipped to it."""
        return self.placement.in_picture(self.in_square)

    def sure(self, score: float = SURE) -> "Detected":
        """Only the boxes of at least this score."""
        good = self.scores >= score
        return Detected(self.classes, self.in_square[good], self.scores[good], self.labels[good], self.placement)

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        return {"objects": [{"class": self.classes[label], "score": s, "box": box} for box, s, label in rows]}


@dataclass(frozen=True, eq=False)
class Segmented:
    """mask: (h, w) uint8, class number of each pixel of the picture."""

    classes: Sequence[str]
    mask: Tensor

    def to_json(self) -> dict[str, Any]:
        """Its size, and how many pixels each class has; the mask itself is a picture."""
        counts = torch.bincount(self.mask.flatten().long(), minlength=len(self.classes)).tolist()
        height, width = self.mask.shape
        return {"width": width, "height": height, "pixels": dict(zip(self.classes, counts, strict=False))}


Prediction = Classified | Located | Detected | Segmented


@dataclass(frozen=True, eq=False)
class Truth:
    """What is annotated of one scene that a task needs, in the picture's own pixels; the rest is None.

    label: class number. boxes: (n, 4) x0 y0 x1 y1, with labels: (n,) and marks: (n,), as in `Scene.box_marks`. mask:
    (h, w) uint8, VOID where unknown.
    """

    label: int | None = None
    boxes: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None
    marks: Tensor | None = None

    @classmethod
    def of(cls, batch: Mapping[str, Any], index: int) -> Self:
        """Of one scene of a batch of val or test, all of it on the CPU."""
        boxes = Placement.of(batch, index).in_picture(batch["boxes"][index]) if "boxes" in batch else None
        return cls(
            int(batch["label"][index]) if "label" in batch else None,
            boxes,
            batch["box_labels"][index] if "boxes" in batch else None,
            batch["native_mask"][index] if "native_mask" in batch else None,
            batch["box_marks"][index] if "boxes" in batch else None,
        )

    def classes_seen(self) -> set[int]:
        """Class numbers that occur in its mask."""
        return set() if self.mask is None else set(self.mask.unique().tolist()) - {VOID}
