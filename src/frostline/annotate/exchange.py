"""From a prepared dataset to a file for an annotation tool, and from the tool's file to a new prepared dataset."""

import errno
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from frostline.annotate import cvat, label_studio
from frostline.annotate.boxes import Answers, Proposal, Sizes, box_names
from frostline.annotate.corrected import Corrected
from frostline.annotate.layouts import read_coco, read_voc, read_yolo, write_coco
from frostline.annotate.proposals import MASK, Predict, propose
from frostline.checking.prepare import prepare
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.pictures.reading import MAX_BYTES, read_file
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import SPLITS
from frostline.scenes.splits import Split
from frostline.sources.prepared import Prepared

LOCAL_FILES = "/data/local-files/?d="  # Label Studio serves its local files there
# What slips from a person's hand is mended, and dataset.json tells; while annotations grow, classes may lack examples.
POLICIES = {
    "box_empty": "fix",
    "box_reversed": "fix",
    "box_outside": "fix",
    "box_duplicate": "fix",
    "class_untrained": "skip",
}


def export(
    folder: Path,
    to: str,
    out: Path,
    run: Path | None = None,
    splits: Sequence[str] = SPLITS,
    only_missing: bool = False,
    url_prefix: str | None = None,
) -> tuple[list[Path], str]:
    """Write the scenes of the prepared dataset in `folder` to `out`, with the boxes that `propose` finds.

    to: label-studio, cvat or coco. run: a trained run's results, which predicts where nothing is annotated.
    url_prefix: for Label Studio, what stands before `images/NAME` in a picture's address; by default local files below
    the dataset's parent folder. Its labelling configuration is written beside `out`.
    Returns the files written, and a sentence on them.
    Raises FrostlineError where one of them is there already, or nothing is left to write.
    """
    if url_prefix is not None and to != "label-studio":
        raise FrostlineError(f"--url-prefix is part of Label Studio's tasks, and {to} has only names: leave it out.")
    files = [out, out.with_suffix(".config.xml")] if to == "label-studio" else [out]
    _check_free(files)
    dataset = Dataset.open(folder)
    predict: Predict | None = None
    run_name, names = None, box_names(dataset.classes)
    if run is not None:
        from frostline.annotate.predict import Predictor  # imports torch

        predictor = Predictor(run)
        predict, run_name = predictor, predictor.name
        names = tuple(dict.fromkeys([*names, *predictor.classes]))
    proposals = propose(dataset, splits, only_missing, predict, run_name)
    if not proposals:
        raise FrostlineError(f"{folder} has no scene to annotate there: look at --split and --only-missing.")
    if not names:
        raise FrostlineError(f"{folder} has no classes that boxes could have: give --run a run that tells some apart.")
    if to == "label-studio":
        prefix = f"{LOCAL_FILES}{quote(dataset.path.resolve().name)}/" if url_prefix is None else url_prefix
        texts = [_json(label_studio.write(proposals, prefix, run_name or MASK)), label_studio.labelling_config(names)]
    elif to == "cvat":
        texts = [cvat.write(proposals, names, dataset.name)]
    else:
        texts = [_json(write_coco(proposals, names, dataset.name))]
    for file, text in zip(files, texts, strict=True):
        write_whole(file, text)
    return files, summary(proposals)


def import_(
    folder: Path, file: Path, form: str, out: Path, complete: bool = False, corners: str | None = None
) -> tuple[Dataset, list[str]]:
    """Prepare the dataset in `folder` anew in `out`, with the boxes that people left in `file`, and the same splits.

    form: label-studio, cvat, coco, voc or yolo. Scenes that the file says nothing of stay as they were.
    complete: somebody looked at every picture in the file; without that, a picture without boxes stays as it was, too,
    if it was not annotated before and the format does not tell "looked, found none" from "not looked at", which only
    Label Studio's does. corners: for voc, from where pixels are counted, a rule of `corners.RULES`.
    Returns the new dataset, and sentences on how it came about.
    Raises FrostlineError for a file that cannot be read or names other scenes, for one that says nothing, where `out`
    is there already, and as `prepare` does.
    """
    if out.resolve() == folder.resolve():
        raise FrostlineError(f"--out {out} is the dataset itself, which stays as it is: choose another folder.")
    if out.exists():
        raise FrostlineError(f"--out {out} is there already, and may hold people's work: choose another folder.")
    if corners is not None and form != "voc":
        raise FrostlineError(f"--corners is about VOC's XML, and {form} says where corners are: leave it out.")
    prepared = Prepared(folder)
    scenes = {scene.id: scene for split in SPLITS for scene in prepared.dataset.scenes(split)}
    found = read(file, form, prepared.dataset, corners or "auto")
    left = set()
    if not (found.tells_empty or complete):
        left = {scene for scene, answer in found.of.items() if not answer.boxes and scenes[scene].boxes is None}
    answers = replace(found, of={scene: answer for scene, answer in found.of.items() if scene not in left})
    if not answers.of:
        raise FrostlineError(f"{file} holds no picture that somebody has annotated: annotate some, and export again.")
    source = Corrected(prepared, answers, file)
    name = prepared.dataset.name
    dataset = prepare(source, out, name=name, split=Split(given=True), faults=POLICIES)
    notes = [*found.notes]
    if source.new:
        notes.append(f"new classes of boxes: {', '.join(source.new)}")
    if left:
        notes.append(
            f"{len(left)} pictures without boxes stay not annotated; if somebody looked at every one, say --complete"
        )
    if mended := [fault for fault in dataset.info["faults"] if fault["kind"] in POLICIES and fault["done"] == "mended"]:
        notes.append(f"{len(mended)} faults of boxes were mended, see dataset.json")
    if lost := len(scenes) - dataset.info["found"]["kept"]:
        notes.append(f"{lost} scenes were left out, see dataset.json")
    empty = sum(not answer.boxes for answer in answers.of.values())
    notes.append(
        f"{len(answers.of)} scenes annotated, {empty} of them without a box; {len(scenes) - len(answers.of)} as before"
    )
    return dataset, notes


def read(file: Path, form: str, dataset: Dataset, corners: str = "auto") -> Answers:
    """What people said of a dataset's scenes in a file, for voc and yolo a folder. form, corners: as `import_`."""
    sizes: Sizes = {scene.id: scene.size for split in SPLITS for scene in dataset.scenes(split) if scene.size}
    if form == "voc":
        return read_voc(file, sizes, corners)
    if form == "yolo":
        return read_yolo(file, sizes)
    content = _content(file)
    if form == "coco":
        return read_coco(file, content, dataset, sizes)
    if form == "cvat":
        return cvat.read(content, sizes, str(file))
    return label_studio.read(content, sizes, str(file))


def _content(file: Path) -> bytes:
    try:
        content = read_file(file, MAX_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise FrostlineError(f"{file} is larger than {MAX_BYTES >> 20} MiB: import it in parts.") from error
        raise FrostlineError(f"{file} cannot be read ({error.strerror}): give the file that the tool wrote.") from error
    if content.startswith(b"PK\x03\x04"):
        raise FrostlineError(f"{file} is a ZIP archive: unpack it, and give the file in it that holds the annotations.")
    return content


def _check_free(files: Sequence[Path]) -> None:
    for file in files:
        if file.exists():
            raise FrostlineError(f"{file} is there already, and may hold people's work: choose another name.")
        if not file.parent.is_dir():
            raise FrostlineError(f"{file}: there is no folder {file.parent}; make it first.")


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def summary(proposals: Sequence[Proposal]) -> str:
    """One sentence: how many pictures, and whose boxes they have."""

    def kind(proposal: Proposal) -> str:
        if proposal.annotated:
            return "annotated"
        return "with boxes from their masks" if proposal.by == MASK else "predicted" if proposal.by else "blank"

    counts = Counter(map(kind, proposals))
    return f"{len(proposals)} pictures: {', '.join(f'{number} {what}' for what, number in counts.items())}"
