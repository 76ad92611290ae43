"""What `scale` measures, each in a process of its own, with the code of either side: prints JSON.

python scale_child.py SOURCE_FOLDER WHAT ARGUMENT ...
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])
import numpy as np  # noqa: E402
import scipy.cluster.hierarchy  # noqa: E402, F401
import scipy.sparse.csgraph  # noqa: E402, F401

BOXES = 3


def memory(which: str = "VmRSS") -> float:
    """MB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(which))) / 1024


class Watch(threading.Thread):
    """The most memory that this process and those that it began had at once, in MB; of theirs, what no other has."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        Path("/proc/self/clear_refs").write_text("5")  # from here, the peak is of what follows
        self._most, self._over = 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            others = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            self._most = max(self._most, memory() + sum(map(self._own, others)))

    def _own(self, process: str) -> float:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024

    def peak(self) -> float:
        self._over.set()
        self.join()
        return max(self._most, memory("VmHWM"))


def draw(folder: str, count: str, side: str) -> dict[str, Any]:
    from PIL import Image

    Path(folder).mkdir(exist_ok=True)
    rng, size = np.random.default_rng(0), (int(side),) * 2
    for number in range(int(count)):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        fine = Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).resize(size, Image.Resampling.BILINEAR)
        Image.blend(coarse, fine, 0.25).save(f"{folder}/{number:07}.jpg", quality=85)
    return {}


def boxes_of(count: int, side: int) -> np.ndarray:
    """(count, 3, 4) float32 within a picture."""
    corners = np.random.default_rng(1).random((count, BOXES, 2, 2)).astype(np.float32) * (0.4 * side)
    corners[:, :, 1] += corners[:, :, 0] + 0.1 * side
    return corners.reshape(count, BOXES, 4)


def prepare(pictures: str, count: str, side: str, out: str) -> dict[str, Any]:
    try:
        from frostline.checking.prepare import prepare as run
        from frostline.scenes.scene import Classes, Scene
        from frostline.sources.base import Source
    except ModuleNotFoundError:  # before rooms had these names
        from frostline.data.prepare import prepare as run  # type: ignore[no-redef]
        from frostline.data.scenes import Classes, Scene  # type: ignore[no-redef]

        Source = object  # type: ignore[assignment,misc]
    boxes, labels = boxes_of(int(count), int(side)), np.array([0, 1, 0])

    class Many(Source):  # type: ignore[misc,valid-type]
        classes = Classes(("a", "b"), ("x", "y"), None)

        def scenes(self) -> Iterator[Any]:
            for number, own in enumerate(boxes):
                yield Scene(f"s{number:07}", Path(f"{pictures}/{number:07}.jpg"), number % 2, own, labels)

    before, found = memory(), {}
    watch = Watch()
    for what in ("first", "again"):
        start = time.perf_counter()
        made = run(Many(), out, name="many", workers=2)
        found[what] = time.perf_counter() - start
        if what == "first":
            found["peak"] = round(watch.peak() - before, 1)
    return {**found, "data": made.data_hash}


def opened(folder: str) -> Any:
    try:
        from frostline.scenes.dataset import Dataset
    except ModuleNotFoundError:
        from frostline.data.dataset import Dataset  # type: ignore[no-redef]
    return Dataset


def open_(folder: str) -> dict[str, Any]:
    Dataset = opened(folder)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory(), time.perf_counter()
    dataset = Dataset.open(folder)
    scenes = {split: dataset.scenes(split) for split in ("train", "val", "test")}
    read = [len(each[len(each) // 32 * number].boxes) for each in scenes.values() for number in range(32)]
    seconds = time.perf_counter() - start
    assert sum(read) == 96 * BOXES
    return {"seconds": seconds, "memory": round(max(memory("VmHWM") - before, 0.1), 1)}


def columns(folder: str, count: str) -> dict[str, Any]:
    """A dataset without its pictures: of so many scenes, what is opened."""
    from frostline.scenes.columns import Writer
    from frostline.scenes.layout import COLUMNS, FAULTS, write_info
    from frostline.scenes.listing import FORMS

    place, total = Path(folder), int(count)
    place.mkdir()
    writer = Writer(place / COLUMNS, FORMS)
    boxes = boxes_of(1000, 256)
    for number in range(total):
        name = f"s{number:07}"
        row = {"id": name, "picture": f"images/{name}.jpg", "mask": "", "digests": bytes(32), "size": (256, 256)}
        row |= {"label": number % 2, "boxes_annotated": True, "boxes": boxes[number % 1000], "box_labels": (0, 1, 0)}
        row["box_marks"] = ()
        writer.add(row)
    shares = {"train": total - 2 * (total // 5), "val": total // 5, "test": total // 5}
    for file in (FAULTS, *(f"{split}.json" for split in shares)):
        (place / file).touch()
    counts = {split: {"scenes": scenes} for split, scenes in shares.items()}
    classes = {"labels": ["a", "b"], "boxes": ["x", "y"], "masks": None}
    info = {"name": "many", "data_hash": "0", "classes": classes, "counts": counts, "columns": writer.close().as_json()}
    write_info(place, info)
    return {}


def workers(folder: str) -> dict[str, Any]:
    """What each of two forked processes has of its own, after each read 20,000 scenes here and there."""
    import multiprocessing

    scenes = opened(folder).open(folder).scenes("train")
    context = multiprocessing.get_context("fork")

    def work(seed: int, answers: Any) -> None:
        before = memory()
        for row in np.random.default_rng(seed).integers(0, len(scenes), 20_000).tolist():
            assert len(scenes[row].boxes) == BOXES
        answers.put(round(memory() - before, 1))

    answers = context.SimpleQueue()
    running = [context.Process(target=work, args=(seed, answers)) for seed in range(2)]
    for each in running:
        each.start()
    found = [answers.get() for _ in running]
    for each in running:
        each.join()
    return {"memory": max(found)}


def near(count: str, crowd: str) -> dict[str, Any]:
    from frostline.checking.pigeonhole import BITS, alike_pairs

    total, rng = int(count), np.random.default_rng(0)
    hashes, planted = rng.integers(0, 1 << 64, (total, 2), np.uint64), total // 100
    if int(crowd):  # one place, each time with three bits changed
        alike = np.full(int(crowd), hashes[0, 0])
        for _ in range(3):
            alike ^= np.uint64(1) << rng.integers(0, 64, len(alike), np.uint64)
        hashes[rng.choice(total // 2, len(alike), replace=False)] = alike[:, None]
    source, copies = np.arange(total - 2 * planted, total - planted), np.arange(total - planted, total)
    hashes[copies] = hashes[source]
    for row, bits in zip(copies, rng.integers(0, BITS + 1, planted), strict=True):
        for bit in rng.choice(64, bits, replace=False):
            hashes[row, 0] ^= np.uint64(1) << np.uint64(bit)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory(), time.process_time()
    pairs = alike_pairs(hashes, lambda one, other: np.ones(len(one), bool))
    seconds = time.process_time() - start
    found = set(map(tuple, pairs[pairs[:, 0] >= source[0]].tolist())) & set(
        zip(source.tolist(), copies.tolist(), strict=True)
    )
    return {"seconds": seconds, "found": len(found) / planted, "memory": round(memory("VmHWM") - before, 1)}


if __name__ == "__main__":
    measure = {"draw": draw, "prepare": prepare, "open": open_, "columns": columns, "workers": workers, "near": near}
    print(json.dumps(measure[sys.argv[2]](*sys.argv[3:])))
