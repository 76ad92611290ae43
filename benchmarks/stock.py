"""Whole runs, and a whole study, beside the stock path (`peer_stock.py`), from the start of a process to its end.

Photographs of five flowers at 128 px in batches of 32, in folders train, val and test that both sides read, with copies
and conflicting labels taken out beforehand; EfficientNet-Lite0 with ImageNet's weights from its package; two threads,
which wait alike on both sides (`environment.py`), and the stock path's two workers beside them. Each run begins in an
empty folder: Frostline checks and stores the pictures within its time. Both file their runs in MLflow on sqlite. The
figure of both is the accuracy on the same test pictures: of the epoch that is best on the validation split for
Frostline, of the last epoch for the stock path.
"""

import csv
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.quality import PHOTOGRAPHS, ROOT
from benchmarks.row import Row
from frostline.checking.prepare import prepare_from_config
from frostline.config import compose
from frostline.scenes.scene import SPLITS

PEER = Path(__file__).with_name("peer_stock.py")
SEEDS = (0, 1, 2)
FROZEN, THAWED = 3, 3  # epochs of the stock path
SPLIT = "dataset.split={train: 0.75, val: 0.15, test: 0.1}"
COMMON = ["image_size=128", "trainer.batch_size=32"]
# The stock path's phases and rates. It draws a new view of each picture in each epoch, and lets batch norms train all
# along; here each picture has one view, so that frozen epochs are read from the cache, and norms keep their statistics.
SAME = [
    f"trainer.epochs={FROZEN + THAWED}",
    "rate=constant",
    "optimizer.lr=0.001",
    "augment.views=1",
    f"schedule={{name: three_and_three, phases: [{{line: head, until: {{epochs: {FROZEN}}}}}, "
    "{rates: {head/.*: 1.0, others: 0.1}, norms: keep}]}",
]
REACH = ["schedule=thaw_top", "trainer.epochs=5", "augment.views=1"]

STUDY_PICTURES = 1000
STUDIED = {"task": ["classification", "localization"], "schedule": ["frozen", "thaw", "thaw_top", "gradual", "full"]}


@dataclass(frozen=True)
class Ended:
    """A process that has trained and tested. seconds: from its start to its end."""

    accuracy: float
    seconds: float


def stock(pictures: int | None = None, seeds: Sequence[int] = SEEDS) -> list[Row]:
    """For each seed the stock path, the same schedule, and a schedule that ends where the stock path does, in turn.

    pictures: of all splits together; None for all that there are.
    """
    with flowers(pictures) as (root, count):
        peers, same, reach = [], [], []
        for seed in seeds:
            peers.append(peer(root, seed))
            same.append(ours(root, seed, SAME))
            reach.append(ours(root, seed, REACH))
            print(f"seed {seed}: stock {peers[-1]}, same {same[-1]}, reach {reach[-1]}", flush=True)
    ratios = [other.seconds / one.seconds for one, other in zip(same, peers, strict=True)]
    reached = [
        other.seconds / one.seconds if one.accuracy >= other.accuracy else 0.0
        for one, other in zip(reach, peers, strict=True)
    ]
    of = f"flowers5, {count} pictures at 128 px, {len(seeds)} seeds"
    return [
        Row(
            "stock_same",
            f"{of}: `frostline train` with the phases and rates of the stock path, {FROZEN} frozen and {THAWED} thawed "
            "epochs, one view of each picture, process start and prepare included: times faster; median",
            statistics.median(ratios),
            ">= 2.6",
            _told(same),
            _told(peers),
        ),
        Row(
            "stock_reach",
            f"{of}: `frostline train {' '.join(REACH)}`, to an accuracy on the test split no less than the stock "
            "path's (0 where it is less): times faster; least",
            min(reached),
            ">= 4",
            _told(reach),
            _told(peers),
        ),
    ]


def stock_study(pictures: int = STUDY_PICTURES, seeds: Sequence[int] = SEEDS) -> list[Row]:
    """A study, planned, prepared and trained in an empty folder; as many stock runs, reckoned from one of each seed.

    A localization needs boxes, which these photographs lack: each is given its middle. Only time is told.
    """
    grid = {**STUDIED, "backbone": ["efficientnet_lite0"], "seed": list(seeds)}
    with flowers(pictures) as (root, count), empty() as folder:
        _box_middles(root)
        overrides = [*COMMON, "dataset=csv", f"dataset.root={root}", f"trainer.epochs={FROZEN + THAWED}"]
        overrides += ["augment.views=1", "trainer.threads=1"]  # one run per core
        seconds, runs = study(folder, grid, overrides)
        peers = [peer(root, seed) for seed in seeds]
    reckoned = runs * statistics.mean(one.seconds for one in peers)
    what = (
        f"a study of {runs} runs (5 schedules, {len(seeds)} seeds, classification and localization) of as many epochs "
        f"on {count} pictures of flowers5 at 128 px, planned, prepared and trained in an empty folder: times faster "
        f"than as many stock runs of {FROZEN} frozen and {THAWED} thawed epochs"
    )
    other = f"{reckoned:.0f} s, reckoned from {len(peers)} runs of classification: {_told(peers)}"
    return [Row("stock_study", what, reckoned / seconds, ">= 8", f"{seconds:.0f} s", other)]


@contextmanager
def flowers(pictures: int | None) -> Iterator[tuple[Path, int]]:
    """A folder with train, val and test, each with a folder per class, and how many pictures are there.

    pictures: about so many, in the shares of all; None for all. Not part of any time.
    """
    with tempfile.TemporaryDirectory() as name:
        config = compose(["dataset=folder", f"dataset.root={PHOTOGRAPHS / 'flowers5'}", SPLIT])
        dataset = prepare_from_config(config["dataset"], Path(name) / "prepared")
        scenes = [(split, scene) for split in SPLITS for scene in dataset.scenes(split)]
        step = len(scenes) / min(pictures or len(scenes), len(scenes))
        chosen = [scenes[int(number * step)] for number in range(int(len(scenes) / step))]
        root = Path(name) / "flowers5"
        for split, scene in chosen:
            assert isinstance(scene.image, Path)
            place = root / split / dataset.classes.labels[scene.label]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(scene.image, place)
        yield root, len(chosen)


def peer(root: Path, seed: int, frozen: int = FROZEN, thawed: int = THAWED) -> Ended:
    """One run of the stock path."""
    began = time.perf_counter()
    command = [sys.executable, str(PEER), str(root), f"--seed={seed}", f"--frozen={frozen}", f"--thawed={thawed}"]
    done = subprocess.run(command, env=_environment(), check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert said["tested"] == len(list(root.glob("test/*/*")))
    return Ended(said["accuracy"], seconds)


def ours(root: Path, seed: int, overrides: list[str]) -> Ended:
    """One `frostline train` in an empty folder."""
    with empty() as folder:
        began = time.perf_counter()
        frostline(["train", "dataset=folder", f"dataset.root={root}", *COMMON, *overrides, f"seed={seed}"], folder)
        seconds = time.perf_counter() - began
        (path,) = folder.glob("runs/*/results/*/result.json")
        result = json.loads(path.read_text())
    pictures = {split: len(list(root.glob(f"{split}/*/*"))) for split in SPLITS}
    assert result["scenes"] == pictures, "the sides have other pictures"
    return Ended(result["metrics"]["accuracy"], seconds)


@contextmanager
def empty() -> Iterator[Path]:
    """An empty folder with this checkout's configuration."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "conf").symlink_to(ROOT / "conf")
        yield Path(name)


def study(folder: Path, grid: dict[str, list[Any]], overrides: list[str]) -> tuple[float, int]:
    """Plan, prepare and train a study in an empty folder: the seconds of all three, and how many runs it has."""
    place = folder / "experiments" / "bench"
    place.mkdir(parents=True)
    asked = {"question": "How long does it take?", "grid": grid, "overrides": overrides}
    (place / "study.yaml").write_text(yaml.safe_dump(asked))
    began = time.perf_counter()
    for command in (["plan"], ["prepare", "--study"], ["train", "--study"]):
        frostline([*command, "experiments/bench"], folder)
    seconds = time.perf_counter() - began
    runs = len(list(folder.glob("runs/bench/work/*/results/result.json")))
    assert runs == math.prod(map(len, grid.values())), "not every run was trained"
    return seconds, runs


def frostline(arguments: list[str], folder: Path) -> None:
    subprocess.run(["frostline", *arguments], cwd=folder, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    """That of both sides: two threads, bytecode kept as for any user, and no tracker but one's own."""
    left_out = ("MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
    return {**{name: value for name, value in os.environ.items() if name not in left_out}, "OMP_NUM_THREADS": "2"}


def _box_middles(root: Path) -> None:
    """Write manifest.csv beside the splits: each picture with its class, and its middle as its box."""
    with (root / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "split", "label", "x0", "y0", "x1", "y1"])
        for path in sorted(root.glob("*/*/*")):
            with Image.open(path) as picture:
                width, height = picture.size
            split, label, _ = path.relative_to(root).parts
            box = [width // 4, height // 4, 3 * width // 4, 3 * height // 4]
            rows.writerow([path.relative_to(root), split, label, *box])


def _told(sides: list[Ended]) -> str:
    seconds = statistics.median(one.seconds for one in sides)
    return f"{seconds:.0f} s, accuracy {', '.join(f'{one.accuracy:.3f}' for one in sides)}"


MEASURES: dict[str, Callable[[], list[Row]]] = {"stock": stock, "stock_study": stock_study}
