"""Source to dataset: every scene is read once, checked, made plain and written; then duplicates go and splits come.

What can be wrong is listed in `faults.KINDS`, and what is done about it in conf/faults: `fail`, `skip` or `fix`. The
user's own files are never changed.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from frostline.checking.journal import Journal
from frostline.checking.note import MadeOf, Note
from frostline.checking.stores import PictureStore
from frostline.checking.twins import MODES
from frostline.checking.white import FULL, White
from frostline.checking.whole import Examined, examine
from frostline.checking.work import Asked, Work, done_by
from frostline.checking.write import write
from frostline.code import DATASET, code_hash
from frostline.errors import FrostlineError, check_choice
from frostline.pictures.reading import MAX_PIXELS
from frostline.scenes.dataset import Dataset, unread
from frostline.scenes.faults import KINDS, Fault, policies
from frostline.scenes.layout import FORMAT, INFO
from frostline.scenes.splits import Split
from frostline.sources.base import Source
from frostline.sources.configured import configured

SHOWN = 3  # faults in the sentence that refuses a dataset


@dataclass(frozen=True)
class Settings:
    """How a source becomes a dataset. policies: of each kind of fault. max_pixels: beyond, a picture is faulty. white:
    of pictures of 16 bits, where somebody says so. duplicates: what becomes of nearly identical ones, of `twins.MODES`.
    store: how it holds its pictures. for_training: as `examine` takes it.
    """

    name: str
    split: Split
    policies: Mapping[str, str]
    max_pixels: int
    white: int | None = None
    duplicates: str = "split"
    store: PictureStore = PictureStore()
    for_training: bool = True


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
    duplicates: str = "split",
    store: str = "copy",
    side: int | None = None,
    workers: int | None = None,
    remember: bool = True,
    for_training: bool = True,
) -> Dataset:
    """Write the source's scenes to the folder `out` as a dataset and open it.

    split: a `Split` or its fields. faults: the policy of kinds of faults; on_fault: of those that it does not name.
    max_pixels: width x height beyond which a picture is faulty. white: of pictures of 16 bits. duplicates: what becomes
    of nearly identical ones, as `examine` takes it. store, side: how pictures are held, as `PictureStore` takes them.
    workers: threads or, of many scenes, processes, by default one per core.
    `out` appears complete or not at all; a killed call goes on where it was. Another prepared dataset in that place is
    replaced, anything else there is an error. Memory does not grow with the pictures, and little with their number.
    remember: a note beside `out` tells what it was made of: where contents, settings and the code that decides are the
    same, it is opened as it is. Without, it is always made anew and no note is left, for whoever compares by itself
    (DVC, which hashes all that lies beside). The dataset holds nothing of the note: equal scenes give equal files.
    for_training: as `examine` takes it. What is there to be trained on is measured on as well, and not made once more.
    Raises FrostlineError for a fault whose policy is `fail`, and for a dataset without scenes.
    """
    out = Path(out).absolute()
    split = split if isinstance(split, Split) else Split(**(split or {}))
    policy, held = policies(on_fault, faults or {}), PictureStore(store, side)
    settings = Settings(name, split, policy, max_pixels, white.given, duplicates, held, for_training)
    check_choice("dataset.duplicates", duplicates, MODES)  # before pictures are read
    if out.exists() and not (out / INFO).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FrostlineError(f"{out} exists and is no prepared dataset: choose another place or clear it away.")
    out.parent.mkdir(parents=True, exist_ok=True)
    note, partial, old = (Note(out.with_name(f".{out.name}.made-of")), *_beside(out, "partial", "old"))
    how = decisive(source, settings)
    as_good = how if for_training else decisive(source, replace(settings, for_training=True))
    with FileLock(out.with_name(f".{out.name}.lock")):
        known = _opened(out) if remember and note.path.is_file() else None
        if known is not None and note.tells_same((how, as_good), source, workers, held.where(out)):
            return known
        with unread(out):  # told before the work, too
            pass
        made_of = _make(source, partial, settings, white, workers)
        with unread(out):
            note.path.unlink(missing_ok=True)  # before: it never stands beside another dataset than its own
            shutil.rmtree(old, ignore_errors=True)  # of a call killed right here
            if out.exists():
                out.rename(old)
            partial.rename(out)
            shutil.rmtree(old, ignore_errors=True)
            if remember:
                note.write(how, made_of)
    return Dataset.open(out)


def prepare_from_config(
    config: Any, out: str | Path, workers: int | None = None, remember: bool = True, for_training: bool = True
) -> Dataset:
    """Prepare what a file of conf/dataset says: keys name, source (with `_target_`), split, group, on_fault, faults.

    workers, remember, for_training: as `prepare` takes them.
    Raises FrostlineError as `prepare` and the sources do, and where a mandatory key (root) is not set.
    """
    source, plain = configured(config)
    keys = ("split", "on_fault", "faults", "max_pixels", "duplicates", "store", "side")
    options = {key: plain[key] for key in keys if key in plain}
    white = White(plain.get("white"), plain.get("root"))
    return prepare(
        source,
        out,
        name=plain["name"],
        white=white,
        workers=workers,
        remember=remember,
        for_training=for_training,
        **options,
    )


def decisive(source: Source, settings: Settings) -> str:
    """One hash of how a dataset is made, whatever it is made of."""
    how = [FORMAT, asdict(source.classes), dict(source.derived), asdict(settings), code_hash(*DATASET)]
    return sha256(json.dumps(how).encode()).hexdigest()


def _beside(out: Path, *endings: str) -> list[Path]:
    return [out.with_name(f".{out.name}.{ending}") for ending in endings]


def _opened(out: Path) -> Dataset | None:
    """The dataset there, if it is whole."""
    try:
        dataset = Dataset.open(out)
        # Names are counted and not compared: listing a folder is far cheaper than asking for every file.
        stored = {folder: sum(1 for _ in os.scandir(out / folder)) for folder in ("images", "masks")}
    except (FrostlineError, OSError):  # of another format, or damaged
        return None
    return dataset if stored == dataset.info.get("stored") else None


def _make(source: Source, folder: Path, settings: Settings, white: White, workers: int | None) -> MadeOf:
    """Make the dataset in a folder of its own, and return what it is made of."""
    decisive = [asdict(source.classes), settings.max_pixels, white.given, asdict(settings.store), code_hash(*DATASET)]
    journal = Journal(folder, decisive)
    made_of = MadeOf(source.fingerprint)
    work = Work(folder, source.classes, settings.max_pixels, white, settings.store)

    def asked() -> Iterator[Asked]:
        for scene in source.scenes():
            row = journal.known.get(scene.id)
            yield Asked(scene, None if row is None else journal.record(row).fingerprint)

    with journal:
        every = done_by(work, asked(), workers)
        for done in tqdm(every, desc=f"prepare {settings.name}", unit=" pictures", disable=None):
            if done.record is None:
                journal.keep(journal.record(journal.known[done.id]))
            else:
                journal.add(done.record)
            made_of.add(done.content, done.status, done.settled)
        try:
            _check_ids(settings.name, journal)
            examined = examine(
                journal,
                source.classes,
                settings.split,
                settings.policies,
                source.derived,
                settings.duplicates,
                settings.for_training,
            )
            _refuse(settings.name, examined)
        except FrostlineError:
            shutil.rmtree(folder)
            raise
        write(folder, source, settings.name, settings.split, settings.store, examined, journal)
    journal.remove()
    _warn(settings, source, examined)
    return made_of


def _check_ids(name: str, journal: Journal) -> None:
    if not len(journal):
        raise FrostlineError(f"dataset '{name}' has no scenes: check that its source points at pictures.")
    if (repeated := journal.gathered.repeated()) is not None:
        raise FrostlineError(f"the source of dataset '{name}' gives the id '{repeated}' twice: make ids distinct.")


def _refuse(name: str, examined: Examined) -> None:
    failing = [finding for finding in examined.findings if finding.policy == "fail"]
    if not failing:
        return
    where, shown = _placed([finding.fault for finding in failing[:SHOWN]])
    more = f"; and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
    # Nothing can be trained with an empty split, whatever anybody says.
    kinds = [*dict.fromkeys(finding.fault.kind for finding in failing if finding.fault.kind != "split_empty")]
    advice = "mend them (`frostline doctor` shows the first of each kind, and with --json report.json all)"
    if kinds:
        advice += ", or let them be skipped, as in dataset.on_fault=skip or "
        advice += f"dataset.faults.{kinds[0]}=skip ({', '.join(kinds)})"
    if fixable := [kind for kind in kinds if KINDS[kind].fixable]:
        advice += f", or fixed, as in dataset.faults.{fixable[0]}=fix"
    raise FrostlineError(
        f"dataset '{name}' has {len(failing)} fault(s) in {examined.scenes} scene(s){where}: {shown}{more}: {advice}."
    )


def _placed(faults: Sequence[Fault]) -> tuple[str, str]:
    """The folder that these faults are in, and they themselves with their files from there on."""
    folders = [os.path.dirname(fault.file) for fault in faults if os.path.isabs(fault.file)]
    common = os.path.commonpath(folders) if folders else "/"
    shown = "; ".join(map(str, faults))
    return ("", shown) if len(common) < 2 else (f", in {common}", shown.replace(f"{common}/", ""))


def _warn(settings: Settings, source: Source, examined: Examined) -> None:
    """Say what was taken for granted, and what the dataset lacks or lost, though nobody has to do anything about it."""
    said = [*source.notes, *examined.notes]
    if not settings.split.given and examined.given:
        keep = ": dataset.split.given=true keeps them" if examined.could_keep else ""
        said.append(f"is split anew, whatever splits it has of its own ({', '.join(sorted(examined.given))}){keep}")
    said += [str(finding.fault) for finding in examined.findings if finding.done == "let be"]
    for sentence in said:
        print(f"frostline: dataset '{settings.name}': {sentence.rstrip('.')}.", file=sys.stderr)
