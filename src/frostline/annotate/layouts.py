"""COCO's layout out; and answers in COCO's, VOC's and YOLO's, read as any dataset in them (frostline.sources)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from frostline.annotate.boxes import Answer, Answers, Box, Proposal, Reading, Sizes
from frostline.errors import FrostlineError
from frostline.pictures.reading import displayed_size
from frostline.scenes.dataset import Dataset
from frostline.scenes.layout import MARKED, coco
from frostline.scenes.scene import COUNTED
from frostline.sources.base import Source
from frostline.sources.coco import Coco
from frostline.sources.voc import Voc
from frostline.sources.yolo import Yolo


def write_coco(proposals: Sequence[Proposal], names: Sequence[str], name: str) -> dict[str, Any]:
    """COCO's instance annotations of the dataset `name`, as JSON can hold them, in the order of the proposals.

    A `file_name` is relative to the dataset's folder `images`. A predicted box has its `score`, as in COCO's results,
    and one that does not count its mark (`MARKED`).
    """
    numbers = {label: number for number, label in enumerate(names)}
    pictures = []
    for proposal in proposals:
        width, height = proposal.size
        more = [
            ({} if box.score is None else {"score": box.score}) | dict(MARKED[box.mark or COUNTED])
            for box in proposal.boxes
        ]
        boxes = [(numbers[box.label], box.corners, fields) for box, fields in zip(proposal.boxes, more, strict=True)]
        pictures.append(({"file_name": proposal.file, "width": width, "height": height}, boxes))
    return coco({"description": f"{name}, boxes to correct"}, pictures, names)


def read_coco(file: Path, content: bytes, dataset: Dataset, sizes: Sizes) -> Answers:
    """COCO's instance annotations of the dataset's own pictures. content: of the file. Raises FrostlineError."""
    # A file of any name and place; its pictures are looked for in the dataset.
    source = Coco(dataset.path, annotations=str(file.absolute()), images="images")
    if source.lone_crowds:  # some tools write every mask so, and crowds would bring no box at all
        source = Coco(dataset.path, annotations=str(file.absolute()), images="images", crowds="instances")
    reading = Reading(str(file), sizes)
    for image in json.loads(content)["images"]:
        scene = reading.scene(image.get("file_name"))
        if "width" in image and "height" in image:
            reading.check_size((image["width"], image["height"]), scene)
    return _answers(source, reading)


def read_voc(folder: Path, sizes: Sizes, corners: str = "auto") -> Answers:
    """A folder in VOC's layout, with pictures; with masks, where its classes are VOC's own. Raises FrostlineError.

    corners: from where pixels are counted, a rule of `corners.RULES`.
    """
    try:
        source = Voc(folder, corners=corners)
    except FrostlineError as error:
        if not (folder / "SegmentationClass").is_dir():
            raise
        raise FrostlineError(
            f"{folder} cannot be read with its masks ({str(error).rstrip('.')}): for the boxes alone, take its folder "
            "SegmentationClass away."
        ) from error
    answers = _answers(source, Reading(str(folder), sizes))
    return replace(
        answers, notes=tuple(note.replace("dataset.source.corners=", "--corners=") for note in answers.notes)
    )


def read_yolo(path: Path, sizes: Sizes) -> Answers:
    """A folder in YOLO's layout, with pictures, or its YAML file. Raises FrostlineError."""
    source = Yolo(path.parent, data=path.name) if path.is_file() else Yolo(path)
    return _answers(source, Reading(str(path), sizes))


def _answers(source: Source, reading: Reading) -> Answers:
    """What a source says of a dataset's scenes, which it names by their pictures.

    None of these layouts tells whether anybody looked at a picture without boxes. Raises FrostlineError for anything
    faulty, and for pictures that are not the dataset's.
    """
    names = source.classes.boxes or ()
    for found in source.scenes():
        if found.faults:
            raise FrostlineError(f"{found.faults[0]}: mend it, or export again.")
        assert isinstance(found.image, Path)
        scene = reading.scene(found.image.name)
        reading.check_size(displayed_size(found.image) or (0, 0), scene)  # 0: of a picture that cannot be read
        if found.boxes is None or found.box_labels is None:
            continue
        marks = [None] * len(found.boxes) if found.box_marks is None else found.box_marks.tolist()
        rows = zip(found.boxes.tolist(), found.box_labels.tolist(), marks, strict=True)
        boxes = tuple(Box(names[label], tuple(corners), mark=mark) for corners, label, mark in rows)
        reading.add(scene, Answer(boxes, found.mask))
    return reading.answers(tells_empty=False, masks=source.classes.masks, notes=tuple(source.notes))
