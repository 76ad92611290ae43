"""Source to dataset: every scene is read once, checked, made plain and written; then duplicates go and splits come.

What can be wrong is listed in `faults.KINDS`, and what is done about it in conf/faults: `fail`, `skip` or `fix`. The
user's own files are never changed.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from frostline.checking import fingerprint
from frostline.checking.journal import Journal
from frostline.checking.record import Record
from frostline.checking.scene import Checked, check
from frostline.checking.white import FULL, White
from frostline.checking.whole import Examined, Finding, examine
from frostline.code import DATASET, code_hash
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.parallel import in_threads
from frostline.pictures.reading import MAX_PIXELS
from frostline.pictures.writing import png
from frostline.scenes.dataset import Dataset, unread
from frostline.scenes.faults import policies
from frostline.scenes.layout import FORMAT, INFO, write_info, write_scenes
from frostline.scenes.scene import SPLITS, Classes, Scene
from frostline.scenes.splits import Split
from frostline.sources.base import Source
from frostline.sources.configured import configured

SHOWN = 3  # faults in the sentence that refuses a dataset


@dataclass(frozen=True)
class Settings:
    """How a source becomes a dataset. policies: of each kind of fault. max_pixels: beyond, a picture is faulty. white:
    of pictures of 16 bits, where somebody says so.
    """

    name: str
    split: Split
    policies: Mapping[str, str]
    max_pixels: int
    white: int | None = None


def prepare(
    source: Source,
    out: str | Path,
    *,
    name: str,
    split: Split | Mapping[str, Any] | None = None,
    on_fault: str = "fail",
    faults: Mapping[str, str | None] | None = None,
    max_pixels: int = MAX_PIXELS,
    white: White = FULL,
    workers: int | None = None,
    remember: bool = True,
) -> Dataset:
    """Write the source's scenes to the folder `out` as a dataset and open it.

    split: a `Split` or its fields. faults: the policy of kinds of faults; on_fault: of those that it does not name.
    max_pixels: width x height beyond which a picture is faulty. white: of pictures of 16 bits. workers: threads, by
    default one per core.
    `out` appears complete or not at all; a killed call goes on where it was. Another prepared dataset in that place is
    replaced, anything else there is an error.
    remember: a note beside `out` tells what it was made of: where contents, settings and the code that decides are the
    same, it is opened as it is. Without, it is always made anew and no note is left, for whoever compares by itself
    (DVC, which hashes all that lies beside). The dataset holds nothing of the note: equal scenes give equal files.
    Raises FrostlineError for a fault whose policy is `fail`, and for a dataset without scenes.
    """
    out = Path(out).absolute()
    split = split if isinstance(split, Split) else Split(**(split or {}))
    settings = Settings(name, split, policies(on_fault, faults or {}), max_pixels, white.given)
    if out.exists() and not (out / INFO).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FrostlineError(f"{out} exists and is no prepared dataset: choose another place or clear it away.")
    out.parent.mkdir(parents=True, exist_ok=True)
    note, partial, old = (out.with_name(f".{out.name}.{what}") for what in ("made-of", "partial", "old"))
    with FileLock(out.with_name(f".{out.name}.lock")):
        if remember and note.is_file() and (existing := _opened(out)) is not None:
            known = source.fingerprint
            fingerprints = [known] if known else in_threads(fingerprint.of_scene, source.scenes(), workers)
            if note.read_text() == made_of(source, settings, fingerprints):
                return existing
        with unread(out):  # told before the work, too
            pass
        fingerprints = _make(source, partial, settings, white, workers)
        with unread(out):
            note.unlink(missing_ok=True)  # before: it never stands beside another dataset than its own
            shutil.rmtree(old, ignore_errors=True)  # of a call killed right here
            if out.exists():
                out.rename(old)
            partial.rename(out)
            shutil.rmtree(old, ignore_errors=True)
            if remember:
                write_whole(note, made_of(source, settings, fingerprints))
    return Dataset.open(out)


def prepare_from_config(config: Any, out: str | Path, workers: int | None = None, remember: bool = True) -> Dataset:
    """Prepare what a file of conf/dataset says: keys name, source (with `_target_`), split, group, on_fault, faults.

    workers, remember: as `prepare` takes them.
    Raises FrostlineError as `prepare` and the sources do, and where a mandatory key (root) is not set.
    """
    source, plain = configured(config)
    options = {key: plain[key] for key in ("split", "on_fault", "faults", "max_pixels") if key in plain}
    white = White(plain.get("white"), plain.get("root"))
    return prepare(source, out, name=plain["name"], white=white, workers=workers, remember=remember, **options)


def made_of(source: Source, settings: Settings, fingerprints: Iterable[str]) -> str:
    """One hash of what a dataset is made of, in whatever order its scenes come, and how.

    No paths and no times, so a source that was moved or touched is still the same.
    """
    how = [FORMAT, asdict(source.classes), dict(source.derived), asdict(settings), code_hash(*DATASET)]
    return sha256(json.dumps([how, sorted(fingerprints)]).encode()).hexdigest()


def _opened(out: Path) -> Dataset | None:
    try:
        return Dataset.open(out)
    except FrostlineError:  # of another format, or damaged
        return None


def _make(source: Source, folder: Path, settings: Settings, white: White, workers: int | None) -> list[str]:
    """Make the dataset in a folder of its own, and return the fingerprints of what it is made of."""
    journal = Journal(folder, [asdict(source.classes), settings.max_pixels, white.given, code_hash(*DATASET)])

    def work(scene: Scene) -> Record:
        known = journal.known.get(scene.id)
        now = fingerprint.of_scene(scene)
        if known is not None and known.fingerprint == now:
            return known
        record = _written(check(scene, source.classes, settings.max_pixels, white), folder)
        record.fingerprint = now
        return record

    records = []
    with journal:
        scenes = in_threads(work, source.scenes(), workers)
        for record in tqdm(scenes, desc=f"prepare {settings.name}", unit=" pictures", disable=None):
            records.append(record)
            journal.add(record)
    try:
        _check_ids(settings.name, records)
        examined = examine(records, source.classes, settings.split, settings.policies, source.derived)
        _refuse(settings.name, examined)
    except FrostlineError:
        shutil.rmtree(folder)
        raise
    _write_lists(folder, source, settings, examined)
    journal.remove()
    _warn(settings, records, examined)
    return [source.fingerprint] if source.fingerprint else [record.fingerprint for record in records]


def _written(checked: Checked, folder: Path) -> Record:
    """What is known of a scene, once its picture and mask are written."""
    record = checked.record
    if not checked.picture:
        return record
    record.picture = f"images/{record.id}{checked.suffix}"
    files = {record.picture: checked.picture}
    if checked.mask is not None:
        record.mask = f"masks/{record.id}.png"
        files[record.mask] = png(checked.mask)
    for file, content in files.items():
        (folder / file).write_bytes(content)
        record.files[file] = sha256(content).hexdigest()
    return record


def _check_ids(name: str, records: list[Record]) -> None:
    if not records:
        raise FrostlineError(f"dataset '{name}' has no scenes: check that its source points at pictures.")
    ids = Counter(record.id.casefold() for record in records)
    if repeated := [record.id for record in records if ids[record.id.casefold()] > 1]:
        raise FrostlineError(f"the source of dataset '{name}' gives the id '{repeated[0]}' twice: make ids distinct.")


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


def _warn(settings: Settings, records: list[Record], examined: Examined) -> None:
    """Say what the dataset lacks or lost, though nobody has to do anything about it."""
    for note in examined.notes:
        print(f"frostline: dataset '{settings.name}': {note}.", file=sys.stderr)
    if not settings.split.given and (given := sorted({record.given for record in records if record.given is not None})):
        print(
            f"frostline: dataset '{settings.name}' is split anew, and its own {' and '.join(given)} are not kept: "
            "dataset.split.given=true keeps them.",
            file=sys.stderr,
        )
    for finding in examined.findings:
        if finding.done == "let be":
            print(f"frostline: dataset '{settings.name}': {finding.fault}.", file=sys.stderr)


def _write_lists(folder: Path, source: Source, settings: Settings, examined: Examined) -> None:
    """Write the list of each split and dataset.json, and remove the files that are in none."""
    classes, placed = source.classes, examined.placed
    files = {file: digest for scenes in placed.values() for scene in scenes for file, digest in scene.files.items()}
    for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for split in SPLITS:
        scenes = (record.scene(folder) for record in placed[split])
        files[f"{split}.json"] = write_scenes(folder, split, scenes, classes, settings.name)
    info: dict[str, Any] = {
        "name": settings.name,
        "data_hash": _data_hash(placed, classes),
        "classes": asdict(classes),
        "split": asdict(settings.split),
        "counts": {split: _counts(placed[split], classes) for split in SPLITS},
        "derived": dict(source.derived),
        "found": {"scenes": examined.scenes, "kept": sum(map(len, placed.values()))}
        | dict(Counter(finding.done for finding in examined.findings)),
        "faults": [_as_json(finding) for finding in examined.findings],
        "files": dict(sorted(files.items())),
    }
    if examined.white is not None:  # whoever predicts later reads pictures likewise
        info["white"] = examined.white
    write_info(folder, info)


def _as_json(finding: Finding) -> dict[str, Any]:
    """A finding without folders: the same dataset is described alike on every machine."""
    fault = finding.fault
    what = fault.what.replace(str(fault.file), Path(fault.file).name)
    found = {"scene": finding.scene, "kind": fault.kind, "file": Path(fault.file).name, "what": what}
    return found | ({} if fault.line is None else {"line": fault.line}) | {"done": finding.done}


def _counts(scenes: list[Record], classes: Classes) -> dict[str, Any]:
    kinds = Counter(kind for scene in scenes for kind in scene.annotations)
    labels = Counter(scene.label for scene in scenes)
    boxes = Counter(label for scene in scenes for label in scene.box_labels or [])
    return {
        "scenes": len(scenes),
        **{f"with_{kind}": kinds[kind] for kind in ("label", "boxes", "mask")},
        "labels": {name: labels[number] for number, name in enumerate(classes.labels or ())},
        "boxes": {name: boxes[number] for number, name in enumerate(classes.boxes or ())},
    }


def _data_hash(placed: Mapping[str, list[Record]], classes: Classes) -> str:
    """One hash of what the dataset holds, in whatever form its pictures are stored."""
    scenes = sorted(
        json.dumps([scene.id, split, scene.label, scene.boxes, scene.box_labels, scene.picture_hash, scene.mask_hash])
        for split, found in placed.items()
        for scene in found
    )
    return sha256(json.dumps([asdict(classes), scenes]).encode()).hexdigest()
