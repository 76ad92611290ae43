"""Predictions written down as they come, in the forms that people and tools read; nothing is held but the last one."""

import csv
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeAlias

import numpy as np
from PIL import Image

from frostline.errors import FrostlineError
from frostline.files import replacing, write_whole
from frostline.predict.drawn import COLOURS
from frostline.predict.kinds import Classified, Detected, Located, Prediction, Segmented
from frostline.scenes.scene import BACKGROUND

# Of a picture: its path, what to call it, and what was predicted, or what is wrong with it.
Write: TypeAlias = Callable[[str, str, Prediction | FrostlineError], None]
BOXES, PIXELS = ("detection", "localization"), ("segmentation",)
FORMATS = {
    "table": (),
    "json": (),
    "csv": (),
    "coco": BOXES,
    "yolo": BOXES,
    "masks": PIXELS,
}  # the tasks that each is for; () for all
FOLDERS = ("yolo", "masks")  # forms that are a file a picture
SHARES = 0.005  # of a picture, from which on a class is named in the table


def check_format(form: str, task: str, out: Path | None) -> None:
    """Raise FrostlineError where a model of this task has nothing to write in that form, or nowhere to."""
    if FORMATS[form] and task not in FORMATS[form]:
        raise FrostlineError(
            f"--format {form} is for {' and '.join(FORMATS[form])}, and this model is of {task}: take --format json."
        )
    if form in FOLDERS and out is None:
        raise FrostlineError(f"--format {form} is a file for each picture: give a folder with --out.")
    if form in FOLDERS and out is not None:
        check_free("--out", out)
    if form not in FOLDERS and out is not None and (out.is_dir() or not out.parent.is_dir()):
        what = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise FrostlineError(f"--out {out}: {what}, and --format {form} is one file: give its name.")


def check_free(option: str, folder: Path) -> None:
    """Raise FrostlineError where a folder to write into holds something, as files there would be mixed with ours."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise FrostlineError(f"{option} {folder} is not empty: give a new folder.")


@contextmanager
def written(form: str, out: Path | None, stdout: IO[str], classes: Sequence[str], top: int) -> Iterator[Write]:
    """What writes one prediction after the other: to `out`, whole or not at all, or to standard output.

    top: classes of a picture that are told. Folders get each picture's file as it comes, whole.
    """
    if form in FOLDERS:
        assert out is not None
        out.mkdir(parents=True, exist_ok=True)
        yield (_yolo if form == "yolo" else _masks)(out, classes)
        return
    make = {"table": _table, "json": _json, "csv": _csv, "coco": _coco}[form]
    if out is None:
        with make(stdout, classes, top) as write:
            yield write
        return
    with replacing(out) as aside, aside.open("w", encoding="utf-8", newline="") as file, make(file, classes, top) as w:
        yield w


@contextmanager
def _table(file: IO[str], classes: Sequence[str], top: int) -> Iterator[Write]:
    def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
        if not isinstance(found, FrostlineError):
            print(f"{path}  {_words(found, top)}", file=file, flush=True)

    yield write


def _words(found: Prediction, top: int) -> str:
    """A line on what was predicted."""
    if isinstance(found, Classified):
        line = "  ".join(f"{name} {share:.1%}" for name, share in found.likeliest(top))
        corners = [round(value, 1) for value in found.box.tolist()] if isinstance(found, Located) else []
        return f"{line}  box {' '.join(map(str, corners))}" if corners else line
    if isinstance(found, Detected):
        counts = Counter(found.classes[label] for label in found.labels.tolist())
        return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
    shares = np.bincount(found.mask.ravel(), minlength=len(found.classes)) / found.mask.size
    order = [n for n in np.argsort(-shares, kind="stable").tolist() if shares[n] >= SHARES]
    return "  ".join(f"{found.classes[n]} {shares[n]:.1%}" for n in order)


@contextmanager
def _json(file: IO[str], classes: Sequence[str], top: int) -> Iterator[Write]:
    """A list of objects, one a line."""
    before = "["

    def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
        nonlocal before
        told = {"error": str(found)} if isinstance(found, FrostlineError) else found.to_json()
        file.write(f"{before}\n{json.dumps({'picture': path, **told}, ensure_ascii=False)}")
        before = ","

    yield write
    file.write("[]\n" if before == "[" else "\n]\n")


@contextmanager
def _csv(file: IO[str], classes: Sequence[str], top: int) -> Iterator[Write]:
    """A row a class, a box or an area; pictures without any have none."""
    rows = csv.writer(file, lineterminator="\n")
    begun = False

    def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
        nonlocal begun
        if isinstance(found, FrostlineError):
            return
        if not begun:
            rows.writerow(_columns(found))
            begun = True
        rows.writerows([path, *row] for row in _rows(found, top))

    yield write


def _columns(found: Prediction) -> list[str]:
    corners = ["x0", "y0", "x1", "y1"]
    if isinstance(found, Segmented):
        return ["picture", "class", "pixels", "share"]
    if isinstance(found, Detected | Located):
        return ["picture", "class", "score", *corners]
    return ["picture", "rank", "class", "score"]


def _rows(found: Prediction, top: int) -> Iterator[list[Any]]:
    if isinstance(found, Segmented):
        counts = np.bincount(found.mask.ravel(), minlength=len(found.classes)).tolist()
        for name, count in zip(found.classes, counts, strict=False):
            if count:
                yield [name, count, f"{count / found.mask.size:.6f}"]
    elif isinstance(found, Detected | Located):
        for name, score, box in _objects(found):
            yield [name, f"{score:.6f}", *(f"{value:.2f}" for value in box)]
    else:
        for rank, (name, share) in enumerate(found.likeliest(top), 1):
            yield [rank, name, f"{share:.6f}"]


def _objects(found: Detected | Located) -> list[tuple[str, float, list[float]]]:
    """Class, score and box of each object."""
    if isinstance(found, Located):
        return [(found.name, found.score, found.box.tolist())]
    names = [found.classes[label] for label in found.labels.tolist()]
    return list(zip(names, found.scores.tolist(), found.boxes.tolist(), strict=True))


@contextmanager
def _coco(file: IO[str], classes: Sequence[str], top: int) -> Iterator[Write]:
    """One file of COCO's, with pictures, classes, and annotations that have a score. Annotations wait on disk, as the
    pictures come before them."""
    numbers = {name: number for number, name in enumerate(classes, 1)}
    images = annotations = 0
    with TemporaryFile("w+", encoding="utf-8") as waiting:

        def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
            nonlocal images, annotations
            if not isinstance(found, Detected | Located):
                return
            width, height = found.placement.size
            images += 1
            told = {"id": images, "file_name": path, "width": width, "height": height}
            file.write(("," if images > 1 else '{"images": [') + f"\n{json.dumps(told, ensure_ascii=False)}")
            for label, score, (x0, y0, x1, y1) in _objects(found):
                annotations += 1
                box = [x0, y0, x1 - x0, y1 - y0]
                one = {"id": annotations, "image_id": images, "category_id": numbers[label], "bbox": box}
                one |= {"area": box[2] * box[3], "iscrowd": 0, "score": score}
                waiting.write(("," if annotations > 1 else "") + f"\n{json.dumps(one)}")

        yield write
        categories = json.dumps([{"id": n, "name": name} for name, n in numbers.items()], ensure_ascii=False)
        file.write(("\n]" if images else '{"images": []') + f',\n"categories": {categories},\n"annotations": [')
        waiting.seek(0)
        while part := waiting.read(1 << 20):
            file.write(part)
        file.write("\n]}\n")


def _yolo(folder: Path, classes: Sequence[str]) -> Write:
    """labels/NAME.txt: class, centre x and y, width, height in 0..1, and score; and data.yaml with the names."""
    write_whole(folder / "data.yaml", f"names: {json.dumps(list(classes), ensure_ascii=False)}\n")
    numbers = {name: number for number, name in enumerate(classes)}

    def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
        if not isinstance(found, Detected | Located):
            return
        width, height = found.placement.size
        lines = []
        for label, score, (x0, y0, x1, y1) in _objects(found):
            shares = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
            lines.append(" ".join([str(numbers[label]), *(f"{value:.6f}" for value in (*shares, score))]) + "\n")
        write_whole(free(folder / "labels", name, ".txt"), "".join(lines))

    return write


def _masks(folder: Path, classes: Sequence[str]) -> Write:
    """NAME.png: the class number of each pixel, shown in the class's colour; and classes.txt, a name a line."""
    write_whole(folder / "classes.txt", "".join(f"{name}\n" for name in classes))
    palette = [0, 0, 0] * 256
    for number in range(256):
        if number >= len(classes) or classes[number] != BACKGROUND:
            shown = COLOURS[number % len(COLOURS)]
            palette[3 * number : 3 * number + 3] = [int(shown[k : k + 2], 16) for k in (1, 3, 5)]

    def write(path: str, name: str, found: Prediction | FrostlineError) -> None:
        if isinstance(found, Segmented):
            image = Image.fromarray(found.mask)
            image.putpalette(palette)
            save(image, free(folder, name, ".png"))

    return write


def as_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction's own JSON; of a segmentation with `mask`, a grey PNG of class numbers, in base64."""
    told = prediction.to_json()
    if isinstance(prediction, Segmented):
        file = BytesIO()
        Image.fromarray(prediction.mask).save(file, "PNG")
        told["mask"] = b64encode(file.getvalue()).decode()
    return told


def save(image: Image.Image, path: Path) -> None:
    """Into a file that is there whole or not at all."""
    with replacing(path) as aside:
        image.save(aside)


def free(folder: Path, name: str, suffix: str) -> Path:
    """A file for a picture of this name, which may lie in folders; a number is added where another picture has it."""
    parts = [part for part in Path(name).parts if part not in ("..", "/")]
    stem = folder.joinpath(*parts[:-1], Path(parts[-1]).stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    path, number = stem.with_name(stem.name + suffix), 1
    while path.exists():
        number += 1
        path = stem.with_name(f"{stem.name}-{number}{suffix}")
    return path
