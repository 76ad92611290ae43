"""What `prepare` does with one scene, in this process or in another one."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frostline.checking import fingerprint
from frostline.checking.record import Record
from frostline.checking.scene import Checked, check
from frostline.checking.white import White
from frostline.files import write_new
from frostline.parallel import in_processes, in_threads
from frostline.pictures.writing import png
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
    """Checks scenes, and writes their pictures and masks to `folder`. max_pixels, white: as `check` takes them."""

    folder: Path
    classes: Classes
    max_pixels: int
    white: White

    def __call__(self, several: list[Asked]) -> list[Done]:
        return [self.one(asked) for asked in several]

    def one(self, asked: Asked) -> Done:
        scene = asked.scene
        seen = fingerprint.Seen.of(scene)
        status, settled = fingerprint.by_status(scene, seen)
        now = fingerprint.of_scene(scene, seen)
        if asked.known == now:
            return Done(scene.id, None, now, status, settled)
        record = _written(check(scene, self.classes, self.max_pixels, self.white, seen), self.folder)
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


def _written(checked: Checked, folder: Path) -> Record:
    """What is known of a scene, once its picture and mask are written."""
    record = checked.record
    if not checked.picture:
        return record
    record.picture = f"images/{record.id}{checked.suffix}"
    write_new(folder / record.picture, checked.picture)
    record.files[record.picture] = checked.digest or sha256(checked.picture).hexdigest()
    if checked.mask is not None:
        record.mask = f"masks/{record.id}.png"
        content = png(checked.mask)
        write_new(folder / record.mask, content)
        record.files[record.mask] = sha256(content).hexdigest()
    return record
