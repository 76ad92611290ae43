"""One scene, checked: what is wrong with it, and what it is once everything that can be mended is.

Whether a fault stops `prepare`, leaves the scene out or is mended is decided elsewhere (`faults.policies`); the user's
own files are never changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from frostline.checking import fingerprint
from frostline.checking.boxes import Turn, mended_boxes
from frostline.checking.fingerprint import Seen
from frostline.checking.hashes import THUMBNAIL
from frostline.checking.record import Record
from frostline.checking.white import FULL, White
from frostline.pictures.masks import NoMaskError, read_mask
from frostline.pictures.reading import (
    FORMATS,
    LOSSY,
    MAX_PIXELS,
    QUARTER_TURNS,
    TURNS,
    HugePictureError,
    UnreadablePictureError,
    open_grey_jpeg,
    open_picture,
    orientation_of,
    plain_picture,
)
from frostline.pictures.writing import png
from frostline.scenes.faults import Fault
from frostline.scenes.scene import VOID, Classes, Scene

GREY_SIDE = 128  # px of the shorter side that a grey picture keeps at least, from which its thumbnail is made


@dataclass
class Checked:
    """A scene as it can be stored.

    picture: the bytes to store, in a format that `suffix` names; empty where its faults leave none. digest: their
    sha256, where they are those of the picture's own file. mask: mended, (height, width) uint8.
    """

    record: Record
    picture: bytes = b""
    suffix: str = ""
    digest: str | None = None
    mask: np.ndarray | None = None


def check(
    scene: Scene, classes: Classes, max_pixels: int = MAX_PIXELS, white: White = FULL, seen: Seen | None = None
) -> Checked:
    """Read a scene and everything annotated on it. max_pixels: width x height beyond which a picture is `huge`.

    white: what is white in pictures of 16 bits. seen: its picture's file, where that was read already.
    """
    record = Record(
        id=scene.id, file=str(scene.called), faults=list(scene.faults), given=scene.split, group=scene.group
    )
    picture = _picture(scene, seen or Seen.of(scene), max_pixels, white, record.faults)
    if picture is None:
        return Checked(record)
    record.size, record.picture_hash, record.grey = picture.size, picture.digest, _thumbnail(picture.shown)
    if scene.scaled and scene.size is not None and scene.size != picture.size:
        record.size, record.stored = scene.size, picture.size
    record.label = _label(scene, classes.labels, record.faults)
    if (boxes := mended_boxes(scene, classes.boxes, record.size, picture.turn, record.faults)) is not None:
        record.boxes, record.box_labels, record.box_marks = boxes
    mask = _mask(scene, classes.masks, record.size, picture.turn, max_pixels, record.faults)
    if mask is not None:
        record.mask_hash = fingerprint.of_array(mask)
        record.mask_classes = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    return Checked(record, picture.content, picture.suffix, picture.stored, mask)


@dataclass(frozen=True)
class _Picture:
    """shown: the picture as displayed, plain, or its grey at a part of its size. size: of the whole, as displayed.

    content, suffix: the file to store. digest: of what it shows. stored: the sha256 of the content, where it is known.
    """

    shown: Image.Image
    size: tuple[int, int]
    content: bytes
    suffix: str
    digest: str
    stored: str | None = None
    turn: Turn | None = None


def _picture(scene: Scene, seen: Seen, max_pixels: int, white: White, faults: list[Fault]) -> _Picture | None:
    """Read the picture; None where there is none."""
    if scene.image is None:  # the source has said why
        return None
    if isinstance(scene.image, np.ndarray):
        drawn = Image.fromarray(scene.image)
        return _Picture(drawn, drawn.size, png(drawn), ".png", fingerprint.of_array(np.asarray(drawn)))
    try:
        return _read(scene.image, seen, max_pixels, white, faults)
    except FileNotFoundError:
        faults.append(Fault("picture_missing", scene.image, "is not there"))
    except OSError as error:
        faults.append(Fault("picture_unreadable", scene.image, f"cannot be read ({error.strerror})"))
    except HugePictureError as error:
        faults.append(Fault("picture_huge", scene.image, str(error)))
    except UnreadablePictureError as error:
        faults.append(Fault("picture_unreadable", scene.image, str(error)))
    return None


def _read(path: Path, seen: Seen, max_pixels: int, white: White, faults: list[Fault]) -> _Picture:
    if not isinstance(seen.content, bytes):
        raise seen.content or OSError("no regular file")
    raw = seen.content
    if (grey := open_grey_jpeg(raw, max_pixels, GREY_SIDE)) is not None:  # most are such, and stored as they are
        if path.suffix.lower() not in FORMATS["JPEG"]:
            faults.append(Fault("picture_extension", path, "is a JPEG file"))
        digest = seen.digest.hex()
        return _Picture(grey[0], grey[1], raw, ".jpg", digest, digest)
    opened = open_picture(raw, max_pixels)
    form, suffix = opened.format or "", path.suffix.lower()
    if suffix not in FORMATS.get(form, {suffix}):
        faults.append(Fault("picture_extension", path, f"is a {form} file"))
    width, height = opened.size
    turn = None
    if (orientation := orientation_of(opened)) in QUARTER_TURNS and width != height:
        turn = Turn((width, height), orientation)
    shown, odd = plain_picture(opened, white)
    faults += [Fault(kind, path, what) for kind, what in odd]
    as_is = shown is opened and not odd and form in ("JPEG", "MPO", "PNG")
    lossy = form in LOSSY
    # The bytes of a PNG depend on who compressed it, its pixels do not; with a lossy format it is the other way round.
    digest = seen.digest.hex() if lossy else fingerprint.of_array(np.asarray(shown))
    content, stored = (raw, seen.digest.hex()) if as_is else (png(shown), None)
    return _Picture(shown, shown.size, content, ".jpg" if lossy and as_is else ".png", digest, stored, turn)


def _thumbnail(shown: Image.Image) -> np.ndarray:
    """(32, 32) uint8, grey."""
    grey = shown if shown.mode == "L" else shown.convert("L")
    return np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0))


def _label(scene: Scene, classes: tuple[str, ...] | None, faults: list[Fault]) -> int | None:
    if scene.label is None:
        return None
    if not 0 <= scene.label < len(classes or ()):
        faults.append(Fault("label_unknown", scene.called, f"has the label {scene.label}, which is no class"))
        return None
    return int(scene.label)


def _mask(
    scene: Scene,
    classes: tuple[str, ...] | None,
    size: tuple[int, int],
    turn: Turn | None,
    max_pixels: int,
    faults: list[Fault],
) -> np.ndarray | None:
    """The mask in class numbers, (height, width) uint8, as the picture is displayed; None where there is none."""
    file = scene.mask if isinstance(scene.mask, Path) else scene.called
    mask = _mask_values(scene, max_pixels, faults) if isinstance(scene.mask, Path) else scene.mask
    if mask is None:
        return None
    if turn is not None and mask.shape == turn.stored[::-1]:
        plain = mask.astype(np.int32) if mask.dtype == np.uint32 else mask  # which Pillow does not take
        mask = np.asarray(Image.fromarray(plain).transpose(TURNS[turn.orientation])).astype(mask.dtype)
    if mask.shape != size[::-1]:
        wrong = f"{mask.shape[1]} x {mask.shape[0]}" if mask.ndim == 2 else f"shape {mask.shape}"
        what = f"is a mask of {wrong} pixels on a picture displayed with {size[0]} x {size[1]}"
        faults.append(Fault("mask_size", file, what))
        return None
    count = len(classes or ())
    mapped = {value: value for value in range(count)} if scene.mask_map is None else scene.mask_map
    mapped = mapped if scene.mask_colours else {VOID: VOID} | dict(mapped)
    known = {value: number for value, number in mapped.items() if number == VOID or 0 <= number < count}
    numbers = _numbered(mask, known)
    if (numbers < 0).any():
        faults.append(Fault("mask_value", file, _unnamed(mask[numbers < 0], scene.mask_colours)))
        numbers[numbers < 0] = VOID
    return np.asarray(numbers, np.uint8)


def _numbered(mask: np.ndarray, known: Mapping[int, int]) -> np.ndarray:
    """The class number of each pixel, int16, -1 where the value is none of these."""
    if mask.dtype == np.uint32:  # colours, too many for a table
        numbers = np.full(mask.shape, -1, np.int16)
        for value, number in known.items():
            numbers[mask == value] = number
        return numbers
    table = np.full(np.iinfo(mask.dtype).max + 1, -1, np.int16)
    for value, number in known.items():
        if value < len(table):
            table[value] = number
    return np.asarray(table[mask])


def _unnamed(pixels: np.ndarray, colours: bool) -> str:
    """Words on the values of a mask's pixels that are no class, the commonest first, with how many pixels each has."""
    values, counts = np.unique(pixels, return_counts=True)
    most = sorted(zip(counts.tolist(), values.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))[:5]
    listed = ", ".join(
        f"{f'({value >> 16} {value >> 8 & 255} {value & 255})' if colours else value} ({count} px)"
        for count, value in most
    )
    what, more = "colour" if colours else "value", " and more" if len(values) > len(most) else ""
    return f"is a mask with the {what} {listed}{more}, which is no class"


def _mask_values(scene: Scene, max_pixels: int, faults: list[Fault]) -> np.ndarray | None:
    """The values of a mask's file, (height, width), or its colours."""
    path = scene.mask
    assert isinstance(path, Path)
    try:
        return read_mask(path, max_pixels, scene.mask_colours)
    except FileNotFoundError:
        faults.append(Fault("annotation_missing", path, "is not there"))
    except NoMaskError as error:
        faults.append(Fault("annotation_unreadable", path, str(error)))
    except (OSError, UnreadablePictureError) as error:
        faults.append(Fault("annotation_unreadable", path, f"cannot be read as a mask ({error})"))
    return None
