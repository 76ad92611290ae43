"""COCO's instance annotations: JSON files that list pictures, boxes and outlines."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from frostline.errors import FrostlineError
from frostline.pictures.reading import MAX_PIXELS, displayed_size, read_file
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, SPLITS, VOID, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.files import boxes_of, existing, inside, is_file, picture_files, split_named
from frostline.sources.paint import MOST_PAINT, paint, run_lengths

_LABELS = "where all annotations of a picture have one category, that is the picture's label"
_MASKS = "painted from the outlines, smaller ones over larger ones; crowds are unknown"


class _File:
    """One JSON file: its pictures, and the annotations of each by the picture's id."""

    def __init__(self, path: Path, split: str | None) -> None:
        self.path, self.split = path, split
        try:
            content = json.loads(read_file(path))
        except OSError as error:
            raise FrostlineError(
                f"{path} cannot be read ({error.strerror}): set dataset.source.annotations to the JSON files."
            ) from error
        except (ValueError, RecursionError) as error:
            raise FrostlineError(f"{path} is no JSON ({error}): mend it or fetch it again.") from error
        if not isinstance(content, dict):
            content = {}
        self.images = self._records(content, "images")
        self.categories = self._records(content, "categories")
        self.annotated = "annotations" in content
        annotations = self._records(content, "annotations") if self.annotated else []
        try:
            known = {image["id"] for image in self.images}
            by_image = defaultdict(list)
            for annotation in annotations:
                by_image[annotation.get("image_id")].append(annotation)
            self.names = {category["id"]: str(category["name"]) for category in sorted(self.categories, key=_id)}
        except (KeyError, TypeError) as error:
            raise FrostlineError(
                f"{path} has pictures or categories without a usable id or name ({error}): mend it."
            ) from error
        if len(known) < len(self.images):
            raise FrostlineError(f"{path} lists two pictures under one id: give each its own.")
        self.of: dict[Any, list[dict[str, Any]]] = {image_id: by_image.get(image_id, []) for image_id in known}
        self.astray = {image_id: found for image_id, found in by_image.items() if image_id not in known}
        self.has_boxes = not annotations or any("bbox" in annotation for annotation in annotations)
        self.has_outlines = any(annotation.get("segmentation") for annotation in annotations)

    def _records(self, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
        records = content.get(key)
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise FrostlineError(
                f"{self.path} has no list '{key}' of objects: point dataset.source.annotations at COCO instance files."
            )
        return records


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height that the file states."""
    width, height = image.get("width"), image.get("height")
    return (width, height) if type(width) is type(height) is int and min(width, height) > 0 else None  # true is an int


def _id(record: dict[str, Any]) -> Any:
    return record["id"]


class Coco(Source):
    """JSON files in COCO's instance format, and pictures somewhere below `root`.

    annotations: one file, or a file per split as {train: ..., val: ...}; by default `root/annotations/instances*.json`
    or, where there are none, every JSON file there. A split that is not given so is taken from the file's name, such as
    instances_train2017.json. images: the folder of the pictures, or several, by default `root`; a picture is looked for
    by its `file_name` there, beside the JSON file, and at last anywhere below, where one in a folder of the split's
    name comes first.

    Categories, sorted by id, are the classes; those of one name are one class. A picture that a file lists without
    annotations has none: an empty set of boxes. Boxes come from `bbox`, but not those of crowds. Where a file has
    outlines (polygons, or run-length codes plain or compressed), pictures get masks: 0 is the background, then the
    classes from 1, crowds are unknown, smaller regions lie over larger ones; a picture where any annotation lacks its
    outline has no mask. A mask is painted when its scene is asked for, in the size that the file states.

    Raises FrostlineError for a missing root or file, and for a file that is no such JSON.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | Mapping[str, str] | None = None,
        images: str | list[str] | None = None,
    ) -> None:
        self.root = existing(root, "data in COCO's layout")
        self._folders: list[Path] = []
        for name in [images] if isinstance(images, str) else images or ["."]:
            folder = inside(self.root, name)
            if folder is None or not folder.is_dir():
                raise FrostlineError(
                    f"{name} is no folder below {self.root}: set dataset.source.images to the folder of the pictures."
                )
            self._folders.append(folder)
        self._files = [_File(path, split) for path, split in self._json_files(annotations)]
        names: dict[Any, str] = {}
        for file in self._files:
            for number, name in file.names.items():
                if names.setdefault(number, name) != name:
                    raise FrostlineError(
                        f"{file.path} calls the category {number} '{name}', another file '{names[number]}': make the "
                        f"files agree, or take one at a time."
                    )
        try:
            order = sorted(names)
        except TypeError as error:
            raise FrostlineError(
                f"{self._files[0].path} numbers some categories and spells others: mend it."
            ) from error
        classes = tuple(dict.fromkeys(names[number] for number in order))
        self._class = {number: classes.index(name) for number, name in names.items()}
        labelled = any(self._label(found) is not None for file in self._files for found in file.of.values())
        self.classes = Classes(
            labels=classes if labelled else None,
            boxes=classes if any(file.annotated and file.has_boxes for file in self._files) else None,
            masks=(BACKGROUND, *classes) if any(file.has_outlines for file in self._files) else None,
        )
        self.derived = {"labels": _LABELS} if labelled else {}
        self.derived |= {"masks": _MASKS} if self.classes.masks else {}
        self._index: dict[str, list[Path]] | None = None

    def _json_files(self, annotations: str | Mapping[str, str] | None) -> list[tuple[Path, str | None]]:
        if isinstance(annotations, str):
            return [(self.root / annotations, split_named(PurePath(annotations).stem))]
        if annotations is not None:
            if not annotations or (strange := [split for split in annotations if split not in SPLITS]):
                given = f"the key '{strange[0]}'" if annotations else "no file"
                raise FrostlineError(f"dataset.source.annotations has {given}: give files for train, val or test.")
            return [(self.root / path, split) for split, path in annotations.items()]
        folder = self.root / "annotations"
        found = [path for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
        # COCO's own folder has captions and keypoints of the same pictures, too
        found = [path for path in found if path.name.startswith("instances")] or found
        if not found:
            raise FrostlineError(
                f"{folder} holds no JSON files: point dataset.root at data in COCO's layout, or set "
                f"dataset.source.annotations."
            )
        return [(path, split_named(path.stem)) for path in found]

    def _label(self, annotations: list[dict[str, Any]]) -> int | None:
        found = {self._class_of(annotation) for annotation in annotations}
        return found.pop() if len(found) == 1 else None

    def _class_of(self, annotation: dict[str, Any]) -> int | None:
        number = annotation.get("category_id")
        return self._class.get(number) if isinstance(number, int | str) else None

    def _find(self, name: str, file: _File) -> Path | None:
        """The picture's file, None where there is none or nobody can tell which."""
        for folder in (*self._folders, file.path.parent):
            path = inside(self.root, name, folder)
            if path is not None and is_file(path):
                return path
        if self._index is None:
            self._index = defaultdict(list)
            for path in sorted({path for folder in self._folders for path in picture_files(folder)}):
                self._index[path.name].append(path)
        wanted = PurePath(name).parts
        found = [path for path in self._index.get(PurePath(name).name, []) if path.parts[-len(wanted) :] == wanted]
        if len(found) > 1 and file.split is not None:
            named = [path for path in found if file.split in map(split_named, path.relative_to(self.root).parts[:-1])]
            found = named or found
        return found[0] if len(found) == 1 else None

    def scenes(self) -> Iterator[Scene]:
        listed = [(file, image) for file in self._files for image in file.images]
        names = [PurePath(str(image.get("file_name", ""))) for _, image in listed]
        lost = [(file, image_id) for file in self._files for image_id in file.astray]
        names += [PurePath(f"{file.path.stem} without picture {image_id}.json") for file, image_id in lost]
        ids = scene_ids(name if name.name else PurePath("unnamed") for name in names)
        for scene_id, (file, image) in zip(ids, listed, strict=False):
            yield self._scene(scene_id, file, image)
        for scene_id, (file, image_id) in zip(ids[len(listed) :], lost, strict=True):
            what = f"has {len(file.astray[image_id])} annotation(s) of the picture {image_id!r}, which it does not list"
            fault = Fault("picture_missing", file.path, what)
            yield Scene(id=scene_id, image=None, split=file.split, faults=(fault,))

    def _scene(self, scene_id: str, file: _File, image: dict[str, Any]) -> Scene:
        faults: list[Fault] = []
        name = image.get("file_name")
        path = None
        if not isinstance(name, str) or not name:
            what = f"lists the picture {image['id']!r} without a file_name"
            faults.append(Fault("annotation_unreadable", file.path, what))
        elif all(inside(self.root, name, folder) is None for folder in (*self._folders, file.path.parent)):
            faults.append(Fault("path_outside", file.path, f"names '{name}', which lies outside {self.root}"))
        else:
            path = self._find(name, file)
            if path is None:
                what = f"names '{name}', which is not there, or at several places"
                faults.append(Fault("picture_missing", file.path, what))
        annotations = file.of[image["id"]]
        boxes, box_labels = self._boxes(file, annotations, faults)
        return Scene(
            id=scene_id,
            image=path,
            label=self._label(annotations),
            boxes=boxes,
            box_labels=box_labels,
            mask=self._mask(file, image, path, annotations, faults),
            split=file.split,
            boxes_file=file.path if boxes is not None else None,
            faults=tuple(faults),
            size=_size(image),
        )

    def _boxes(
        self, file: _File, annotations: list[dict[str, Any]], faults: list[Fault]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        boxes, labels = [], []
        for annotation in annotations:
            number = self._class_of(annotation)
            if number is None:
                what = f"has the annotation {annotation.get('id')!r} of category {annotation.get('category_id')!r}, "
                faults.append(Fault("label_unknown", file.path, what + "which it does not list"))
                continue
            if not file.has_boxes or annotation.get("iscrowd"):
                continue
            try:
                x, y, width, height = map(float, [*annotation["bbox"]])
            except (KeyError, TypeError, ValueError, OverflowError):
                what = f"has the annotation {annotation.get('id')!r} without a bbox of four numbers"
                faults.append(Fault("annotation_unreadable", file.path, what))
                continue
            boxes.append([x, y, x + width, y + height])
            labels.append(number)
        if not (file.annotated and file.has_boxes):
            return None, None
        return boxes_of(boxes), np.array(labels, np.int64)

    def _mask(
        self,
        file: _File,
        image: dict[str, Any],
        path: Path | None,
        annotations: list[dict[str, Any]],
        faults: list[Fault],
    ) -> np.ndarray | None:
        lacking = not all(annotation.get("segmentation") for annotation in annotations)
        if path is None or not file.has_outlines or lacking:
            return None
        width, height = _size(image) or displayed_size(path) or (0, 0)
        if width * height > MAX_PIXELS:
            what = f"gives the picture {image['id']!r} {width} x {height} pixels, more than the {MAX_PIXELS} allowed"
            faults.append(Fault("picture_huge", file.path, what))
        if not 0 < width * height <= MAX_PIXELS:
            return None
        if len(annotations) * width * height > MOST_PAINT:
            what = f"has {len(annotations)} outlines in the picture {image['id']!r}, too many to paint at its size"
            faults.append(Fault("annotation_unreadable", file.path, what))
            return None
        regions = []
        for annotation in annotations:
            if (number := self._class_of(annotation)) is None:
                continue
            try:
                code = run_lengths(annotation["segmentation"], width, height)
            except ValueError as error:
                what = f"has the annotation {annotation.get('id')!r}, which {error}"
                faults.append(Fault("annotation_unreadable", file.path, what))
                continue
            regions.append((VOID if annotation.get("iscrowd") else number + 1, code))
        return paint(regions, width, height)
