"""Runs that are finished, of made-up figures, as they lie in a study's folder."""

import json
import time
from datetime import UTC, datetime
from random import Random

from frostline.config import compose, to_yaml
from frostline.runs.result import GROUPS, RunResult

# As many files, and as large, as a small run leaves: pictures, a table of test pictures, weights.
FILES = {"schedule.png": 30_000, "predictions.png": 150_000, "worst.png": 150_000, "confusion.png": 30_000}
FILES |= {"pictures.parquet": 40_000, "model.safetensors": 1_000_000}


def finished_run(folder, number, epochs=5, metrics=20, files=FILES):
    """The folder of one, as `frostline train` leaves it. metrics: of an epoch, without rates. files: bytes of each."""
    draw, then = Random(number), round(time.time() - 3600 + number)
    folder.mkdir(parents=True)
    config = compose([f"seed={number}", "study=sent"])
    (folder / "config.yaml").write_text(to_yaml(config))
    with (folder / "epochs.jsonl").open("w") as journal:
        for epoch in range(epochs):
            told = {"epoch": epoch, "time": then + epoch, "images_seen": 1000.0 * (epoch + 1), "lr_base": 0.1}
            told |= {f"val_metric_{n}": draw.random() for n in range(metrics - 1)}
            journal.write(json.dumps(told) + "\n")
    names = {group: str(config[group]["name"]) for group in GROUPS}
    result = RunResult(
        study="sent",
        run=f"run-{number:03}",
        arm=names,
        names=names,
        seed=number,
        primary="accuracy",
        metrics={"accuracy": draw.random(), "loss": draw.random()},
        epochs=epochs,
        images_seen=1000 * epochs,
        train_seconds=2.0 * epochs,
        images_per_second=500.0,
        predict_ms=2.0,
        params_total=1_000_000,
        params_trainable_last=1000,
        scenes={"train": 1000, "val": 100, "test": 100},
        commit="f" * 40,
        data_hash="d" * 64,
        machine="any",
        finished=datetime.fromtimestamp(then + epochs, UTC).isoformat(timespec="seconds"),
        id=f"{number:032x}",
    )
    for name, size in files.items():
        (folder / name).write_bytes(draw.randbytes(size))
    (folder / "result.json").write_text(json.dumps(result.to_json()))
