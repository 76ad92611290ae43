"""Source to dataset: every scene is read once, checked, made plain and written; then duplicates go and splits come.

What is refused, and what is mended:
  refused (`on_fault="refuse"`; "skip" leaves the scene out and counts it)
    a picture that cannot be decoded completely or is too large; a label or box label without a class; a box reversed,
    of no area, not finite or more than a pixel outside the picture; a mask of another size than the displayed picture
    or with a value that is no class; an annotation file that the source could not read
  mended (and listed in dataset.json)
    anything but a plain RGB or grey JPEG or PNG becomes a plain PNG; a box up to a pixel outside is clipped; identical
    pictures are kept once, the first by id, and if their labels differ not at all

Threads, not processes, share the work: PIL and hashlib let go of the interpreter's lock, and threads need no
copies of pictures that a source draws.
"""

import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from frostline.data.dataset import FORMAT, Dataset
from frostline.data.pictures import MAX_PIXELS, UnreadablePictureError, open_picture, plain_picture
from frostline.data.scenes import SPLITS, VOID, Classes, Scene, Source
from frostline.data.splits import Split, Splittable, assign, check_classes
from frostline.errors import FrostlineError

OVERHANG = 1.0  # pixels by which a box may stick out and be clipped: rounding, and formats that count pixels from 1
SHOWN = 3  # faults told in the sentence that refuses a dataset

_T = TypeVar("_T")
_R = TypeVar("_R")


class _FaultError(Exception):
    """What is wrong with a scene; the message names the file."""


@dataclass
class _Stored:
    """A scene as it was written, or, with `fault`, why it was not."""

    id: str
    file: str
    fingerprint: str
    fault: str | None = None
    mended: list[str] = field(default_factory=list)
    label: int | None = None
    boxes: np.ndarray | None = None
    box_labels: np.ndarray | None = None
    given: str | None = None
    picture: str = ""
    mask: str | None = None
    width: int = 0
    height: int = 0
    picture_hash: str = ""
    mask_hash: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> tuple[str, ...]:
        present = {"label": self.label, "boxes": self.boxes, "mask": self.mask}
        return tuple(kind for kind, value in present.items() if value is not None)


def prepare(
    source: Source,
    out: str | Path,
    *,
    name: str,
    split: Split | Mapping[str, Any] | None = None,
    on_fault: Literal["refuse", "skip"] = "refuse",
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
) -> Dataset:
    """Write the source's scenes to the folder `out` as a dataset and open it.

    split: a `Split` or its fields. max_pixels: width x height beyond which a picture is faulty. workers: threads, by
    default one per core. `out` appears complete or not at all; one made from the same contents with the same settings
    is opened as it is, another prepared dataset is replaced, anything else in that place is an error.
    Raises FrostlineError for a faulty scene (unless skipped), a dataset without scenes, a class too small to split.
    """
    out = Path(out).absolute()
    workers = workers or os.cpu_count() or 1
    split = split if isinstance(split, Split) else Split(**(split or {}))
    if on_fault not in ("refuse", "skip"):
        raise FrostlineError(f"dataset.on_fault is '{on_fault}': set it to refuse or skip.")
    if out.exists() and not (out / "dataset.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FrostlineError(f"{out} exists and is no prepared dataset: choose another place or clear it away.")
    settings = {
        "format": FORMAT,
        "name": name,
        "classes": asdict(source.classes),
        "split": asdict(split),
        "on_fault": on_fault,
        "max_pixels": max_pixels,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock")):
        if (existing := _opened(out)) is not None:
            known = getattr(source, "fingerprint", None)
            fingerprints = [known] if known else _in_parallel(_fingerprint, source.scenes(), workers)
            if existing.info["request"] == _request(settings, fingerprints):
                return existing
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed: the lock says it is gone
        try:
            _write(source, partial, settings, name, split, on_fault, max_pixels, workers)
            if out.exists():
                old = out.with_name(f".{out.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                out.rename(old)
                partial.rename(out)
                shutil.rmtree(old)
            else:
                partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Dataset.open(out)


def prepare_from_config(config: Any, out: str | Path, workers: int | None = None) -> Dataset:
    """Prepare what a file of conf/dataset says: keys name, source (with `_target_`), split, on_fault.

    Raises FrostlineError as `prepare` and the sources do, and where a mandatory key (root) is not set.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        plain = OmegaConf.to_container(OmegaConf.create(config), resolve=True, throw_on_missing=True)
        assert isinstance(plain, dict)
        source = instantiate(plain["source"])
    except MissingMandatoryValue as error:
        raise FrostlineError(
            f"dataset '{config.get('name')}' needs dataset.{error.full_key or 'root'}: set it, as in dataset.root=PATH."
        ) from None
    except InstantiationException as error:
        if isinstance(error.__cause__, FrostlineError):
            raise error.__cause__ from None
        raise FrostlineError(
            f"dataset '{config.get('name')}' cannot be read as it is configured ({error.__cause__ or error}): "
            "look at the values of its keys."
        ) from error
    options = {key: plain[key] for key in ("split", "on_fault") if key in plain}
    return prepare(source, out, name=plain["name"], workers=workers, **options)


def _opened(out: Path) -> Dataset | None:
    try:
        return Dataset.open(out)
    except FrostlineError:  # of another format, or damaged
        return None


def _write(
    source: Source,
    folder: Path,
    settings: dict[str, Any],
    name: str,
    split: Split,
    on_fault: str,
    max_pixels: int,
    workers: int,
) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()

    def work(scene: Scene) -> _Stored:
        return _store(scene, source.classes, folder, max_pixels)

    progress = tqdm(
        _in_parallel(work, source.scenes(), workers), desc=f"prepare {name}", unit=" pictures", disable=None
    )
    stored = sorted(progress, key=lambda scene: scene.id)
    if not stored:
        raise FrostlineError(f"dataset '{name}' has no scenes: check that its source points at pictures.")
    ids = Counter(scene.id.casefold() for scene in stored)
    if repeated := [scene.id for scene in stored if ids[scene.id.casefold()] > 1]:
        raise FrostlineError(f"the source of dataset '{name}' gives the id '{repeated[0]}' twice: make ids distinct.")

    findings: list[dict[str, str]] = []
    faulty = [scene for scene in stored if scene.fault is not None]
    if faulty and on_fault == "refuse":
        shown = "; ".join(str(scene.fault) for scene in faulty[:SHOWN])
        more = f"; and {len(faulty) - SHOWN} more" if len(faulty) > SHOWN else ""
        raise FrostlineError(
            f"dataset '{name}' has {len(faulty)} faulty scene(s) out of {len(stored)}: {shown}{more}: "
            f"mend them, or set dataset.on_fault=skip to leave them out."
        )
    for scene in stored:
        findings += [_finding(scene, what, "left out") for what in [scene.fault] if what is not None]
        findings += [_finding(scene, what, "mended") for what in scene.mended if scene.fault is None]

    kept, duplicates = _deduplicated([scene for scene in stored if scene.fault is None])
    findings += duplicates
    splittable = [
        Splittable(scene.picture_hash, scene.label, scene.annotations, scene.given if split.given else None)
        for scene in kept
    ]
    splits = assign(splittable, split)
    check_classes(splittable, splits, source.classes.labels or (), split.given)
    findings += [
        _finding(scene, "the source gives no split", "left out")
        for scene, where in zip(kept, splits, strict=True)
        if where is None
    ]
    placed = {where: [scene for scene, found in zip(kept, splits, strict=True) if found == where] for where in SPLITS}
    if empty := [where for where in SPLITS if not placed[where]]:
        raise FrostlineError(
            f"dataset '{name}' has {len(kept)} usable scene(s), none of them for the split '{empty[0]}': add pictures."
        )

    used = {file for scenes in placed.values() for scene in scenes for file in scene.files}
    for scene in stored:
        for file in set(scene.files) - used:
            (folder / file).unlink()
    files = {file: digest for scenes in placed.values() for scene in scenes for file, digest in scene.files.items()}
    for where in SPLITS:
        coco = json.dumps(_coco(placed[where], source.classes, name, where), separators=(",", ":"), ensure_ascii=False)
        (folder / f"{where}.json").write_text(coco, encoding="utf-8")
        files[f"{where}.json"] = sha256(coco.encode()).hexdigest()
    known = getattr(source, "fingerprint", None)
    info = {
        "format": FORMAT,
        "name": name,
        "data_hash": _data_hash(placed, source.classes),
        "request": _request(settings, [known] if known else (scene.fingerprint for scene in stored)),
        "classes": asdict(source.classes),
        "split": asdict(split),
        "counts": {where: _counts(placed[where], source.classes) for where in SPLITS},
        "derived": dict(getattr(source, "derived", {})),
        "found": {"scenes": len(stored), "kept": sum(map(len, placed.values()))}
        | dict(Counter(finding["done"] for finding in findings)),
        "faults": sorted(findings, key=lambda finding: (finding["scene"], finding["what"])),
        "files": dict(sorted(files.items())),
    }
    (folder / "dataset.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _store(scene: Scene, classes: Classes, folder: Path, max_pixels: int) -> _Stored:
    stored = _Stored(scene.id, _named(scene), _fingerprint(scene), given=scene.split)
    try:
        if scene.fault is not None:
            raise _FaultError(scene.fault)
        contents = _picture(scene, stored, max_pixels)
        mask = _mask(scene, stored, classes.masks)
        _label(scene, stored, classes.labels)
        _boxes(scene, stored, classes.boxes)
    except _FaultError as fault:
        stored.fault = str(fault)
        return stored
    writing = {stored.picture: contents}
    if mask is not None:
        stored.mask = f"masks/{scene.id}.png"
        writing[stored.mask] = _png(Image.fromarray(mask))
    for file, data in writing.items():
        (folder / file).write_bytes(data)
        stored.files[file] = sha256(data).hexdigest()
    return stored


def _picture(scene: Scene, stored: _Stored, max_pixels: int) -> bytes:
    """Check the picture, note size and hash, and give the bytes to write."""
    if isinstance(scene.image, np.ndarray):
        image, reason, data, lossy = Image.fromarray(scene.image), None, b"", False
    else:
        try:
            data = scene.image.read_bytes()
            image = open_picture(data, max_pixels)
            lossy = image.format in ("JPEG", "MPO", "WEBP")
            image, reason = plain_picture(image)
        except OSError as error:
            raise _FaultError(f"{scene.image} cannot be read ({error.strerror})") from error
        except UnreadablePictureError as error:
            raise _FaultError(f"{scene.image} {error}") from error
    stored.width, stored.height = image.size
    # The bytes of a PNG depend on who compressed it, its pixels do not; with a lossy format it is the other way round.
    stored.picture_hash = sha256(data).hexdigest() if lossy else _array_hash(np.asarray(image))
    if reason is not None:
        stored.mended.append(f"{reason}: stored as plain PNG")
    stored.picture = f"images/{scene.id}.{'jpg' if lossy and reason is None else 'png'}"
    return data if data and reason is None else _png(image)


def _mask(scene: Scene, stored: _Stored, classes: tuple[str, ...] | None) -> np.ndarray | None:
    """The mask as (height, width) uint8 class numbers, checked against the displayed picture and the classes."""
    if scene.mask is None:
        return None
    where = stored.file
    if isinstance(scene.mask, np.ndarray):
        mask = scene.mask
    else:
        where = str(scene.mask)
        try:
            image = open_picture(scene.mask.read_bytes())
        except OSError as error:
            raise _FaultError(f"{where} cannot be read ({error.strerror})") from error
        except UnreadablePictureError as error:
            raise _FaultError(f"{where} {error}") from error
        if image.mode not in ("1", "L", "P"):
            raise _FaultError(f"{where} has mode {image.mode} where a mask has one channel of 8 bits")
        mask = np.asarray(image).astype(np.uint8)
    if mask.shape != (stored.height, stored.width):
        raise _FaultError(
            f"{where} is a mask of {mask.shape[1]} x {mask.shape[0]} pixels "
            f"on a picture displayed with {stored.width} x {stored.height}"
        )
    numbers = scene.mask_map if scene.mask_map is not None else {value: value for value in range(len(classes or ()))}
    table = np.full(256, -1, np.int16)
    table[VOID] = VOID
    for value, number in numbers.items():
        table[value] = number if number == VOID or 0 <= number < len(classes or ()) else -1
    mapped = table[mask]
    if (mapped < 0).any():
        raise _FaultError(f"{where} is a mask with the value {mask[mapped < 0].min()}, which is no class")
    result: np.ndarray = mapped.astype(np.uint8)
    stored.mask_hash = _array_hash(result)
    return result


def _label(scene: Scene, stored: _Stored, classes: tuple[str, ...] | None) -> None:
    if scene.label is not None and not 0 <= scene.label < len(classes or ()):
        raise _FaultError(f"{stored.file} has the label {scene.label}, which is no class")
    stored.label = None if scene.label is None else int(scene.label)


def _boxes(scene: Scene, stored: _Stored, classes: tuple[str, ...] | None) -> None:
    if scene.boxes is None:
        return
    boxes = np.asarray(scene.boxes, np.float32).reshape(-1, 4)
    labels = np.asarray([] if scene.box_labels is None else scene.box_labels, np.int64)
    if len(labels) != len(boxes):
        raise _FaultError(f"{stored.file} has {len(boxes)} boxes and {len(labels)} box labels")
    for label in labels:
        if not 0 <= label < len(classes or ()):
            raise _FaultError(f"{stored.file} has a box with the label {label}, which is no class")
    size = np.array([stored.width, stored.height] * 2, np.float32)
    for box in boxes:
        corners = ", ".join(f"{value:g}" for value in box)
        if not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
            raise _FaultError(f"{stored.file} has a box without area ({corners})")
        if (box < -OVERHANG).any() or (box > size + OVERHANG).any():
            raise _FaultError(f"{stored.file}, {size[0]:g} x {size[1]:g}, has a box outside the picture ({corners})")
    clipped = np.clip(boxes, 0, size)
    if (clipped[:, :2] >= clipped[:, 2:]).any():
        raise _FaultError(f"{stored.file} has a box that lies outside the picture but for its edge")
    if (moved := int((clipped != boxes).any(axis=1).sum())) > 0:
        stored.mended.append(f"{moved} box(es) up to {OVERHANG:g} pixel outside: clipped")
    stored.boxes, stored.box_labels = clipped, labels


def _deduplicated(scenes: list[_Stored]) -> tuple[list[_Stored], list[dict[str, str]]]:
    """Of identical pictures the first by id, or none where their labels differ; and what was left out."""
    groups: dict[str, list[_Stored]] = {}
    for scene in scenes:
        groups.setdefault(scene.picture_hash, []).append(scene)
    kept, findings = [], []
    for group in groups.values():
        first, rest = group[0], group[1:]
        if len({scene.label for scene in group if scene.label is not None}) > 1:
            findings += [
                _finding(scene, f"identical to {other.id} but labelled otherwise", "left out as conflicting")
                for scene, other in [(first, rest[0]), *((scene, first) for scene in rest)]
            ]
        else:
            kept.append(first)
            findings += [_finding(scene, f"identical to {first.id}", "left out as duplicate") for scene in rest]
    return kept, findings


def _coco(scenes: list[_Stored], classes: Classes, name: str, split: str) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, start=1):
        images.append(
            {
                "id": number,
                "file_name": scene.picture,
                "width": scene.width,
                "height": scene.height,
                "scene": scene.id,
                "label": scene.label,
                "mask": scene.mask,
                "boxes_annotated": scene.boxes is not None,
            }
        )
        if scene.boxes is None or scene.box_labels is None:
            continue
        for (x0, y0, x1, y1), label in zip(scene.boxes.tolist(), scene.box_labels.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": f"{name}, {split}", "labels": classes.labels, "masks": classes.masks},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes.boxes or (), start=1)],
    }


def _counts(scenes: list[_Stored], classes: Classes) -> dict[str, Any]:
    kinds = Counter(kind for scene in scenes for kind in scene.annotations)
    labels = Counter(scene.label for scene in scenes)
    boxes = Counter(label for scene in scenes if scene.box_labels is not None for label in scene.box_labels.tolist())
    return {
        "scenes": len(scenes),
        **{f"with_{kind}": kinds[kind] for kind in ("label", "boxes", "mask")},
        "labels": {name: labels[number] for number, name in enumerate(classes.labels or ())},
        "boxes": {name: boxes[number] for number, name in enumerate(classes.boxes or ())},
    }


def _data_hash(placed: Mapping[str, list[_Stored]], classes: Classes) -> str:
    scenes = sorted(
        json.dumps(
            [
                scene.id,
                split,
                scene.label,
                None if scene.boxes is None else scene.boxes.tolist(),
                None if scene.box_labels is None else scene.box_labels.tolist(),
                scene.picture_hash,
                scene.mask_hash,
            ]
        )
        for split, found in placed.items()
        for scene in found
    )
    return sha256(json.dumps([asdict(classes), scenes]).encode()).hexdigest()


def _request(settings: dict[str, Any], fingerprints: Iterable[str]) -> str:
    """What the dataset was made of and how; no paths and no times, so a moved or touched source is still the same."""
    return sha256(json.dumps([settings, sorted(fingerprints)]).encode()).hexdigest()


def _fingerprint(scene: Scene) -> str:
    digest = sha256()
    for part in (scene.image, scene.mask, scene.boxes, scene.box_labels):
        if isinstance(part, np.ndarray):
            digest.update(_array_hash(part).encode())
        elif isinstance(part, Path):
            # What cannot be read becomes a fault where it is decoded.
            digest.update(sha256(part.read_bytes() if part.is_file() else b"").digest())
        else:
            digest.update(b"none")
    mapped = sorted((scene.mask_map or {}).items())
    fault = scene.fault is not None
    digest.update(json.dumps([scene.id, scene.label, scene.split, mapped, fault], default=int).encode())
    return digest.hexdigest()


def _array_hash(array: np.ndarray) -> str:
    digest = sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    # A fresh picture carries no colour profile, text or EXIF over; level 1 halves the time and costs little space.
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _named(scene: Scene) -> str:
    return scene.id if isinstance(scene.image, np.ndarray) else str(scene.image)


def _finding(scene: _Stored, what: str, done: str) -> dict[str, str]:
    file = Path(scene.file)
    # No folders: the same dataset is described alike on every machine.
    return {"scene": scene.id, "what": what.replace(str(file), file.name), "done": done}


def _in_parallel(work: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """`map` over threads that, unlike an executor's, takes from `items` only a little ahead, to bound memory."""
    pending: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
