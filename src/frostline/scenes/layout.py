"""A prepared dataset on disk: how it is written, and how it is read.

- dataset.json: name, classes, counts, what was found and done, hashes
- train.json, val.json, test.json: COCO, with the fields `scene`, `label`, `mask` and `boxes_annotated` per image
- images/<id>.jpg or .png: plain RGB or grey, 8 bits, as displayed
- masks/<id>.png: 8-bit class numbers, 255 where unknown
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from frostline.errors import FrostlineError
from frostline.scenes.scene import Classes, Scene

FORMAT = 2
INFO = "dataset.json"

Annotation = tuple[int, Sequence[float], Mapping[str, Any]]  # class number, x0 y0 x1 y1, fields beside those of COCO


def coco(
    info: Mapping[str, Any], pictures: Iterable[tuple[Mapping[str, Any], Iterable[Annotation]]], names: Iterable[str]
) -> dict[str, Any]:
    """COCO's instance annotations, as JSON can hold them. Pictures, boxes and categories count from 1.

    pictures: of each its fields (file_name, width, height and more) and its boxes. names: of the boxes' classes.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (fields, boxes) in enumerate(pictures, start=1):
        images.append({"id": number, **fields})
        for label, (x0, y0, x1, y1), more in boxes:
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": label + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            annotations.append({**annotation, **more})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"info": dict(info), "images": images, "annotations": annotations, "categories": categories}


def write_scenes(folder: Path, split: str, scenes: Iterable[Scene], classes: Classes, name: str) -> str:
    """Write the list of a split; returns its sha256. The scenes' files lie in `folder` already, and have a size."""
    info = {"description": f"{name}, {split}", "labels": classes.labels, "masks": classes.masks}
    content = coco(info, (_as_coco(folder, scene) for scene in scenes), classes.boxes or ())
    text = _utf8(json.dumps(content, separators=(",", ":"), ensure_ascii=False))
    (folder / f"{split}.json").write_bytes(text)
    return sha256(text).hexdigest()


def _as_coco(folder: Path, scene: Scene) -> tuple[dict[str, Any], list[Annotation]]:
    assert isinstance(scene.image, Path) and scene.size is not None
    fields = {
        "file_name": scene.image.relative_to(folder).as_posix(),
        "width": scene.size[0],
        "height": scene.size[1],
        "scene": scene.id,
        "label": scene.label,
        "mask": scene.mask.relative_to(folder).as_posix() if isinstance(scene.mask, Path) else None,
        "boxes_annotated": scene.boxes is not None,
    }
    if scene.boxes is None or scene.box_labels is None:
        return fields, []
    boxes = zip(scene.box_labels.tolist(), scene.boxes.tolist(), strict=True)
    return fields, [(label, corners, {}) for label, corners in boxes]


def read_scenes(folder: Path, split: str, classes: Classes) -> list[Scene]:
    """The scenes of a split, with their files as paths. Raises FrostlineError for a class number that is none."""
    content = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    boxes_of: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        boxes_of[annotation["image_id"]].append(annotation)
    scenes = []
    for image in content["images"]:
        boxes = box_labels = None
        numbers = [annotation["category_id"] - 1 for annotation in boxes_of[image["id"]]]
        where = f"{folder / split}.json gives the scene {image['scene']}"
        _check_range(numbers, classes.boxes, where)
        if image["label"] is not None:
            _check_range([image["label"]], classes.labels, where)
        if image["boxes_annotated"]:
            xywh = np.array([annotation["bbox"] for annotation in boxes_of[image["id"]]], np.float64).reshape(-1, 4)
            boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)
            box_labels = np.array(numbers, np.int64)
        scenes.append(
            Scene(
                id=image["scene"],
                image=folder / image["file_name"],
                label=image["label"],
                boxes=boxes,
                box_labels=box_labels,
                mask=None if image["mask"] is None else folder / image["mask"],
                split=split,
                size=(image["width"], image["height"]),
            )
        )
    return scenes


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write dataset.json."""
    text = json.dumps({"format": FORMAT, **info}, indent=1, ensure_ascii=False)
    (folder / INFO).write_bytes(_utf8(text + "\n"))


def read_info(folder: Path) -> dict[str, Any]:
    """The content of dataset.json. Raises FrostlineError where there is none, or it is damaged or of another format."""
    try:
        info: dict[str, Any] = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        what = f"has no {INFO}, so it is" if folder.is_dir() else "is not there, so it is"
        raise FrostlineError(f"{folder} {what} no prepared dataset: run `frostline prepare` first.") from None
    except ValueError as error:
        raise FrostlineError(f"{folder / INFO} is damaged ({error}): prepare the dataset anew.") from error
    if info.get("format") != FORMAT:
        raise FrostlineError(
            f"{folder} has format {info.get('format')} and this version reads {FORMAT}: prepare the dataset anew."
        )
    return info


def _check_range(numbers: Sequence[int], names: Sequence[str] | None, where: str) -> None:
    count = len(names or ())
    for number in numbers:
        if not 0 <= number < count:
            raise FrostlineError(
                f"{where} the class number {number}, and there are {count} classes: prepare the dataset anew."
            )


def _utf8(text: str) -> bytes:
    """JSON as UTF-8; half a surrogate, as strangers' names may have it, becomes JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")
