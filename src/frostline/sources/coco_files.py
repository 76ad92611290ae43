"""COCO's JSON files: where those of instances lie below a root, and what one of them holds."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from frostline.errors import FrostlineError
from frostline.parsing.files import split_named, visible
from frostline.parsing.lookup import folder_called, head_of, split_of_folders
from frostline.pictures.reading import read_file
from frostline.scenes.scene import SPLITS

# The same pictures told otherwise: datumaro writes them beside the instances, COCO's own folder has them, too.
_OTHER_KINDS = ("captions", "image_info", "labels", "panoptic", "person_keypoints", "stuff")
_KNOWN = re.compile(
    r"instances.*|.*coco.*|_?annotations?|result|labels|train|val(id(ation)?)?|test|data", re.IGNORECASE
)
_HEAD = 1 << 14  # bytes in which an instance file shows one of its keys
_KEYS = re.compile(rb'"(images|annotations|categories|licenses)"\s*:')
_NOT_KEYS = re.compile(rb'"(shapes|imagePath|imageData)"\s*:')  # labelme's
_MOST_UNKNOWN = 20  # files of a folder with names that say nothing: more are annotations of one picture each
_DEPTH = 3  # folders below the root in which files are looked for


class InstanceFile:
    """One JSON file: its pictures, and the annotations of each by the picture's id.

    split: that its pictures belong to. doubled: annotations that stood there twice, word for word, and are kept once.
    Raises FrostlineError for what is no such file.
    """

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
        info = content.get("info")
        self.writer = info.get("contributor") if isinstance(info, dict) else None
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
        self.of = {image_id: _once(by_image.get(image_id, [])) for image_id in known}
        self.astray = {image_id: found for image_id, found in by_image.items() if image_id not in known}
        self.doubled = sum(len(by_image.get(image_id, [])) - len(found) for image_id, found in self.of.items())
        self.has_boxes = not annotations or any("bbox" in annotation for annotation in annotations)
        self.has_outlines = any(annotation.get("segmentation") for annotation in annotations)

    def annotations(self) -> Iterator[dict[str, Any]]:
        """All annotations of pictures that it lists."""
        for found in self.of.values():
            yield from found

    def _records(self, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
        records = content.get(key)
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise FrostlineError(
                f"{self.path} has no list '{key}' of objects: point dataset.source.annotations at COCO instance files."
            )
        return records


def _id(record: dict[str, Any]) -> Any:
    return record["id"]


def _once(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations without those that repeat another in all but their id; the first is kept."""
    if len(annotations) < 2:
        return annotations
    kept: dict[str, list[dict[str, Any]]] = {}  # by box, in which most differ already
    result = []
    for annotation in annotations:
        alike = kept.setdefault(str(annotation.get("bbox")), [])
        if not any(annotation | {"id": None} == other | {"id": None} for other in alike):
            alike.append(annotation)
            result.append(annotation)
    return result


def json_files(root: Path, annotations: str | Mapping[str, str] | None) -> list[tuple[Path, str | None]]:
    """The files to read, each with its split. annotations: what a setting says. Raises FrostlineError."""
    if isinstance(annotations, str):
        path = root / annotations
        return [(path, _split(path.relative_to(root) if path.is_relative_to(root) else PurePath(path.name)))]
    if annotations is not None:
        if not annotations or (strange := [split for split in annotations if split not in SPLITS]):
            given = f"the key '{strange[0]}'" if annotations else "no file"
            raise FrostlineError(f"dataset.source.annotations has {given}: give files for train, val or test.")
        return [(root / path, split) for split, path in annotations.items()]
    if not (found := found_files(root)):
        raise FrostlineError(
            f"{root} holds no JSON files of COCO's kind: point dataset.root at data in COCO's layout, or set "
            f"dataset.source.annotations."
        )
    return [(path, _split(path.relative_to(root))) for path in found]


def _split(path: PurePath) -> str | None:
    return split_named(path.stem) or split_of_folders(path)


def found_files(root: Path) -> list[Path]:
    """The instance files in `root/annotations`, whatever they look like; without it, those anywhere near the root."""
    own = folder_called(root, "annotations")
    if own is not None and (found := [path for path in visible(own, "*") if path.suffix.lower() == ".json"]):
        return _of_instances(found)
    return _of_instances([path for folder in _folders(root, _DEPTH) for path in _looking_so(folder)])


def _of_instances(paths: list[Path]) -> list[Path]:
    """Of several kinds side by side those called instances, else those that are not called after another kind."""
    named = [path for path in paths if path.name.startswith("instances")]
    other = [path for path in paths if not path.name.startswith(_OTHER_KINDS) or path.name == "labels.json"]
    return named or other or paths


def _looking_so(folder: Path) -> list[Path]:
    """The files right in a folder that begin as COCO's do."""
    paths = [path for path in visible(folder, "*") if path.suffix.lower() == ".json"]
    known = [path for path in paths if _KNOWN.fullmatch(path.stem)]
    candidates = paths if len(paths) - len(known) <= _MOST_UNKNOWN else known
    return [path for path in candidates if looks_so(path)]


def looks_so(path: Path) -> bool:
    """Whether a file begins as COCO's instance files do."""
    head = head_of(path, _HEAD)
    keys = {found[1] for found in _KEYS.finditer(head)}
    whole = len(head) < _HEAD
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or _NOT_KEYS.search(head):
        return False
    return b"images" in keys if whole else bool(keys)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    yield root
    try:
        found = sorted(entry.path for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return
    for path in found if depth else ():
        yield from _folders(Path(path), depth - 1)


def fits(root: Path) -> str | None:
    """What lies there as COCO's layout, in short; None where it does not. Raises nothing."""
    try:
        if root.is_file():
            return "COCO, one instance file" if root.suffix.lower() == ".json" and looks_so(root) else None
        found = [path for path in found_files(root) if looks_so(path)]
    except (OSError, ValueError):
        return None
    if not found:
        return None
    places = sorted({path.parent.relative_to(root).as_posix() for path in found} - {"."})
    count = "one instance file" if len(found) == 1 else f"{len(found)} instance files"
    return f"COCO, {count}" + (f" in {', '.join(places[:3])}" if places else "")
