"""Source to dataset: every scene is read once, checked, made plain and written; then duplicates go and splits come.

What can be wrong is listed in `faults.KINDS`, and what is done about it in conf/faults: `fail`, `skip` or `fix`. The
user's own files are never changed.
What is written is noted in a journal, so that a killed `prepare` goes on.
"""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from frostline.checking.scene import array_hash, check, png, policies
from frostline.checking.whole import Examined, Finding, Record, examine
from frostline.code import DATASET, code_hash
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.parallel import in_threads
from frostline.pictures.reading import MAX_PIXELS
from frostline.scenes.dataset import FORMAT, Dataset, replacing
from frostline.scenes.scene import SPLITS, Classes, Scene, Source
from frostline.scenes.splits import Split
from frostline.sources.grouped import Grouped

SHOWN = 3  # faults told in the sentence that refuses a dataset
JOURNAL = "journal.jsonl"  # in a dataset half made: a line for each scene that is written


def prepare(
    source: Source,
    out: str | Path,
    *,
    name: str,
    split: Split | Mapping[str, Any] | None = None,
    on_fault: str = "fail",
    faults: Mapping[str, str | None] | None = None,
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    remember: bool = True,
) -> Dataset:
    """Write the source's scenes to the folder `out` as a dataset and open it.

    split: a `Split` or its fields. faults: the policy of kinds of faults; on_fault: of those that it does not name.
    max_pixels: width x height beyond which a picture is faulty. workers: threads, by default one per core.
    `out` appears complete or not at all; a killed call goes on where it was. Another prepared dataset in that place is
    replaced, anything else there is an error.
    remember: a note beside `out` tells what it was made of: where contents, settings and the code that decides are the
    same, it is opened as it is. Without, it is always made anew and no note is left, for whoever compares by itself
    (DVC, which hashes all that lies beside). The dataset holds nothing of the note: equal scenes give equal files.
    Raises FrostlineError for a fault whose policy is `fail`, and for a dataset without scenes.
    """
    out = Path(out).absolute()
    split = split if isinstance(split, Split) else Split(**(split or {}))
    policy = policies(on_fault, faults or {})
    if out.exists() and not (out / "dataset.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FrostlineError(f"{out} exists and is no prepared dataset: choose another place or clear it away.")
    settings = {
        "format": FORMAT,
        "name": name,
        "classes": asdict(source.classes),
        "derived": dict(getattr(source, "derived", {})),
        "split": asdict(split),
        "policies": policy,
        "max_pixels": max_pixels,
        "code": code_hash(*DATASET),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    note = out.with_name(f".{out.name}.made-of")
    with FileLock(out.with_name(f".{out.name}.lock")):
        if remember and note.is_file() and (existing := _opened(out)) is not None:
            known = getattr(source, "fingerprint", None)
            fingerprints = [known] if known else in_threads(fingerprint_of, source.scenes(), workers)
            if note.read_text() == made_of(settings, fingerprints):
                return existing
        partial, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
        with replacing(out):  # told before the work, too
            pass
        fingerprints = _write(source, partial, settings, split, policy, workers)
        with replacing(out):
            note.unlink(missing_ok=True)  # before: it never stands beside another dataset than its own
            shutil.rmtree(old, ignore_errors=True)  # of a call killed right here
            if out.exists():
                out.rename(old)
            partial.rename(out)
            shutil.rmtree(old, ignore_errors=True)
            if remember:
                write_whole(note, made_of(settings, fingerprints))
    return Dataset.open(out)


def prepare_from_config(config: Any, out: str | Path, workers: int | None = None, remember: bool = True) -> Dataset:
    """Prepare what a file of conf/dataset says: keys name, source (with `_target_`), split, group, on_fault, faults.

    workers, remember: as `prepare` takes them.
    Raises FrostlineError as `prepare` and the sources do, and where a mandatory key (root) is not set.
    """
    source, plain = source_from_config(config)
    options = {key: plain[key] for key in ("split", "on_fault", "faults") if key in plain}
    return prepare(source, out, name=plain["name"], workers=workers, remember=remember, **options)


def source_from_config(config: Any) -> tuple[Source, dict[str, Any]]:
    """The source that a file of conf/dataset names, grouped as it says, and the file's content, resolved.

    Raises FrostlineError.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        plain = OmegaConf.to_container(OmegaConf.create(config), resolve=True, throw_on_missing=True)
        assert isinstance(plain, dict)
        source = instantiate(plain["source"])
        if plain.get("group") is not None:
            source = Grouped(source, plain["group"])
        return source, {str(key): value for key, value in plain.items()}
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


def _opened(out: Path) -> Dataset | None:
    try:
        return Dataset.open(out)
    except FrostlineError:  # of another format, or damaged
        return None


def _write(
    source: Source, folder: Path, settings: dict[str, Any], split: Split, policy: Mapping[str, str], workers: int | None
) -> list[str]:
    """Make the dataset in a folder of its own, and return the fingerprints of what it is made of."""
    name = settings["name"]
    written = _resume(folder, [settings[key] for key in ("classes", "max_pixels", "code")])
    with open(folder / JOURNAL, "a", encoding="utf-8") as journal:

        def work(scene: Scene) -> Record:
            known = written.get(scene.id)
            fingerprint = fingerprint_of(scene)
            if known is not None and known.fingerprint == fingerprint:
                return known
            return _store(scene, fingerprint, source.classes, folder, settings["max_pixels"])

        records = []
        scenes = in_threads(work, source.scenes(), workers)
        for record in tqdm(scenes, desc=f"prepare {name}", unit=" pictures", disable=None):
            records.append(record)
            if record is not written.get(record.id):
                journal.write(record.to_json() + "\n")
    try:
        _check_ids(name, records)
        examined = examine(records, source.classes, split, policy, getattr(source, "derived", ()))
        _refuse(name, examined)
        if not split.given and (given := sorted({record.given for record in records if record.given is not None})):
            print(
                f"frostline: dataset '{name}' is split anew, and its own {' and '.join(given)} are not kept: "
                "dataset.split.given=true keeps them.",
                file=sys.stderr,
            )
        _finish(folder, source, settings, examined)
        for finding in examined.findings:
            if finding.done == "let be":
                print(f"frostline: dataset '{name}': {finding.fault}.", file=sys.stderr)
    except FrostlineError:
        shutil.rmtree(folder)
        raise
    known = getattr(source, "fingerprint", None)
    return [known] if known else [record.fingerprint for record in records]


def _check_ids(name: str, records: list[Record]) -> None:
    if not records:
        raise FrostlineError(f"dataset '{name}' has no scenes: check that its source points at pictures.")
    ids = Counter(record.id.casefold() for record in records)
    if repeated := [record.id for record in records if ids[record.id.casefold()] > 1]:
        raise FrostlineError(f"the source of dataset '{name}' gives the id '{repeated[0]}' twice: make ids distinct.")


def _resume(folder: Path, decisive: list[Any]) -> dict[str, Record]:
    """What a killed process has written to a folder, by scene; the folder is there afterwards, and empty otherwise."""
    head = json.dumps(decisive)
    written: dict[str, Record] = {}
    try:
        first, *lines = (folder / JOURNAL).read_text(encoding="utf-8").split("\n")
        if first == head:
            for line in lines[:-1]:  # what follows the last line break is a line half written
                record = Record.from_json(line)
                if all((folder / file).is_file() for file in record.files):
                    written[record.id] = record
    except (OSError, ValueError, KeyError, TypeError):
        written = {}
    if not written:
        shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    with open(folder / f"{JOURNAL}.new", "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (head, *(record.to_json() for record in written.values())))
    (folder / f"{JOURNAL}.new").replace(folder / JOURNAL)
    return written


def _store(scene: Scene, fingerprint: str, classes: Classes, folder: Path, max_pixels: int) -> Record:
    """Check a scene and write its picture and mask."""
    checked = check(scene, classes, max_pixels)
    record = Record.of(checked, fingerprint)
    if not checked.picture:
        return record
    writing = {f"images/{scene.id}{checked.suffix}": checked.picture}
    record.picture = next(iter(writing))
    if checked.mask is not None:
        record.mask = f"masks/{scene.id}.png"
        writing[record.mask] = png(Image.fromarray(checked.mask))
    for file, data in writing.items():
        (folder / file).write_bytes(data)
        record.files[file] = sha256(data).hexdigest()
    return record


def _refuse(name: str, examined: Examined) -> None:
    failing = [finding for finding in examined.findings if finding.policy == "fail"]
    if not failing:
        return
    shown = "; ".join(str(finding.fault) for finding in failing[:SHOWN])
    more = f"; and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
    # Nothing can be trained with an empty split, whatever anybody says.
    kinds = [*dict.fromkeys(finding.fault.kind for finding in failing if finding.fault.kind != "split_empty")]
    advice = "mend them (`frostline doctor` shows all)"
    if kinds:
        advice += ", or let them be skipped or fixed, as in dataset.on_fault=skip or "
        advice += f"dataset.faults.{kinds[0]}=skip ({', '.join(kinds)})"
    raise FrostlineError(
        f"dataset '{name}' has {len(failing)} fault(s) in {examined.scenes} scene(s): {shown}{more}: {advice}."
    )


def _finish(folder: Path, source: Source, settings: dict[str, Any], examined: Examined) -> None:
    """Remove what is not used, and write the lists and dataset.json."""
    name, placed = settings["name"], examined.placed
    used = {file for scenes in placed.values() for scene in scenes for file in scene.files}
    for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:
        if path.relative_to(folder).as_posix() not in used:
            path.unlink()
    files = {file: digest for scenes in placed.values() for scene in scenes for file, digest in scene.files.items()}
    for where in SPLITS:
        coco = _utf8(
            json.dumps(_coco(placed[where], source.classes, name, where), separators=(",", ":"), ensure_ascii=False)
        )
        (folder / f"{where}.json").write_bytes(coco)
        files[f"{where}.json"] = sha256(coco).hexdigest()
    info = {
        "format": FORMAT,
        "name": name,
        "data_hash": _data_hash(placed, source.classes),
        "classes": asdict(source.classes),
        "split": settings["split"],
        "counts": {where: _counts(placed[where], source.classes) for where in SPLITS},
        "derived": settings["derived"],
        "found": {"scenes": examined.scenes, "kept": sum(map(len, placed.values()))}
        | dict(Counter(finding.done for finding in examined.findings)),
        "faults": [_told(finding) for finding in examined.findings],
        "files": dict(sorted(files.items())),
    }
    (folder / "dataset.json").write_bytes(_utf8(json.dumps(info, indent=1, ensure_ascii=False) + "\n"))
    (folder / JOURNAL).unlink()


def _utf8(text: str) -> bytes:
    """JSON as UTF-8; half a surrogate, as strangers' names may have it, becomes JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")


def _told(finding: Finding) -> dict[str, Any]:
    fault = finding.fault
    # No folders: the same dataset is described alike on every machine.
    what = fault.what.replace(str(fault.file), Path(fault.file).name)
    told = {"scene": finding.scene, "kind": fault.kind, "file": Path(fault.file).name, "what": what}
    return told | ({} if fault.line is None else {"line": fault.line}) | {"done": finding.done}


def _coco(scenes: list[Record], classes: Classes, name: str, split: str) -> dict[str, Any]:
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
        for (x0, y0, x1, y1), label in zip(scene.boxes, scene.box_labels, strict=True):
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


def _counts(scenes: list[Record], classes: Classes) -> dict[str, Any]:
    kinds = Counter(kind for scene in scenes for kind in scene.annotations)
    labels = Counter(scene.label for scene in scenes)
    boxes = Counter(label for scene in scenes if scene.box_labels is not None for label in scene.box_labels)
    return {
        "scenes": len(scenes),
        **{f"with_{kind}": kinds[kind] for kind in ("label", "boxes", "mask")},
        "labels": {name: labels[number] for number, name in enumerate(classes.labels or ())},
        "boxes": {name: boxes[number] for number, name in enumerate(classes.boxes or ())},
    }


def _data_hash(placed: Mapping[str, list[Record]], classes: Classes) -> str:
    scenes = sorted(
        json.dumps(
            [
                scene.id,
                split,
                scene.label,
                scene.boxes,
                scene.box_labels,
                scene.picture_hash,
                scene.mask_hash,
            ]
        )
        for split, found in placed.items()
        for scene in found
    )
    return sha256(json.dumps([asdict(classes), scenes]).encode()).hexdigest()


def made_of(settings: Mapping[str, Any], fingerprints: Iterable[str]) -> str:
    """One hash of what a dataset is made of, in whatever order, and how; no paths and no times, so a moved or touched
    source is still the same.
    """
    return sha256(json.dumps([settings, sorted(fingerprints)]).encode()).hexdigest()


def fingerprint_of(scene: Scene) -> str:
    """One hash over all that a source says of a scene, files read."""
    digest = sha256()
    for part in (scene.image, scene.mask, scene.boxes, scene.box_labels):
        if isinstance(part, np.ndarray):
            digest.update(array_hash(part).encode())
        elif isinstance(part, Path):
            digest.update(_content(part))
        else:
            digest.update(b"none")
    mapped = sorted((scene.mask_map or {}).items())
    faults = [fault.kind for fault in scene.faults]
    said = [scene.id, scene.label, scene.split, scene.group, mapped, faults, scene.size]
    digest.update(json.dumps(said, default=int).encode())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """A hash of a file's content; empty for one that cannot be read, which becomes a fault where it is decoded."""
    try:
        if os.path.isfile(path):  # a pipe would never end
            with path.open("rb") as file:
                return file_digest(file, "sha256").digest()
    except OSError:
        pass
    return b""
