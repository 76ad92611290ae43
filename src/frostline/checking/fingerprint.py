"""Hashes of what a source says, by which a dataset is known to be made of the same."""

import json
import os
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np

from frostline.scenes.scene import Scene


def of_scene(scene: Scene) -> str:
    """One hash over all that a source says of a scene, files read."""
    digest = sha256()
    for part in (scene.image, scene.mask, scene.boxes, scene.box_labels):
        if isinstance(part, np.ndarray):
            digest.update(of_array(part).encode())
        elif isinstance(part, Path):
            digest.update(_of_file(part))
        else:
            digest.update(b"none")
    mapped = sorted((scene.mask_map or {}).items())
    faults = [fault.kind for fault in scene.faults]
    said = [scene.id, scene.label, scene.split, scene.group, mapped, faults, scene.size]
    digest.update(json.dumps(said, default=int).encode())
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
