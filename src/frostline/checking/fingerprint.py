"""Hashes of what a source says, by which a dataset is known to be made of the same."""

import json
import marshal
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from frostline.pictures.reading import read_with_status
from frostline.scenes.scene import Scene

Where = Callable[[Path], str]
TICK = 2_000_000_000  # ns: what changed so shortly before it was read may change again and have the same times


@dataclass(frozen=True)
class Seen:
    """A scene's picture, read once. content: of its file, or why there is none; None where it is no file.

    digest: the sha256 of the content; empty where it cannot be read, which becomes a fault where it is decoded.
    status: of the file as it was when it was read. before: a time before that, in ns.
    """

    content: bytes | OSError | None
    digest: bytes
    status: os.stat_result | None = None
    before: int = 0

    @classmethod
    def of(cls, scene: Scene) -> "Seen":
        if not isinstance(scene.image, Path):
            return cls(None, b"", before=time.time_ns())
        before = time.time_ns()
        try:
            content, status = read_with_status(scene.image)
        except OSError as error:
            return cls(error, b"", before=before)
        return cls(content, sha256(content).digest(), status, before)


def of_scene(scene: Scene, seen: Seen | None = None, where: Where | None = None) -> str:
    """One hash over all that a source says of a scene, files read. seen: its picture, where that was read already.

    where: what a picture's file is called, where that counts, too.
    """
    return _of(scene, (Seen.of(scene) if seen is None else seen).digest, _of_file, _called(scene, where))


def by_status(scene: Scene, seen: Seen | None = None, where: Where | None = None) -> tuple[int, bool]:
    """A hash as of `of_scene`, but of each file its place on disk, size and times; and whether these tell its content.

    Whoever changes a file cannot keep the time at which its entry changed (ctime), so where this is the same, so is the
    content: except within the clock's last tick. So they tell nothing of a file that changed so shortly before it was
    looked at, that it may change again and have the same times.
    """
    newest, before = 0, time.time_ns() if seen is None else seen.before
    said: list[Any] = [scene.id, scene.label, scene.split, scene.group, scene.size]
    for part in (scene.image, scene.mask, scene.boxes, scene.box_labels, scene.box_marks):
        if isinstance(part, Path):
            found = seen.status if seen is not None and part is scene.image else _status(part)
            if found is not None:
                newest = max(newest, found.st_ctime_ns, found.st_mtime_ns)
                place = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            said.append(None if found is None else place)
        elif isinstance(part, np.ndarray):
            said += [part.dtype.str, part.shape, part.tobytes()]
        else:
            said.append(None)
    said += [sorted((scene.mask_map or {}).items()), scene.mask_colours, [fault.kind for fault in scene.faults]]
    said += _called(scene, where)
    return int.from_bytes(sha256(marshal.dumps(said)).digest(), "little"), newest < before - TICK


def _called(scene: Scene, where: Where | None) -> list[str]:
    return [where(scene.image)] if where is not None and isinstance(scene.image, Path) else []


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


_ENCODE = json.JSONEncoder(default=int).encode  # made once, which takes longer than to use it


def _of(scene: Scene, image: bytes, of_file: Callable[[Path], bytes], called: list[str]) -> str:
    digest = sha256()
    for part in (scene.image, scene.mask, scene.boxes, scene.box_labels, scene.box_marks):
        if isinstance(part, np.ndarray):
            digest.update(of_array(part).encode())
        elif isinstance(part, Path):
            digest.update(image if part is scene.image else of_file(part))
        else:
            digest.update(b"none")
    mapped = sorted((scene.mask_map or {}).items())
    faults = [fault.kind for fault in scene.faults]
    said = [scene.id, scene.label, scene.split, scene.group, mapped, scene.mask_colours, faults, scene.size, *called]
    digest.update(_ENCODE(said).encode())
    return digest.hexdigest()


def of_array(array: np.ndarray) -> str:
    """One sha256 over type, shape and content."""
    digest = sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _of_file(path: Path) -> bytes:
    """A hash of a file's content; empty for one that cannot be read, which becomes a fault where it is decoded."""
    try:
        if os.path.isfile(path):  # a pipe would never end
            with path.open("rb") as file:
                return file_digest(file, "sha256").digest()
    except OSError:
        pass
    return b""
