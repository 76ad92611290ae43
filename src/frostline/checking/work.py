"""What `prepare` does with one scene, in this process or in another one."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frostline.checking import fingerprint
from frostline.checking.record import Record
from frostline.checking.scene import check
from frostline.checking.stores import PictureStore
from frostline.checking.white import White
from frostline.parallel import in_processes, in_threads
from frostline.scenes.scene import Classes, Scene

FEW = 1000  # scenes, for which no process is begun
MOST, MOST_BYTES = 16, 1 << 20  # scenes that go to a process together, and bytes of their arrays


class Asked(NamedTuple):
    """A scene, and the fingerprint of what is known of it, where anything is."""

    scene: Scene
    known: str | None = None


class Done(NamedTuple):
    """id: of a scene. record: what is known of it now; None where that is as it was. content: its
    `fingerprint.of_scene`. status, settled: its `fingerprint.by_status`.
    """

    id: str
    record: Record | None
    content: str
    status: int
    settled: bool


@dataclass(frozen=True)
class Work:
    """Checks scenes, and puts their pictures and masks into the dataset in `folder`, as `store` says.

    max_pixels, white: as `check` takes them.
    """

    folder: Path
    classes: Classes
    max_pixels: int
    white: White
    store: PictureStore

    def __call__(self, several: list[Asked]) -> list[Done]:
        return [self.one(asked) for asked in several]

    def one(self, asked: Asked) -> Done:
        scene = asked.scene
        seen = fingerprint.Seen.of(scene)
        where = self.store.where(self.folder)
        status, settled = fingerprint.by_status(scene, seen, where)
        now = fingerprint.of_scene(scene, seen, where)
        if asked.known == now:
            return Done(scene.id, None, now, status, settled)
        record = self.store.put(scene, check(scene, self.classes, self.max_pixels, self.white, seen), self.folder)
        record.fingerprint = now
        return Done(scene.id, record, now, status, settled)


def done_by(work: Work, asked: Iterable[Asked], workers: int | None = None) -> Iterator[Done]:
    """What comes of each scene, in their order. workers: as `in_threads` takes them."""
    asked = iter(asked)
    yield from in_threads(work.one, islice(asked, FEW), workers)
    alone = (workers or os.cpu_count()) == 1
    for done in (in_threads if alone else in_processes)(work, _several(asked), workers):
        yield from done


def _several(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    """What goes to a process together: a few, or one where its arrays are large."""
    few: list[Asked] = []
    held = 0
    for each in asked:
        few.append(each)
        held += sum(part.nbytes for part in (each.scene.image, each.scene.mask) if isinstance(part, np.ndarray))
        if len(few) == MOST or held > MOST_BYTES:
            yield few
            few, held = [], 0
    if few:
        yield few
