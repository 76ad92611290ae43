"""A prepared dataset on disk: how it is written, and how it is read.

- dataset.json: name, classes, counts, what was found and done, hashes; it does not grow with the number of scenes
- scenes.bin: every scene as a row of columns (`listing.FORMS`), which is what Frostline reads
- train.json, val.json, test.json: the same as COCO, for any other tool, with the fields `scene`, `label`, `mask` and
  `boxes_annotated` per image; a crowd has `iscrowd` 1, and a difficult box `ignore` 1
- faults.jsonl: all that was found, a line each; dataset.json repeats the first
- images/<id>.jpg or .png: plain RGB or grey, 8 bits, as displayed; where they stay with their owner, the lists name his
  files instead, and where they are stored smaller, the lists have their own sizes all the same
- masks/<id>.png: 8-bit class numbers, 255 where unknown
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

from frostline.errors import FrostlineError
from frostline.scenes.columns import Table, Writer
from frostline.scenes.listing import FORMS, as_row
from frostline.scenes.scene import COUNTED, CROWD, DIFFICULT, Classes, Scene

FORMAT = 4
INFO = "dataset.json"
COLUMNS = "scenes.bin"
FAULTS = "faults.jsonl"

# Of each mark of a box, its fields beside those of COCO.
MARKED: Mapping[int, Mapping[str, Any]] = {COUNTED: {}, CROWD: {"iscrowd": 1}, DIFFICULT: {"ignore": 1}}

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
        for box in boxes:
            annotations.append(_annotation(len(annotations) + 1, number, box))
    return {"info": dict(info), "images": images, "annotations": annotations, "categories": _categories(names)}


def _annotation(number: int, image: int, box: Annotation) -> dict[str, Any]:
    label, (x0, y0, x1, y1), more = box
    return {
        "id": number,
        "image_id": image,
        "category_id": label + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        **more,
    }


def _categories(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]


def write_scenes(
    folder: Path, placed: Mapping[str, Iterable[tuple[Scene, bytes]]], classes: Classes, name: str
) -> tuple[Table, dict[str, str]]:
    """Write the lists of all splits; returns what is known of the columns, and the sha256 of each file.

    placed: by split, in the order in which they are to stand, scenes whose files lie in `folder` already, and have a
    size, each with the sha256 of its picture and of its mask, 32 bytes each. They pass through one at a time.
    """
    columns = Writer(folder / COLUMNS, FORMS)
    files = {}
    for split, scenes in placed.items():
        info = {"description": f"{name}, {split}", "labels": classes.labels, "masks": classes.masks}
        pictures = _through(columns, scenes, folder)
        files[f"{split}.json"] = _write_coco(folder / f"{split}.json", info, pictures, classes.boxes or ())
    table = columns.close()
    return table, {COLUMNS: table.sha256, **files}


def _through(
    columns: Writer, scenes: Iterable[tuple[Scene, bytes]], folder: Path
) -> Iterator[tuple[dict[str, Any], list[Annotation]]]:
    """Write each scene as a row, and go on with it as COCO has it."""
    for scene, digests in scenes:
        fields, boxes = _as_coco(folder, scene)
        columns.add(as_row(scene, fields["file_name"], fields["mask"], digests))
        yield fields, boxes


def _as_coco(folder: Path, scene: Scene) -> tuple[dict[str, Any], list[Annotation]]:
    assert isinstance(scene.image, Path) and scene.size is not None
    fields = {
        "file_name": _named(folder, scene.image),
        "width": scene.size[0],
        "height": scene.size[1],
        "scene": scene.id,
        "label": scene.label,
        "mask": _named(folder, scene.mask) if isinstance(scene.mask, Path) else None,
        "boxes_annotated": scene.boxes is not None,
    }
    if scene.boxes is None or scene.box_labels is None:
        return fields, []
    marks = [COUNTED] * len(scene.boxes) if scene.box_marks is None else scene.box_marks.tolist()
    boxes = zip(scene.box_labels.tolist(), scene.boxes.tolist(), marks, strict=True)
    return fields, [(label, corners, MARKED[mark]) for label, corners, mark in boxes]


def _named(folder: Path, file: Path) -> str:
    """From the dataset's folder; as it is where it does not belong to it and has its own place."""
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _write_coco(
    path: Path,
    info: Mapping[str, Any],
    pictures: Iterable[tuple[Mapping[str, Any], Iterable[Annotation]]],
    names: Iterable[str],
) -> str:
    """What `coco` gives, as a file; returns its sha256. Boxes wait in a file aside, as they come after all images."""
    aside, boxes = path.with_suffix(".boxes"), 0
    with path.open("wb") as images, aside.open("wb") as annotations:
        images.write(_utf8(f'{{"info":{_json(info)},"images":['))
        for number, (fields, found) in enumerate(pictures, start=1):
            images.write(_utf8(("," if number > 1 else "") + _json({"id": number, **fields})))
            for box in found:
                boxes += 1
                annotations.write(_utf8(("," if boxes > 1 else "") + _json(_annotation(boxes, number, box))))
        images.write(b'],"annotations":[')
    with path.open("ab") as whole:
        with aside.open("rb") as annotations:
            while content := annotations.read(1 << 20):
                whole.write(content)
        whole.write(_utf8(f'],"categories":{_json(_categories(names))}}}'))
    aside.unlink()
    return file_hash(path)


def file_hash(path: Path) -> str:
    """A file's sha256."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line; returns the file's sha256."""
    with path.open("wb") as file:
        for line in lines:
            file.write(_utf8(_json(line) + "\n"))
    return file_hash(path)


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


_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _json(content: Any) -> str:
    return _ENCODE(content)


def _utf8(text: str) -> bytes:
    """JSON as UTF-8; half a surrogate, as strangers' names may have it, becomes JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")
