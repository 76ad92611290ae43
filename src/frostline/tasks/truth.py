"""What is annotated of one picture, beside which a prediction is drawn and judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.predict.kinds import Floats, Mask, Placement, Whole
from frostline.scenes.scene import VOID


@dataclass(frozen=True, eq=False)
class Truth:
    """What is annotated of one scene that a task needs, in the picture's own pixels; the rest is None.

    label: class number. boxes: (n, 4) x0 y0 x1 y1, with labels: (n,) and marks: (n,), as in `Scene.box_marks`. mask:
    (h, w) uint8, VOID where unknown.
    """

    label: int | None = None
    boxes: Floats | None = None
    labels: Whole | None = None
    mask: Mask | None = None
    marks: npt.NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, batch: Mapping[str, Any], index: int) -> "Truth":
        """Of one scene of a batch of val or test, all of it on the CPU."""
        boxes = Placement.of(batch, index).in_picture(batch["boxes"][index].numpy()) if "boxes" in batch else None
        return cls(
            int(batch["label"][index]) if "label" in batch else None,
            boxes,
            batch["box_labels"][index].numpy() if "boxes" in batch else None,
            batch["native_mask"][index].numpy() if "native_mask" in batch else None,
            batch["box_marks"][index].numpy() if "boxes" in batch else None,
        )

    def classes_seen(self) -> set[int]:
        """Class numbers that occur in its mask."""
        return set() if self.mask is None else set(np.unique(self.mask).tolist()) - {VOID}
