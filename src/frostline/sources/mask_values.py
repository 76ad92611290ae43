"""Which value or colour of a mask is which class: as somebody says, or as a file beside the masks tells."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from frostline.errors import FrostlineError
from frostline.parsing.files import read_lines
from frostline.pictures.masks import is_coloured, read_mask
from frostline.pictures.reading import UnreadablePictureError
from frostline.scenes.scene import BACKGROUND, VOID

FILES = ("labelmap.txt", "label_colors.txt", "class_dict.csv", "_classes.csv")  # CVAT, CamVid, Kaggle, Roboflow
_UNKNOWN = {"void", "ignore", "ignored", "unlabelled", "unlabeled"}  # names of what nobody annotated
_LOOKED_AT = 16  # masks that are read to tell how all of them are meant
_MOST = 254  # classes; 255 says unknown in what is stored
MEANT = "as in 'dataset.source.values={0: background, 255: cell}'"

Named = list[tuple[int, str | None]]  # value, or colour as 0xRRGGBB, and its class; None says unknown


@dataclass(frozen=True)
class Values:
    """classes: their names, by number. mapped: the number of each value, or of each colour as 0xRRGGBB.

    notes: what was taken for granted, a sentence each.
    """

    classes: tuple[str, ...]
    mapped: Mapping[int, int]
    colours: bool = False
    notes: list[str] = field(default_factory=list)


def values_of(
    root: Path,
    masks: Sequence[Path],
    classes: Sequence[str] | None = None,
    values: Mapping[object, object] | None = None,
    void: int = VOID,
) -> Values:
    """What the values of masks mean: `values`, a file in `root`, or else the positions of `classes`, which pass `void`.

    masks: their files, of which some are looked at. Raises FrostlineError where that cannot be told.
    """
    if classes is not None and (isinstance(classes, str) or not 1 <= len(classes) <= _MOST):
        raise FrostlineError("dataset.source.classes is no list of 1 to 254 names: name the masks' classes there.")
    if values:
        return _named(*_written(values), classes, "dataset.source.values")
    if (found := next((root / name for name in FILES if (root / name).is_file()), None)) is not None:
        coloured, named = _in_file(found)
        if coloured and _are_numbers(masks, named):
            coloured, named = False, [(number, name) for number, (_, name) in enumerate(named)]
        told = _named(coloured, named, classes, str(found))
        how = "colours" if coloured else "numbers"
        told.notes.insert(0, f"its masks are read by the {how} of {found.name}: {', '.join(told.classes)}")
        return told
    if classes is None:
        raise FrostlineError(
            f"{root} has masks, and nothing tells what their values mean{_seen(masks)}: name them, {MEANT}, or as "
            "dataset.source.classes=[background,cell] in the order of the values from 0."
        )
    numbers = (value for value in range(VOID) if value != void)
    mapped = dict(zip(numbers, range(len(classes)), strict=False)) | {void: VOID}
    return Values(tuple(classes), mapped, notes=_only_void(masks, classes, void))


def _only_void(masks: Sequence[Path], classes: Sequence[str], void: int) -> list[str]:
    """Masks of 0 and 255 usually mean an object by 255, which says unknown here."""
    if len(classes) < 2 or void != VOID or _looked_at(masks) != {0, VOID}:
        return []
    return [
        f"its masks hold the values 0 and 255, of which 255 says unknown: where that is '{classes[1]}', set "
        f"'dataset.source.values={{0: {classes[0]}, 255: {classes[1]}}}'"
    ]


def _are_numbers(masks: Sequence[Path], named: Named) -> bool:
    """Whether masks hold the positions in a list of colours instead of the colours."""
    values, greys = _looked_at(masks), {code & 255 for code, _ in named if code % 0x010101 == 0}
    if not values - greys or max(values) >= len(named):
        return False
    return not any(map(is_coloured, masks[:_LOOKED_AT]))


def _seen(masks: Sequence[Path]) -> str:
    found = sorted(_looked_at(masks))
    return f" (the first hold {', '.join(map(str, found[:8]))}{' and more' if len(found) > 8 else ''})" if found else ""


def _looked_at(masks: Sequence[Path]) -> set[int]:
    """The values of the first masks; of colours nothing."""
    found: set[int] = set()
    for mask in masks[:_LOOKED_AT]:
        try:
            found |= set(np.unique(read_mask(mask)).tolist())
        except (OSError, UnreadablePictureError):  # which the check tells
            continue
    return found


def _named(coloured: bool, named: Named, classes: Sequence[str] | None, where: str) -> Values:
    names = tuple(dict.fromkeys(name for _, name in named if name is not None)) if classes is None else tuple(classes)
    if unknown := sorted({name for _, name in named if name is not None} - set(names)):
        raise FrostlineError(
            f"{where} names '{unknown[0]}', which dataset.source.classes does not: add it there, or leave them out."
        )
    if not 1 <= len(names) <= _MOST:
        raise FrostlineError(f"{where} names {len(names)} classes: masks have 1 to {_MOST}.")
    mapped = {value: VOID if name is None else names.index(name) for value, name in named}
    lost = [
        f"{value >> 16} {value >> 8 & 255} {value & 255}" if coloured else str(value)
        for value, name in named
        if name is None
    ]
    notes = [f"{where} calls {' and '.join(lost)} unknown"] if lost else []
    return Values(names, mapped, coloured, notes)


def _written(values: Mapping[object, object]) -> tuple[bool, Named]:
    """What somebody wrote: keys such as 255, `128 0 0` or `#800000`."""
    keys = {key: _key(str(key)) for key in values}
    kinds = {len(key) for key in keys.values()}
    if len(kinds) > 1:
        raise FrostlineError("dataset.source.values has numbers and colours: a mask has one of the two.")
    named: Named = [
        (_code(keys[key]), None if name is None or str(name).lower() in _UNKNOWN else str(name))
        for key, name in values.items()
    ]
    return kinds == {3}, named


def _key(text: str) -> tuple[int, ...]:
    if found := re.fullmatch(r"\s*(?:#|0x)([0-9a-fA-F]{6})\s*", text):
        return tuple(bytes.fromhex(found[1]))
    numbers = tuple(map(int, re.findall(r"\d{1,6}", text))) if re.fullmatch(r"[\s\d,;/()\[\]-]+", text) else ()
    if len(numbers) == 1 and numbers[0] <= 65535 or len(numbers) == 3 and max(numbers) <= 255:
        return numbers
    raise FrostlineError(
        f"dataset.source.values names '{text}', which is neither a value nor a colour: write 255, 128 0 0 or #800000."
    )


def _code(key: Sequence[int]) -> int:
    return key[0] if len(key) == 1 else key[0] << 16 | key[1] << 8 | key[2]


def _in_file(path: Path) -> tuple[bool, Named]:
    """Whether a file names colours, and what it names. Raises FrostlineError for a line that it cannot be made of."""
    lines = [(number, line) for number, line in read_lines(path) if not line.startswith("#")]
    found: list[tuple[tuple[int, ...], str]] = []
    if path.suffix == ".csv":
        try:
            rows = [row for row in csv.reader(line for _, line in lines) if row][1:]
        except csv.Error as error:
            raise FrostlineError(f"{path} is no table ({error}): mend it.") from error
        # Kaggle: name, r, g, b. Roboflow: value, name.
        found = [_cells(path, row[1:4], row[0]) if len(row) > 3 else _cells(path, row[:1], row[-1]) for row in rows]
    elif path.name == "labelmap.txt":  # name:r,g,b:parts:actions
        parts = [[part.strip() for part in line.split(":")] for _, line in lines]
        found = [_cells(path, part[1].split(",") if len(part) > 1 and part[1] else [], part[0]) for part in parts]
    else:  # r g b name
        for _, line in lines:
            match = re.fullmatch(r"(?:(\d+)[\s,]+(\d+)[\s,]+(\d+)\s+)?(\S.*)", line)
            found.append(_cells(path, [each for each in match.groups()[:3] if each], match[4]) if match else ((), line))
    if not found:
        raise FrostlineError(f"{path} names no class: name the masks' values yourself, {MEANT}.")
    if not any(key for key, _ in found):  # datumaro leaves the colours out, and paints with those of VOC
        names = [name for _, name in found]
        names = names if names[0].lower() == BACKGROUND else [BACKGROUND, *names]
        found = [(voc_colour(number), name) for number, name in enumerate(names)]
    named: Named = [(_code(key), None if name.lower() in _UNKNOWN else name) for key, name in found if key]
    return any(len(key) == 3 for key, _ in found), named


def _cells(path: Path, numbers: Iterable[str], name: str) -> tuple[tuple[int, ...], str]:
    try:
        key = tuple(int(number) for number in numbers)
    except ValueError:
        key = (-1,)
    if len(key) not in (0, 1, 3) or any(not 0 <= number <= 255 for number in key):
        raise FrostlineError(f"{path} gives '{name.strip()}' no colour of three numbers from 0 to 255: mend it.")
    return key, name.strip()


def voc_colour(number: int) -> tuple[int, int, int]:
    """The colour of a class in Pascal VOC's palette: the bits of the number, in turn, from the highest of each band."""
    bands = [0, 0, 0]
    for bit in range(8):
        for band in range(3):
            bands[band] |= (number >> 3 * bit + band & 1) << 7 - bit
    return bands[0], bands[1], bands[2]
