"""The pictures that the lecture is drawn with: those of a dataset, prepared as for any run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frostline.config import compose
from frostline.lecture.page import Lacking
from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.stored import stored_picture
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import Scene

DRAWN = ["dataset=meadow", "image_size=96"]


@dataclass(frozen=True)
class Material:
    """overrides: of the configuration, which say what the pictures are."""

    overrides: Sequence[str]

    @cached_property
    def dataset(self) -> Dataset:
        from frostline.runs.alone import prepared

        return prepared(compose(self.overrides))

    @property
    def name(self) -> str:
        return self.dataset.name

    def scenes(self, needs: str = "", least: int = 1, split: str = "test") -> list[Scene]:
        """Those of a split; needs: `boxes` or `mask`, which all of them then have. Raises Lacking where there are fewer
        than `least`."""
        found = [scene for scene in self.dataset.scenes(split) if not needs or _has(scene, needs)]
        if len(found) < least:
            what = {"boxes": "with boxes", "mask": "with masks"}.get(needs, "")
            raise Lacking(
                f"This part needs {least} test pictures {what}".rstrip() + f", and {self.name} has {len(found)}: "
                "annotate some, or run it with dataset=meadow."
            )
        return found

    def square(self, scene: Scene, side: int = 96) -> np.ndarray:
        """(side, side, 3) uint8."""
        return Preprocessing(side).square(stored_picture(scene), scene.size)

    def pictures(self, count: int, side: int = 96) -> Tensor:
        """(count, 3, side, side) uint8."""
        squares = [self.square(scene, side) for scene in self.scenes(least=count)[:count]]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def material(overrides: Sequence[str]) -> Material:
    return Material([*DRAWN, *overrides])


def _has(scene: Any, needs: str) -> bool:
    value = getattr(scene, needs)
    return value is not None and (isinstance(value, Path) or len(value) > 0)
