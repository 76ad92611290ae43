"""A prepared dataset on disk: what `prepare` wrote and everything else reads.

- dataset.json: name, classes, counts, what was found and done, hashes
- train.json, val.json, test.json: COCO, with the fields `scene`, `label`, `mask` and `boxes_annotated` per image
- images/<id>.jpg or .png: plain RGB or grey, 8 bits, as displayed
- masks/<id>.png: 8-bit class numbers, 255 where unknown
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from frostline.errors import FrostlineError
from frostline.files import let_go
from frostline.scenes.scene import SPLITS, Classes, Scene

FORMAT = 2


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset; make one with `Dataset.open`.

    info: the content of dataset.json.
    """

    path: Path
    info: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Open a prepared dataset. Raises FrostlineError where there is none, one of another format or half of one."""
        path = Path(path)
        info = _read_info(path)
        # Listing each folder once is far cheaper than asking for every file.
        present = {f"{folder}/{file.name}" for folder in ("images", "masks") for file in (path / folder).glob("*")}
        present |= {file.name for file in path.glob("*.json")}
        if missing := sorted(set(info["files"]) - present):
            raise FrostlineError(
                f"{path} lacks {len(missing)} of its files, {missing[0]} first: prepare the dataset anew."
            )
        return cls(path, info)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, `prepare` does not replace it. Raises FrostlineError as `check_same`."""
        with _locked(self.path, fcntl.LOCK_SH):
            self.check_same()
            yield

    def check_same(self) -> None:
        """Raises FrostlineError where another state of it has been prepared since it was opened."""
        if _read_info(self.path)["data_hash"] != self.data_hash:
            raise FrostlineError(
                f"{self.path} has been prepared anew meanwhile: start again, and its new state is read."
            )

    @property
    def name(self) -> str:
        return str(self.info["name"])

    @property
    def data_hash(self) -> str:
        """One sha256 over the contents: equal wherever and whenever the same scenes were prepared and split alike."""
        return str(self.info["data_hash"])

    @cached_property
    def classes(self) -> Classes:
        names = self.info["classes"]
        return Classes(**{kind: tuple(names[kind]) if names[kind] is not None else None for kind in names})

    def scenes(self, split: str) -> list[Scene]:
        """The scenes of one of SPLITS in the order of their ids, with pictures and masks as paths."""
        return list(self._scenes[split])

    @cached_property
    def _scenes(self) -> dict[str, tuple[Scene, ...]]:
        return {split: tuple(self._read(split)) for split in SPLITS}

    def _read(self, split: str) -> list[Scene]:
        coco = json.loads((self.path / f"{split}.json").read_text(encoding="utf-8"))
        annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in coco["images"]}
        for annotation in coco["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        scenes = []
        for image in coco["images"]:
            boxes = labels = None
            numbers = [annotation["category_id"] - 1 for annotation in annotations[image["id"]]]
            self._check_range(split, image["scene"], numbers, self.classes.boxes)
            if image["label"] is not None:
                self._check_range(split, image["scene"], [image["label"]], self.classes.labels)
            if image["boxes_annotated"]:
                found = annotations[image["id"]]
                xywh = np.array([annotation["bbox"] for annotation in found], np.float64).reshape(-1, 4)
                boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)
                labels = np.array(numbers, np.int64)
            scenes.append(
                Scene(
                    id=image["scene"],
                    image=self.path / image["file_name"],
                    label=image["label"],
                    boxes=boxes,
                    box_labels=labels,
                    mask=None if image["mask"] is None else self.path / image["mask"],
                    split=split,
                    size=(image["width"], image["height"]),
                )
            )
        return scenes

    def _check_range(self, split: str, scene: str, numbers: Sequence[int], names: Sequence[str] | None) -> None:
        count = len(names or ())
        for number in numbers:
            if not 0 <= number < count:
                raise FrostlineError(
                    f"{self.path / split}.json gives the scene {scene} the class number {number}, and there are "
                    f"{count} classes: prepare the dataset anew."
                )


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info: dict[str, Any] = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FrostlineError(f"{path} holds no prepared dataset: run `frostline prepare` first.") from None
    except ValueError as error:
        raise FrostlineError(f"{path / 'dataset.json'} is damaged ({error}): prepare the dataset anew.") from error
    if info.get("format") != FORMAT:
        raise FrostlineError(
            f"{path} has format {info.get('format')} and this version reads {FORMAT}: prepare the dataset anew."
        )
    return info


@contextmanager
def replacing(path: Path) -> Iterator[None]:
    """Within, nobody begins to read the dataset there. Raises FrostlineError where somebody does already."""
    with ExitStack() as stack:
        if path.exists():
            try:
                stack.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                raise FrostlineError(
                    f"{path} is to be replaced, and a run is reading it: wait until that has ended, or give the new "
                    "state another dataset.name."
                ) from None
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """The folder itself, as a lock. Raises BlockingIOError where others have it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            raise
        except OSError:  # some file systems have no locks: nobody is heeded there
            pass
        yield
    finally:
        let_go(handle)
        os.close(handle)
