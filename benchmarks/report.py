"""What a report costs: of made-up results of 200 runs, each tested on 1,000 pictures."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.row import Row
from benchmarks.start import ROOT

PICTURES, SEEDS, EPOCHS = 1000, 5, 20
TASKS = {"classification": "accuracy", "localization": "iou", "detection": "map", "segmentation": "miou"}
BACKBONES, SCHEDULES, CLASSES = ["a", "b"], ["frozen", "gradual", "thaw", "thaw_top", "full"], 5


def report() -> list[Row]:
    """`frostline compare` in a process of its own: seconds, its memory, and the size of the page."""
    with tempfile.TemporaryDirectory() as name:
        study = make_study(Path(name))
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "frostline", "compare", str(study.relative_to(name))]
        subprocess.run(command, cwd=name, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        page = (study / "report.html").stat().st_size / 1e6
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    what = "report of 200 runs, each of 1,000 test pictures, 1,000 resamples"
    return [
        Row("report_seconds", f"{what}: seconds", seconds, "<= 30", f"{seconds:.3g} s"),
        Row("report_page", f"{what}: its page, MB", page, "<= 8", f"{page:.3g} MB"),
        Row("report_memory", f"{what}: memory, GB", memory, "<= 1.5", f"{memory:.3g} GB"),
    ]


def make_study(root: Path) -> Path:
    """A study `made` of made-up results under `root`; returns its folder."""
    from frostline.metrics.resampled import set_metric
    from frostline.runs.tested import PICTURES as FILE
    from frostline.runs.tested import read_rows, write_rows

    study = root / "experiments/made"
    study.mkdir(parents=True)
    grid = {"task": list(TASKS), "backbone": BACKBONES, "schedule": SCHEDULES, "seed": list(range(SEEDS))}
    (study / "study.yaml").write_text(json.dumps({"question": "Which one?", "expected": "thaw.", "grid": grid}))
    draw = np.random.default_rng(0)
    for task, primary in TASKS.items():
        hard = draw.normal(0, 0.3, PICTURES)
        for b, backbone in enumerate(BACKBONES):
            for s, schedule in enumerate(SCHEDULES):
                for seed in range(SEEDS):
                    skill = 0.6 + 0.05 * b + 0.04 * s + draw.normal(0, 0.015)
                    name = f"{task}-{backbone}-{schedule}-{seed}"
                    plan, folder = root / "runs/made/plan", root / "runs/made/results" / name
                    plan.mkdir(parents=True, exist_ok=True)
                    folder.mkdir(parents=True)
                    (plan / f"{name}.yaml").write_text("{}\n")
                    rows = [_ROWS[task](draw, min(max(skill + h, 0.02), 0.98)) for h in hard]
                    told = [{"id": f"{n:04}", "loss": 0.5, "mistake": 0.0, **row} for n, row in enumerate(rows)]
                    write_rows(folder / FILE, told, primary, [f"class {n}" for n in range(CLASSES)])
                    skill = float(set_metric(read_rows(folder / FILE))(np.ones((1, PICTURES), int))[0])
                    _write_result(folder, name, task, primary, backbone, schedule, seed, skill)
    return study


def _write_result(
    folder: Path, name: str, task: str, primary: str, backbone: str, schedule: str, seed: int, q: float
) -> None:
    arm = {"task": task, "backbone": backbone, "schedule": schedule}
    result = {
        "study": "made", "run": name, "arm": arm, "seed": seed, "primary": primary,
        "metrics": {primary: q, "loss": 0.5},
        "names": {**arm, "dataset": "drawn", "head": "linear"}, "epochs": EPOCHS, "best_epoch": EPOCHS - 3,
        "images_seen": 20000, "train_seconds": 100.0 + 40 * SCHEDULES.index(schedule), "images_per_second": 150.0,
        "predict_ms": 9.0 + BACKBONES.index(backbone), "params_total": 3_400_000 + 10**6 * BACKBONES.index(backbone),
        "params_trainable_last": 5000, "multiply_adds": 4 * 10**8, "image_size": 96, "scenes": {"test": PICTURES},
        "commit": "0" * 40, "data_hash": "0" * 64, "machine": "made up", "versions": {"torch": "0"}, "finished": "2026",
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    frozen = 10 if schedule not in ("full",) else 0
    lines = []
    for epoch in range(EPOCHS):
        told = {"epoch": epoch, "images_seen": 1000 * (epoch + 1), "train_seconds": 5.0 * (epoch + 1)}
        told |= {"frost_depth": 5 if epoch < frozen else 0, "trainable_share": 0.1 if epoch < frozen else 1.0}
        lines.append(json.dumps(told | {f"val_{primary}": q * (1 - np.exp(-(epoch + 1) / 4))}))
    (folder / "epochs.jsonl").write_text("\n".join(lines) + "\n")


def _class(draw: Any, q: float) -> dict[str, Any]:
    right = draw.random() < q
    return {"truth": "class 0", "predicted": "class 0" if right else "class 1", "score": q, "quality": float(right)}


def _box(draw: Any, q: float) -> dict[str, Any]:
    told = {"truth": "class 0", "predicted": "class 0", "score": q, "box": [0.0, 0.0, 9.0, 9.0]}
    return {**told, "quality": float(np.clip(q + draw.normal(0, 0.1), 0, 1))}


def _boxes(draw: Any, q: float) -> dict[str, Any]:
    objects = draw.integers(0, CLASSES, 8)
    classes = np.concatenate([objects, draw.integers(0, CLASSES, 4)])
    right = (1 << (draw.random(8) * q * 16).astype(int).clip(0, 10)) - 1  # up to which overlap it is right
    order = draw.permutation(12)
    boxes = draw.random((12, 4)).astype(np.float32).ravel().tolist()
    return {
        "boxes": boxes, "scores": (-np.sort(-draw.random(12))).tolist(), "classes": classes[order].tolist(),
        "right": np.concatenate([right, np.zeros(4, int)])[order].tolist(), "ignored": [0] * 12,
        "objects": objects.tolist(), "quality": q,
    }  # fmt: skip


def _pixels(draw: Any, q: float) -> dict[str, Any]:
    real = draw.integers(0, 2000, CLASSES)
    both = (real * q).astype(int)
    return {
        "both": both.tolist(),
        "real": real.tolist(),
        "found": (both + np.roll(real - both, 1)).tolist(),
        "quality": q,
    }


_ROWS: dict[str, Callable[[Any, float], dict[str, Any]]] = {
    "classification": _class,
    "localization": _box,
    "detection": _boxes,
    "segmentation": _pixels,
}
MEASURES: dict[str, Callable[[], list[Row]]] = {"report": report}
