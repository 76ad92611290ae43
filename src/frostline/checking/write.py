"""What was examined, written as a dataset: its lists, its columns, dataset.json."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from frostline.checking.journal import Journal
from frostline.checking.stores import PictureStore
from frostline.checking.whole import Examined, Finding, Placed, Tally
from frostline.scenes.layout import FAULTS, write_info, write_lines, write_scenes
from frostline.scenes.scene import SPLITS, Classes, Scene
from frostline.scenes.splits import Split
from frostline.sources.base import Source

REPEATED = 1000  # faults that dataset.json repeats


def write(
    folder: Path, source: Source, name: str, split: Split, store: PictureStore, examined: Examined, journal: Journal
) -> None:
    """Write the lists and dataset.json beside the pictures, and remove the pictures that are in none."""
    classes, placed = source.classes, examined.placed
    stored = _clear(folder, placed, journal)
    table, files = write_scenes(folder, {each: _listed(folder, placed[each]) for each in SPLITS}, classes, name)
    files[FAULTS] = write_lines(folder / FAULTS, map(_as_json, examined.findings))
    info: dict[str, Any] = {
        "name": name,
        "data_hash": _data_hash(placed, classes, journal),
        "classes": asdict(classes),
        "split": split.as_json(),
        "counts": {each: _counts(examined.tallies[each], classes) for each in SPLITS},
        "derived": dict(source.derived),
        "notes": [*source.notes, *examined.notes],
        "found": {"scenes": examined.scenes, "kept": sum(map(len, placed.values()))}
        | dict(Counter(finding.done for finding in examined.findings))
        | ({"gone": dict(examined.gone)} if examined.gone else {}),
        "faults": [_as_json(finding) for finding in islice(examined.findings, REPEATED)],
        "columns": table.as_json(),
        "stored": stored,
        "files": dict(sorted(files.items())),
    }
    if examined.white is not None:  # whoever predicts later reads pictures likewise
        info["white"] = examined.white
    if store.how != "copy":
        info |= {"store": store.how} | ({"side": store.side} if store.how == "encoded" else {})
    write_info(folder, info)


def _listed(folder: Path, records: Placed) -> Iterator[tuple[Scene, bytes]]:
    for record in records:
        digests = [record.digest] + ([] if record.mask is None else [record.files[record.mask]])
        yield record.scene(folder), bytes.fromhex("".join(digests))


def _clear(folder: Path, placed: Mapping[str, Placed], journal: Journal) -> dict[str, int]:
    """Remove the pictures and masks of scenes that are in no split; returns how many of each stay."""
    rows = np.sort(np.concatenate([scenes.rows for scenes in placed.values()]))
    left_out = np.setdiff1d(np.array(journal.rows, np.int64), rows)
    gone = {file for row in left_out.tolist() for file in journal.record(row).files}
    for file in gone:
        (folder / file).unlink(missing_ok=True)
    stored = {name: 0 for name in ("images", "masks")}
    if journal.known:  # what a killed call wrote may be of scenes that are no more
        files = {file for scenes in placed.values() for record in scenes for file in record.files}
        for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:
            if path.relative_to(folder).as_posix() not in files:
                path.unlink()
    for name in stored:
        stored[name] = sum(1 for _ in (folder / name).iterdir())
    return stored


def _as_json(finding: Finding) -> dict[str, Any]:
    """A finding without folders: the same dataset is described alike on every machine."""
    fault = finding.fault
    what = fault.what.replace(str(fault.file), Path(fault.file).name)
    found = {"scene": finding.scene, "kind": fault.kind, "file": Path(fault.file).name, "what": what}
    return found | ({} if fault.line is None else {"line": fault.line}) | {"done": finding.done}


def _counts(tally: Tally, classes: Classes) -> dict[str, Any]:
    return {
        "scenes": tally.scenes,
        **{f"with_{kind}": tally.annotated[kind] for kind in ("label", "boxes", "mask")},
        "labels": {name: tally.labels[number] for number, name in enumerate(classes.labels or ())},
        "boxes": {name: tally.boxes[number] for number, name in enumerate(classes.boxes or ())},
        **({"boxes_ignored": tally.ignored} if tally.ignored else {}),
    }


def _data_hash(placed: Mapping[str, Placed], classes: Classes, journal: Journal) -> str:
    """One hash of what the dataset holds, in whatever form its pictures are stored: of the classes, and of the scenes'
    descriptions in their order as texts. A picture that is stored smaller is another."""
    rows = np.concatenate([scenes.rows for scenes in placed.values()])
    splits = np.repeat(np.arange(len(SPLITS)), [len(placed[split]) for split in SPLITS])
    digest = sha256(f"[{json.dumps(asdict(classes))}, [".encode())
    for number, place in enumerate(journal.order_as_json(rows).tolist()):
        scene = journal.record(int(rows[place]))
        said = [scene.id, SPLITS[splits[place]], scene.label, scene.boxes, scene.box_labels]
        shown = scene.picture_hash if scene.stored is None else scene.digest
        said += [shown, scene.mask_hash]
        if scene.box_marks is not None:  # nothing is said of them where all count
            said.append(scene.box_marks)
        text = json.dumps(said)
        digest.update((", " if number else "").encode() + json.dumps(text).encode())
    digest.update(b"]]")
    return digest.hexdigest()
