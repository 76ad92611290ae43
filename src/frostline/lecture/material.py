"""The pictures that the lecture is drawn with: those of a dataset, prepared as for any run."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.lecture.errors import Lacking
from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.stored import stored_picture
from frostline.scenes.dataset import Dataset
from frostline.scenes.needs import IN_WORDS, has_box
from frostline.scenes.scene import Scene
from frostline.sources.base import Source
from frostline.sources.configured import configured

DRAWN = ["image_size=96"]  # and the meadow, where no other dataset is named


@dataclass(frozen=True)
class Material:
    """overrides: of the configuration, which say what the pictures are."""

    overrides: Sequence[str]

    @property
    def dataset(self) -> Dataset:
        """Raises Lacking where none can be made of the pictures."""
        if isinstance(self._prepared, str):
            raise Lacking(self._prepared)
        return self._prepared

    @cached_property
    def source(self) -> Source:
        """Raises FrostlineError where there is none."""
        return configured(compose(self.overrides)["dataset"])[0]

    @cached_property
    def _prepared(self) -> Dataset | str:
        """The dataset, or why there is none: looked at once."""
        from frostline.runs.alone import prepared

        config = compose(self.overrides)
        try:
            return prepared(config)
        except FrostlineError as error:
            return str(error)

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def drawn(self) -> bool:
        """Whether they are the drawn ones as they are by default: how well a run on others goes, nobody can claim."""
        asked, usual = compose(self.overrides), compose(DRAWN)
        return all(asked[key] == usual[key] for key in ("dataset", "image_size", "fit"))

    @property
    def ending(self) -> str:
        """What a command on these pictures ends with, after a space; nothing for the drawn ones."""
        own = [word for word in self.overrides if word not in DRAWN]
        return f" {shlex.join(own)}" if own else ""

    @property
    def given(self) -> str:
        """These pictures, as commands name them; in place of drawn ones, the reader's."""
        return self.ending.strip() or "dataset.root=path/to/pictures"

    def scenes(self, needs: str = "", least: int = 1, split: str = "test") -> list[Scene]:
        """Those of a split; needs: `label`, `boxes` or `mask`, which all of them then have.

        Raises Lacking where there are fewer than `least`.
        """
        found = [scene for scene in self.dataset.scenes(split) if not needs or _has(scene, needs)]
        if len(found) < least:
            of = {"train": "training", "val": "validation"}.get(split, split)
            what = f" with {IN_WORDS[needs]}" if needs else ""
            raise Lacking(
                f"This part needs {least} {of} pictures{what}, and {self.name} has {len(found)}: "
                "annotate some, or run it with dataset=meadow."
            )
        return found

    def square(self, scene: Scene, side: int = 96) -> np.ndarray:
        """(side, side, 3) uint8."""
        return Preprocessing(side).square(stored_picture(scene), scene.size)

    def pictures(self, count: int, side: int = 96) -> Tensor:
        """(count, 3, side, side) uint8, of the test split as far as it has so many.

        Raises Lacking where there are fewer in all.
        """
        squares = list(islice(self._squares(side), count))
        if len(squares) < count:
            raise Lacking(f"This part needs {count} pictures, and there are {len(squares)}: add some.")
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)

    def _squares(self, side: int) -> Iterator[np.ndarray]:
        if not isinstance(self._prepared, str):
            for scene in chain(*map(self._prepared.scenes, ("test", "val", "train"))):
                yield self.square(scene, side)
            return
        for scene in self.source.scenes():  # too few to be split, say: those that can be read
            square = None
            with suppress(FrostlineError):
                square, _ = Preprocessing(side).seen(scene.image, scene.id)  # type: ignore[arg-type]
            if square is not None:
                yield square


def material(overrides: Sequence[str]) -> Material:
    """Raises FrostlineError where these name no pictures."""
    found = Material([*DRAWN, *overrides])
    _ = found.source
    return found


def _has(scene: Scene, needs: str) -> bool:
    return has_box(scene) if needs == "boxes" else getattr(scene, needs) is not None
