"""Figures reached on real photographs, and that they are the same again."""

import json
import multiprocessing
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import pandas as pd

from benchmarks.row import Row

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = ROOT.parent / "shared" / "data"
PETS = {  # task: metric, bar
    "classification": ("test_accuracy", 0.97),
    "localization": ("test_iou", 0.60),
    "detection": ("test_map50", 0.60),
    "segmentation": ("test_miou", 0.78),
}
FLOWERS = [
    "task=classification",
    "dataset=folder",
    f"dataset.root={PHOTOGRAPHS / 'flowers5'}",
    "schedule=thaw",
    "image_size=192",
    "trainer.epochs=8",
    "study=flowers",
]
ROUNDS = 5
TWICE = ["task=detection", "image_size=64", "trainer.epochs=2", "schedule=thaw", "study=twice"]


def pets() -> list[Row]:
    """The pets study, run where it is not up to date: the best schedule of each task, mean over seeds."""
    table = _study("pets")
    rows = []
    for task, (metric, bar) in PETS.items():
        means = table[table["task"] == task].groupby("schedule")[metric].mean()
        best = str(means.idxmax())
        what = f"pets, {task}: {metric.removeprefix('test_')} on the test split, best schedule, mean over seeds"
        rows.append(Row(f"pets_{task}", what, round(float(means[best]), 4), f">= {bar}", best))
    return rows


def detectors() -> list[Row]:
    """The detectors study, run where it is not up to date: its `yolo` on the test list, and what each arm takes.

    The study times an arm when it is trained, and a machine's speed changes from one hour to the next; here all are
    timed in turn.
    """
    table = _study("detectors")
    (yolo,) = table.query("head == 'yolo'").to_dict("records")
    epochs = f"{yolo['epochs']} epochs"
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # what is set for it stays there
        took = pool.apply(_in_turn, (ROOT / "runs" / "detectors", table))
    what = "bccd: milliseconds to predict a picture, all in turn; sliding_window's, times fully_convolutional's"
    ratio = round(took["sliding_window"] / took["fully_convolutional"], 1)
    ours = ", ".join(f"{head} {milliseconds:.0f}" for head, milliseconds in sorted(took.items(), key=itemgetter(1)))
    return [
        Row("bccd_map50", "bccd, yolo: AP50 on the test split", round(yolo["test_map50"], 4), ">= 0.85", epochs),
        Row("bccd_map", "bccd, yolo: COCO mAP on the test split", round(yolo["test_map"], 4), ">= 0.55", epochs),
        Row("bccd_speed", what, ratio, ">= 10", ours),
    ]


def _in_turn(runs: Path, table: pd.DataFrame) -> dict[str, float]:
    """Milliseconds to predict a picture by the trained run of each head, on one core: medians of some rounds."""
    import torch

    from frostline.config import read
    from frostline.environment import keep_memory
    from frostline.runs.build import build_data
    from frostline.runs.network import read_run
    from frostline.runs.timing import predict_ms
    from frostline.scenes.dataset import Dataset

    keep_memory()
    torch.set_num_threads(1)
    dataset = Dataset.open(runs / "data" / table["dataset"][0])
    folders = {head: runs / "results" / f"{head}-0" for head in table["head"]}
    parts = [(h, read_run(one)[1], build_data(read(one / "config.yaml"), dataset)) for h, one in folders.items()]
    rounds = [{head: predict_ms(task, data) for head, task, data in parts} for _ in range(ROUNDS)]
    return {head: statistics.median(took[head] for took in rounds) for head in folders}


def segmenters() -> list[Row]:
    """The segmenters study, run where it is not up to date: its best decoder on the test list of streets."""
    table = _study("segmenters")
    best = table.loc[table["test_miou"].idxmax()]
    what = "camvid, 11 classes: mIoU on the test split at the pictures' own size, best decoder"
    return [Row("camvid_miou", what, round(float(best["test_miou"]), 4), ">= 0.6", str(best["head"]))]


def _study(name: str) -> pd.DataFrame:
    subprocess.run(["make", "repro", f"STUDY={name}"], cwd=ROOT, check=True)
    return pd.read_csv(ROOT / "experiments" / name / "results.csv")


def flowers() -> list[Row]:
    """Five kinds of flowers in folders, thawed, on its own stratified test split without duplicates."""
    with tempfile.TemporaryDirectory() as folder:
        result = _train(Path(folder), FLOWERS)
    what = "flowers5, classification, thaw: accuracy on the test split"
    scenes = result["scenes"]["test"]
    return [Row("flowers", what, round(result["metrics"]["accuracy"], 4), ">= 0.94", f"{scenes} pictures, 192 px")]


def twice() -> list[Row]:
    """One command twice, in two processes: how many metrics differ in any digit."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = _train(Path(one), TWICE)["metrics"], _train(Path(two), TWICE)["metrics"]
    differing = sum(first[key] != second[key] for key in first)
    what = "the same command twice with the same seed: metrics that differ"
    return [Row("twice", what, differing, "== 0", f"map {first['map']!r}", f"map {second['map']!r}")]


def _train(folder: Path, overrides: list[str]) -> dict:
    """Results of `frostline train` in an empty folder, with this checkout's configuration."""
    (folder / "conf").symlink_to(ROOT / "conf")
    subprocess.run(["frostline", "train", *overrides], cwd=folder, check=True)
    (path,) = folder.glob("runs/*/results/*/result.json")
    return json.loads(path.read_text())


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "pets": pets,
    "detectors": detectors,
    "segmenters": segmenters,
    "flowers": flowers,
    "twice": twice,
}
