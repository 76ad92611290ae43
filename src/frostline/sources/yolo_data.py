"""What describes a data set in YOLO's layout: a YAML file, darknet's obj.data, or a list of the classes' names."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from frostline.errors import FrostlineError
from frostline.parsing.files import inside, is_file, read_lines, visible
from frostline.parsing.lookup import head_of
from frostline.pictures.reading import read_file

_MOST_YAML = 1 << 22  # bytes; a thousand times what data.yaml needs
_HEAD = 1 << 12  # bytes of a file that are looked at
_LOOKED_AT = 3  # text files of a folder
_MOST_TRIED = 20  # YAML files of a folder
DATA = "data.yaml"
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LISTS = ("classes.txt", "obj.names", "notes.json")  # of names; any other *.names, too


@dataclass(frozen=True)
class Data:
    """file: what says so, for messages. names: of classes by their numbers. path: where entries start, as it says.

    entries: of keys of SPLIT_KEYS, what leads to pictures; none where nothing says.
    """

    file: Path
    names: Mapping[int, str]
    path: str | None = None
    entries: Mapping[str, Any] = field(default_factory=dict)


class _PlainLoader(yaml.SafeLoader):
    """Refuses anchors, with which a few lines could grow beyond all memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to anchors")
        return super().compose_node(parent, index)


def described(root: Path, file: Path | None, names: Sequence[str] | None) -> Data:
    """What a file tells, or the one found in `root`. names: of the classes, where a setting gives them.

    Raises FrostlineError where there is no such file, or it names no classes.
    """
    file = file or _found(root)
    if file is None:
        data = Data(root, _names_in_lists(root) if names is None else {})
    elif file.suffix.lower() in (".yaml", ".yml"):
        data = _of_yaml(file, names)
    elif file.suffix.lower() == ".data":
        data = _of_darknet(root, file, names)
    else:
        data = Data(file, _names_of(file))
    if names is not None:
        data = Data(data.file, dict(enumerate(map(str, names))), data.path, data.entries)
    if not data.names:
        raise FrostlineError(
            f"{root} has nothing that names the classes ({DATA}, obj.data, classes.txt): set dataset.source.classes "
            "to their names in the order of their numbers, or point dataset.root at data in YOLO's layout."
        )
    return data


def _found(root: Path) -> Path | None:
    """data.yaml, the only YAML file, the only one of several with names, or obj.data."""
    if is_file(root / DATA):
        return root / DATA
    paths = [path for path in visible(root, "*") if path.suffix.lower() in (".yaml", ".yml")]
    if len(paths) > 1:
        told = [path for path in paths[:_MOST_TRIED] if has_names(path)]
        if len(told) != 1:
            named = ", ".join(path.name for path in (told or paths)[:5])
            raise FrostlineError(
                f"{root} has several YAML files ({named}), {'each' if told else 'none'} with names of classes: set "
                "dataset.source.data to the one that is meant."
            )
        return told[0]
    darknet = [path for path in visible(root, "*") if path.suffix.lower() == ".data"]
    return next(iter((*paths, *darknet)), None)


def has_names(path: Path) -> bool:
    """Whether a YAML file describes a data set."""
    try:
        content = _yaml(path)
    except FrostlineError:
        return False
    return isinstance(content, dict) and "names" in content


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(read_file(path, _MOST_YAML), _PlainLoader)
    except OSError as error:
        raise FrostlineError(
            f"{path} cannot be read ({error.strerror}): point dataset.root at data in YOLO's layout, or set "
            f"dataset.source.data to the name of its YAML file."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2020-13-32 is a ValueError
        what = " ".join(str(error).split())
        raise FrostlineError(f"{path} is no YAML ({what}): mend it.") from error


def _of_yaml(path: Path, given: Sequence[str] | None) -> Data:
    content = _yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict) and all(re.fullmatch(r"\d{1,9}", str(number)) for number in names):
        names = {int(number): name for number, name in names.items()}
    elif given is None:
        names = None
    if given is None and not (names and all(isinstance(name, str | int | float) for name in names.values())):
        raise FrostlineError(
            f"{path} has no 'names': list the classes there, or number them from 0; or set dataset.source.classes."
        )
    if not isinstance(content, dict):
        raise FrostlineError(f"{path} is no mapping of keys such as train and val: mend it.")
    if "kpt_shape" in content:
        raise FrostlineError(f"{path} describes key points, which are no boxes: take a dataset of boxes.")
    base = content.get("path")
    entries = {key: content[key] for key in SPLIT_KEYS if content.get(key)}
    known = {} if given is not None else {number: str(name) for number, name in sorted((names or {}).items())}
    return Data(path, known, base if isinstance(base, str) else None, entries)


def _of_darknet(root: Path, path: Path, given: Sequence[str] | None) -> Data:
    """`train = data/train.txt` and the like; such paths started at darknet's own folder."""
    values = {}
    for _, line in read_lines(path):
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip().lower()] = value.strip()
    listed = values.get("names", "")
    file = path_below(root, listed, (root, path.parent)) if listed else None
    names = _names_of(file) if file is not None and is_file(file) else {} if given else _names_in_lists(root)
    return Data(path, names, None, {key: values[key] for key in SPLIT_KEYS if values.get(key)})


def _names_in_lists(root: Path) -> dict[int, str]:
    """Of a list in the root, or in one of the folders right below it, where LabelImg leaves it beside the texts."""
    try:
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))]
    except OSError:
        folders = [root]
    for folder in folders:
        found = [path for name in _LISTS if is_file(path := folder / name)] + visible(folder, "*.names")
        for path in found:
            if names := _names_of(path):
                return names
    return {}


def _names_of(path: Path) -> dict[int, str]:
    """The names in a list of one a line, or in Label Studio's notes.json. Raises FrostlineError for what is neither."""
    if path.suffix.lower() != ".json":
        return {number: name for number, (_, name) in enumerate(read_lines(path))}
    try:
        categories = json.loads(read_file(path, _MOST_YAML))["categories"]
        return {int(category["id"]): str(category["name"]) for category in categories}
    except OSError as error:
        raise FrostlineError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise FrostlineError(f"{path} is no list of categories ({error}): set dataset.source.classes.") from error


def path_below(root: Path, entry: str, starts: Sequence[Path]) -> Path | None:
    """The folder or file that an entry means; of a path of another machine, the longest end of it that is there."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for name in (entry, *("/".join(parts[at:]) for at in range(len(parts)))):
        for start in starts:
            path = inside(root, name, start)
            if path is not None and os.path.exists(path):
                return path
    return None


def fits(root: Path) -> str | None:
    """What lies there as YOLO's layout, in short; None where it does not. Raises nothing."""
    try:
        if root.is_file():
            suffix = root.suffix.lower()
            described_so = has_names(root) if suffix in (".yaml", ".yml") else suffix == ".data"
            return f"YOLO, {root.name}" if described_so else None
        yamls = [path for path in visible(root, "*") if path.suffix.lower() in (".yaml", ".yml")][:_MOST_TRIED]
        if named := [path for path in yamls if has_names(path)]:
            return f"YOLO, {named[0].name}"
        if darknet := [path for path in visible(root, "*.data") if b"names" in head_of(path, _HEAD)]:
            return f"YOLO, {darknet[0].name}"
        folders = [root, *(Path(path) for path in _folders(root))]
        texts = [path for folder in folders for path in _texts(folder)[:_LOOKED_AT]]
    except (OSError, ValueError):
        return None
    if any(map(_of_numbers, texts)):
        return "YOLO, text files without a YAML file"
    return None


def _folders(root: Path) -> list[str]:
    """Folders below the root, two deep."""
    below = sorted(entry.path for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    return below + sorted(
        entry.path for path in below for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")
    )


def _texts(folder: Path) -> list[Path]:
    return [path for path in visible(folder, "*") if path.suffix.lower() == ".txt" and path.name not in _LISTS]


def _of_numbers(path: Path) -> bool:
    """Whether the first line of a text is a class and at least four numbers."""
    line = head_of(path, _HEAD).split(b"\n")[0].split()
    try:
        return len(line) >= 5 and float(line[0]) >= 0 and all(math.isfinite(float(word)) for word in line)
    except ValueError:
        return False
