"""COCO's instance annotations: JSON files that list pictures, boxes and outlines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.files import boxes_of, inside, picture_files
from frostline.parsing.lookup import root_of
from frostline.parsing.named import Meant, Wanted, meant, told
from frostline.parsing.paint import MOST_PAINT, paint, run_lengths
from frostline.parsing.turned import Turned
from frostline.pictures.reading import MAX_PIXELS, displayed_size
from frostline.scenes.faults import Fault
from frostline.scenes.scene import BACKGROUND, COUNTED, CROWD, DIFFICULT, VOID, Classes, Scene, scene_ids
from frostline.sources.base import Source
from frostline.sources.coco_files import InstanceFile, fits, json_files
from frostline.sources.drawn import absent_note

__all__ = ["Coco", "fits"]

_MOST_SIDE = 10**9  # pixels
CROWDS = ("auto", "unknown", "instances")
_LABELS = "where all annotations of a picture have one category, that is the picture's label"
_MASKS = "painted from the outlines, smaller ones over larger ones; crowds are unknown"


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height that the file states; None for what no picture can have."""
    width, height = image.get("width"), image.get("height")
    if not type(width) is type(height) is int:  # true is an int
        return None
    return (width, height) if min(width, height) > 0 and max(width, height) < _MOST_SIDE else None


class Coco(Source):
    """JSON files in COCO's instance format, and pictures somewhere below `root`, which may be one such file.

    annotations: one file, or a file per split as {train: ..., val: ...}; by default `root/annotations/instances*.json`
    or, where there are none, every JSON file there; without such a folder, those of this kind near the root. A split
    that is not given so is taken from the file's name, such as instances_train2017.json, or its folder's, such as
    train/_annotations.coco.json. images: the folder of the pictures, or several, by default `root`; `named.meant` tells
    how a picture is found by its `file_name`.

    Categories, sorted by id, are the classes; those of one name are one class. None is a category without annotations
    that is another's supercategory, or is called background. A picture that a file lists without annotations has none:
    an empty set of boxes. Boxes come from `bbox`; those of crowds, and those whose `ignore` is 1, as converters of VOC
    mark difficult ones, are marked as counting neither way. Where a file has outlines (polygons, or
    run-length codes plain or compressed), pictures get masks: 0 is the background, then the other classes from 1,
    crowds are unknown, smaller regions lie over larger ones; a picture where any annotation lacks its outline has no
    mask. A mask is painted when its scene is asked for, in the size that the file states.

    crowds: `instances` takes crowds for objects, as some tools mark every mask so; `unknown` does not; `auto` neither,
    and each picture with crowds is a fault where most annotations are crowds with an outline and no other has one.
    `lone_crowds` tells whether that is so. turned: which size annotations belong to where EXIF turns a picture
    (`turned.Turned`).

    Raises FrostlineError for a missing root or file, and for a file that is no such JSON.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | Mapping[str, str] | None = None,
        images: str | list[str] | None = None,
        crowds: str = "auto",
        turned: str = "auto",
    ) -> None:
        check_choice("dataset.source.crowds", crowds, CROWDS)
        self.root, file = root_of(root, "data in COCO's layout", "annotations")
        self._folders = self._picture_folders(images)
        paths = json_files(self.root, annotations if file is None else str(file))
        self._files = [InstanceFile(path, split) for path, split in paths]
        self._crowds = crowds
        self._notes: list[str] = []
        classes = self._classes()
        self.lone_crowds = self._count_crowds()
        labelled = any(self._label(found) is not None for file in self._files for found in file.of.values())
        painted = tuple(name for name in classes if not _is_background(name))
        self._value = {name: number for number, name in enumerate((BACKGROUND, *painted))}
        self._names = classes
        self.classes = Classes(
            labels=classes if labelled else None,
            boxes=classes if any(file.annotated and file.has_boxes for file in self._files) else None,
            masks=(BACKGROUND, *painted) if any(file.has_outlines for file in self._files) else None,
        )
        self.derived = {"labels": _LABELS} if labelled else {}
        self.derived |= {"masks": _MASKS} if self.classes.masks else {}
        by = {file.writer for file in self._files}
        self._found = self._pictures()
        self._turned = Turned(turned, self._annotated(), "Label Studio" if by == {"Label Studio"} else None)

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What is no class, what stood there twice, what crowds are, how pictures were found and which are left out."""
        return [*self._notes, *([self._turned.note] if self._turned.note else [])]

    def _picture_folders(self, images: str | list[str] | None) -> list[Path]:
        folders = []
        for name in [images] if isinstance(images, str) else images or ["."]:
            folder = inside(self.root, name)
            if folder is None or not folder.is_dir():
                raise FrostlineError(
                    f"{name} is no folder below {self.root}: set dataset.source.images to the folder of the pictures."
                )
            folders.append(folder)
        return folders

    def _classes(self) -> tuple[str, ...]:
        """The names of the classes; sets the class number of each category."""
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
        none = self._no_classes(names)
        classes = tuple(dict.fromkeys(names[number] for number in order if number not in none))
        self._class = {number: classes.index(name) for number, name in names.items() if number not in none}
        return classes

    def _no_classes(self, names: Mapping[Any, str]) -> set[Any]:
        """Categories without annotations that only group others, or stand for the background."""
        used = {str(each.get("category_id")) for file in self._files for each in file.annotations()}
        above = {
            str(category.get("supercategory"))
            for file in self._files
            for category in file.categories
            if category.get("supercategory") != category["name"]
        }
        bare = {number: name for number, name in names.items() if str(number) not in used}
        for name in bare.values():
            if name in above:
                self._notes.append(f"the category '{name}' has no annotation and only groups others: it is no class")
            elif _is_background(name):
                self._notes.append(f"the category '{name}' has no annotation: it is no class beside the background")
        return {number for number, name in bare.items() if name in above or _is_background(name)}

    def _count_crowds(self) -> bool:
        """Whether crowds are most likely objects; notes how many there are, and what stood there twice."""
        seen: Counter[str] = Counter()
        for file in self._files:
            seen["double"] += file.doubled
            for each in file.annotations():
                seen["all"] += 1
                seen["crowd"] += bool(each.get("iscrowd"))
                seen["outline"] += bool(each.get("segmentation")) and not each.get("iscrowd")
                seen["coded"] += bool(each.get("segmentation")) and bool(each.get("iscrowd"))
        if seen["double"]:
            self._notes.append(f"{seen['double']} annotation(s) stand there twice, word for word, and are taken once")
        if seen["crowd"] and self._crowds == "instances":
            self._notes.append(f"{seen['crowd']} of {seen['all']} annotations are crowds, and taken for single objects")
        elif seen["crowd"]:
            self._notes.append(
                f"{seen['crowd']} of {seen['all']} annotations are crowds: their boxes count neither way, and their "
                "pixels are unknown; dataset.source.crowds=instances takes them for single objects"
            )
        return self._crowds == "auto" and not seen["outline"] and seen["coded"] * 2 > seen["all"]

    def _is_crowd(self, annotation: dict[str, Any]) -> bool:
        return bool(annotation.get("iscrowd")) and self._crowds != "instances"

    def _mark(self, annotation: dict[str, Any]) -> int:
        if self._is_crowd(annotation):
            return CROWD
        return DIFFICULT if annotation.get("ignore") == 1 and not annotation.get("iscrowd") else COUNTED

    def _pictures(self) -> dict[tuple[int, Any], Meant]:
        """What each picture's name means, by the number of the file and the picture's id there."""
        keys, wanted = [], []
        for at, file in enumerate(self._files):
            for image in file.images:
                name = image.get("file_name")
                if isinstance(name, str) and name:
                    keys.append((at, image["id"]))
                    wanted.append(Wanted(name, file.path.parent, file.split))
        found = meant(self.root, self._folders, wanted)
        if (note := told(found, wanted, self.root)) is not None:
            self._notes.append(note)
        named = {each.path for each in found}
        there = sorted({path for folder in self._folders for path in picture_files(folder)})
        self._notes += absent_note([path for path in there if path not in named], len(there), self.root, None)
        return dict(zip(keys, found, strict=True))

    def _annotated(self) -> Iterator[tuple[Path | None, tuple[int, int] | None, np.ndarray | None]]:
        for at, file in enumerate(self._files):
            for image in file.images:
                found = self._found.get((at, image["id"]))
                if found is None or found.path is None:
                    continue
                boxes, _, _ = self._boxes(file, file.of[image["id"]], [])
                yield found.path, _size(image), boxes

    def _label(self, annotations: list[dict[str, Any]]) -> int | None:
        found = {self._class_of(annotation) for annotation in annotations}
        return found.pop() if len(found) == 1 else None

    def _class_of(self, annotation: dict[str, Any]) -> int | None:
        number = annotation.get("category_id")
        return self._class.get(number) if isinstance(number, int | str) else None

    def scenes(self) -> Iterator[Scene]:
        listed = [(at, image) for at, file in enumerate(self._files) for image in file.images]
        names = [PurePath(str(image.get("file_name", "")).replace("\\", "/")) for _, image in listed]
        lost = [(file, image_id) for file in self._files for image_id in file.astray]
        names += [PurePath(f"{file.path.stem} without picture {image_id}.json") for file, image_id in lost]
        ids = scene_ids(name if name.name else PurePath("unnamed") for name in names)
        for scene_id, (at, image) in zip(ids, listed, strict=False):
            yield self._scene(scene_id, at, image)
        for scene_id, (file, image_id) in zip(ids[len(listed) :], lost, strict=True):
            what = f"has {len(file.astray[image_id])} annotation(s) of the picture {image_id!r}, which it does not list"
            fault = Fault("picture_missing", file.path, what)
            yield Scene(id=scene_id, image=None, split=file.split, faults=(fault,))

    def _scene(self, scene_id: str, at: int, image: dict[str, Any]) -> Scene:
        file, faults = self._files[at], list[Fault]()
        path = self._path(at, image, faults)
        size = self._turned.size(path, _size(image))
        annotations = file.of[image["id"]]
        boxes, box_labels, box_marks = self._boxes(file, annotations, faults)
        crowds = sum(map(bool, (annotation.get("iscrowd") for annotation in annotations)))
        if self.lone_crowds and crowds:
            what = f"marks {crowds} of {len(annotations)} annotations of the picture {image['id']!r} as crowds, as some"
            what += (
                " tools do with all masks: dataset.source.crowds=instances takes them for objects, =unknown does not"
            )
            faults.append(Fault("crowds_alone", file.path, what))
        return Scene(
            id=scene_id,
            image=path,
            label=self._label(annotations),
            boxes=boxes,
            box_labels=box_labels,
            box_marks=box_marks,
            mask=self._mask(file, image, path, size, faults),
            split=file.split,
            boxes_file=file.path if boxes is not None else None,
            faults=tuple(faults),
            size=size,
        )

    def _path(self, at: int, image: dict[str, Any], faults: list[Fault]) -> Path | None:
        file, name = self._files[at].path, image.get("file_name")
        found = self._found.get((at, image["id"]))
        if found is None:
            what = f"lists the picture {image['id']!r} without a file_name"
            faults.append(Fault("annotation_unreadable", file, what))
        elif found.path is None and found.outside:
            faults.append(Fault("path_outside", file, f"names '{name}', which lies outside {self.root}"))
        elif found.path is None:
            faults.append(Fault("picture_missing", file, f"names '{name}', which is not there, or at several places"))
        return found.path if found else None

    def _boxes(
        self, file: InstanceFile, annotations: list[dict[str, Any]], faults: list[Fault]
    ) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        """Boxes, their class numbers and their marks."""
        boxes, labels, marks = [], [], []
        for annotation in annotations:
            number = self._class_of(annotation)
            if number is None:
                what = f"has the annotation {annotation.get('id')!r} of category {annotation.get('category_id')!r}, "
                faults.append(Fault("label_unknown", file.path, what + "which it does not list"))
                continue
            if not file.has_boxes:
                continue
            if self._is_crowd(annotation) and "bbox" not in annotation:  # its pixels say all that is known of it
                continue
            try:
                x, y, width, height = map(float, [*annotation["bbox"]])
            except (KeyError, TypeError, ValueError, OverflowError):
                what = f"has the annotation {annotation.get('id')!r} without a bbox of four numbers"
                faults.append(Fault("annotation_unreadable", file.path, what))
                continue
            boxes.append([x, y, x + width, y + height])
            labels.append(number)
            marks.append(self._mark(annotation))
        if not (file.annotated and file.has_boxes):
            return None, None, None
        return boxes_of(boxes), np.array(labels, np.int64), np.array(marks, np.uint8)

    def _mask(
        self,
        file: InstanceFile,
        image: dict[str, Any],
        path: Path | None,
        size: tuple[int, int] | None,
        faults: list[Fault],
    ) -> np.ndarray | None:
        annotations = file.of[image["id"]]
        lacking = not all(annotation.get("segmentation") for annotation in annotations)
        if path is None or not file.has_outlines or lacking:
            return None
        width, height = size or displayed_size(path) or (0, 0)
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
            regions.append((VOID if self._is_crowd(annotation) else self._value.get(self._names[number], 0), code))
        return paint(regions, width, height)


def _is_background(name: str) -> bool:
    return name.strip().casefold() == BACKGROUND
