"""One scene, checked: what is wrong with it, and what it is once everything that can be mended is.

Whether a fault stops `prepare`, leaves the scene out or is mended is decided elsewhere (`policy_of`); the user's own
files are never changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from frostline.checking.duplicates import THUMBNAIL
from frostline.errors import FrostlineError
from frostline.pictures.reading import (
    MAX_PIXELS,
    QUARTER_TURNS,
    TURNS,
    HugePictureError,
    UnreadablePictureError,
    open_picture,
    orientation_of,
    plain_picture,
    read_file,
    turned_boxes,
)
from frostline.scenes.faults import KINDS, Fault
from frostline.scenes.scene import VOID, Classes, Scene

OVERHANG = 1.0  # pixels by which a box may stick out and be clipped: rounding, and formats that count pixels from 1
POLICIES = ("fail", "skip", "fix")
SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".mpo"},
    "PNG": {".png"},
    "GIF": {".gif"},
    "BMP": {".bmp", ".dib"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
}


@dataclass
class Checked:
    """A scene as it can be stored; fields are set as far as its faults leave anything to set.

    picture: the bytes to store, in a format that `suffix` names. label, boxes, box_labels, mask: as in Scene, mended.
    size: width and height as displayed. stored: these before a quarter turn that EXIF asks for and that changes them,
    and its orientation.
    picture_hash: of what the picture shows. thumbnail: (32, 32) uint8, grey.
    """

    scene: Scene
    faults: list[Fault] = field(default_factory=list)
    picture: bytes = b""
    suffix: str = ""
    size: tuple[int, int] = (0, 0)
    stored: tuple[tuple[int, int], int] | None = None
    picture_hash: str = ""
    thumbnail: np.ndarray | None = None
    label: int | None = None
    boxes: np.ndarray | None = None
    box_labels: np.ndarray | None = None
    mask: np.ndarray | None = None


def check(scene: Scene, classes: Classes, max_pixels: int = MAX_PIXELS) -> Checked:
    """Read a scene and everything annotated on it. max_pixels: width x height beyond which a picture is `huge`."""
    checked = Checked(scene, list(scene.faults))
    if _picture(checked, max_pixels):
        _label(checked, classes.labels)
        _boxes(checked, classes.boxes)
        _mask(checked, classes.masks, max_pixels)
    return checked


def policies(on_fault: str, faults: Mapping[str, str | None]) -> dict[str, str]:
    """The policy of every kind of fault: what `faults` says, else what KINDS says; where that is None, `on_fault`.

    Raises FrostlineError for a kind or policy that does not exist, and for `fix` where a kind cannot be mended.
    """
    if on_fault not in POLICIES:
        raise FrostlineError(f"dataset.on_fault is '{on_fault}': set it to {', '.join(POLICIES)}.")
    chosen = {}
    for kind, policy in ({kind: known.policy for kind, known in KINDS.items()} | dict(faults)).items():
        if kind not in KINDS:
            raise FrostlineError(f"dataset.faults.{kind} is no kind of fault; choose from {', '.join(KINDS)}.")
        if policy is not None and policy not in POLICIES:
            raise FrostlineError(f"dataset.faults.{kind} is '{policy}': set it to {', '.join(POLICIES)}.")
        if policy == "fix" and KINDS[kind].fixable is None:
            raise FrostlineError(f"dataset.faults.{kind} is fix, but that cannot be mended: set it to fail or skip.")
        if policy is not None:
            chosen[kind] = policy
    for kind, known in KINDS.items():
        fallback = "skip" if on_fault == "fix" and known.fixable is None else on_fault
        chosen.setdefault(kind, fallback)
    return chosen | {"split_empty": "fail"}  # nothing can be trained without


def named(scene: Scene) -> Path | str:
    """The scene's picture as messages name it."""
    return scene.image if isinstance(scene.image, Path) else scene.id


def array_hash(array: np.ndarray) -> str:
    """One sha256 over type, shape and content."""
    digest = sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def png(image: Image.Image) -> bytes:
    """A picture as a plain PNG file."""
    buffer = BytesIO()
    # A fresh picture carries no colour profile, text or EXIF over; level 1 halves the time and costs little space.
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _picture(checked: Checked, max_pixels: int) -> bool:
    """Read the picture; False where there is none."""
    scene, file = checked.scene, named(checked.scene)
    if scene.image is None:  # the source has said why
        return False
    if isinstance(scene.image, np.ndarray):
        image, lossy, raw, as_is = Image.fromarray(scene.image), False, b"", False
    else:
        try:
            raw = read_file(scene.image)
            opened = open_picture(raw, max_pixels)
            found = opened.format or ""
            lossy = found in ("JPEG", "MPO", "WEBP")
            if scene.image.suffix.lower() not in SUFFIXES.get(found, {scene.image.suffix.lower()}):
                checked.faults.append(Fault("picture_extension", file, f"is a {found} file"))
            width, height = opened.size
            if (orientation := orientation_of(opened)) in QUARTER_TURNS and width != height:
                checked.stored = (width, height), orientation
            image, odd = plain_picture(opened)
            checked.faults += [Fault(kind, file, what) for kind, what in odd]
            as_is = image is opened and not odd and found in ("JPEG", "MPO", "PNG")
        except FileNotFoundError:
            checked.faults.append(Fault("picture_missing", file, "is not there"))
            return False
        except OSError as error:
            checked.faults.append(Fault("picture_unreadable", file, f"cannot be read ({error.strerror})"))
            return False
        except HugePictureError as error:
            checked.faults.append(Fault("picture_huge", file, str(error)))
            return False
        except UnreadablePictureError as error:
            checked.faults.append(Fault("picture_unreadable", file, str(error)))
            return False
    checked.size = image.size
    checked.suffix = ".jpg" if lossy and as_is else ".png"
    # The bytes of a PNG depend on who compressed it, its pixels do not; with a lossy format it is the other way round.
    checked.picture_hash = sha256(raw).hexdigest() if lossy else array_hash(np.asarray(image))
    checked.picture = raw if as_is else png(image)
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    checked.thumbnail = np.asarray(small)
    return True


def _label(checked: Checked, classes: tuple[str, ...] | None) -> None:
    label = checked.scene.label
    if label is not None and not 0 <= label < len(classes or ()):
        checked.faults.append(Fault("label_unknown", named(checked.scene), f"has the label {label}, which is no class"))
    elif label is not None:
        checked.label = int(label)


def _boxes(checked: Checked, classes: tuple[str, ...] | None) -> None:
    scene = checked.scene
    if scene.boxes is None:
        return
    file = scene.boxes_file or named(scene)
    boxes = np.asarray(scene.boxes, np.float32).reshape(-1, 4)
    labels = np.asarray([] if scene.box_labels is None else scene.box_labels, np.int64)
    lines: list[int | None] = [*scene.box_lines] if scene.box_lines else [None] * len(boxes)
    width, height = checked.size
    whole = np.array([width, height] * 2, np.float32)
    if len(labels) != len(boxes) or len(lines) != len(boxes):
        what = f"has {len(boxes)} boxes, {len(labels)} labels of boxes and {len(lines)} lines"
        checked.faults.append(Fault("annotation_unreadable", file, what))
        return
    told = boxes  # as the file has them

    def found(kind: str, what: str, number: int, box: np.ndarray | None = None) -> None:
        corners = ", ".join(f"{value:g}" for value in told[number])
        drawn = None if box is None else tuple(box.tolist())
        checked.faults.append(Fault(kind, file, f"{what} ({corners})", lines[number], drawn))

    if checked.stored is not None and scene.size == checked.stored[0]:
        boxes = turned_boxes(boxes, checked.stored[1], checked.stored[0])
    elif scene.size is not None and scene.size != checked.size and len(boxes):
        what = f"has boxes on a picture of {scene.size[0]} x {scene.size[1]}, and the picture has {width} x {height}"
        scale: np.ndarray = whole / np.array(scene.size * 2, np.float32)
        boxes = boxes * scale
        found("box_units", what, 0, boxes[0])
    # Shares of the picture lie all between 0 and 1; in pixels, no picture has such boxes alone.
    if np.isfinite(boxes).all() and (boxes >= 0).all() and (boxes <= 1).all() and min(width, height) > 1:
        with_area = np.flatnonzero((boxes[:, :2] < boxes[:, 2:]).all(axis=1))
        if len(with_area):
            what = f"has boxes in shares of the picture, {width} x {height}, where pixels are meant"
            boxes = boxes * whole
            found("box_units", what, int(with_area[0]), boxes[with_area[0]])
    kept: dict[tuple[float, ...], None] = {}  # label and corners
    for number, (box, label) in enumerate(zip(boxes, labels.tolist(), strict=True)):
        if not np.isfinite(box).all():
            found("annotation_unreadable", "has a box that is no numbers", number)
            continue
        if not 0 <= label < len(classes or ()):
            found("label_unknown", f"has a box with the label {label}, which is no class", number, box)
            continue
        if box[0] > box[2] or box[1] > box[3]:
            found("box_reversed", "has a box whose corners are swapped", number, box)
            box = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])])
        if (box[:2] == box[2:]).any():
            found("box_empty", "has a box without area", number, box)
            continue
        clipped = np.clip(box, 0, whole)
        nothing = bool((clipped[:2] >= clipped[2:]).any())
        if np.abs(clipped - box).max() > OVERHANG or nothing:
            found("box_outside", f"has a box outside the picture, {width} x {height},", number, box)
        if nothing:
            continue
        if (key := (label, *clipped.tolist())) in kept:
            found("box_duplicate", "has a box twice", number, box)
            continue
        kept[key] = None
    checked.boxes = np.array([corners for _, *corners in kept], np.float32).reshape(-1, 4)
    checked.box_labels = np.array([label for label, *_ in kept], np.int64)


def _mask(checked: Checked, classes: tuple[str, ...] | None, max_pixels: int) -> None:
    scene = checked.scene
    if scene.mask is None:
        return
    file: Path | str = named(scene)
    if isinstance(scene.mask, np.ndarray):
        mask = scene.mask
    else:
        file = scene.mask
        try:
            image = open_picture(read_file(scene.mask), max_pixels)
        except FileNotFoundError:
            checked.faults.append(Fault("annotation_missing", file, "is not there"))
            return
        except (OSError, UnreadablePictureError) as error:
            checked.faults.append(Fault("annotation_unreadable", file, f"cannot be read as a mask ({error})"))
            return
        if image.mode not in ("1", "L", "P"):
            what = f"has mode {image.mode} where a mask has one channel of 8 bits"
            checked.faults.append(Fault("annotation_unreadable", file, what))
            return
        mask = np.asarray(image).astype(np.uint8)
    if checked.stored is not None and mask.shape == checked.stored[0][::-1]:
        mask = np.asarray(Image.fromarray(mask).transpose(TURNS[checked.stored[1]]))
    if mask.shape != checked.size[::-1]:
        wrong = f"{mask.shape[1]} x {mask.shape[0]}" if mask.ndim == 2 else f"shape {mask.shape}"
        what = f"is a mask of {wrong} pixels on a picture displayed with {checked.size[0]} x {checked.size[1]}"
        checked.faults.append(Fault("mask_size", file, what))
        return
    numbers = scene.mask_map if scene.mask_map is not None else {value: value for value in range(len(classes or ()))}
    table = np.full(256, -1, np.int16)
    table[VOID] = VOID
    for value, number in numbers.items():
        table[value] = number if number == VOID or 0 <= number < len(classes or ()) else -1
    mapped = table[mask]
    if (mapped < 0).any():
        values = np.unique(mask[mapped < 0]).tolist()
        shown = ", ".join(map(str, values[:5])) + (" and more" if len(values) > 5 else "")
        checked.faults.append(Fault("mask_value", file, f"is a mask with the value {shown}, which is no class"))
        mapped[mapped < 0] = VOID
    checked.mask = mapped.astype(np.uint8)
