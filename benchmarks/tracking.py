"""What tracking costs: a study that is sent afterwards to a server on PostgreSQL."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row

RUNS, EPOCHS, METRICS = 200, 50, 20
# As many files, and as large, as a small run leaves: pictures, a table of test pictures, weights.
FILES = {"schedule.png": 30_000, "predictions.png": 150_000, "worst.png": 150_000, "confusion.png": 30_000}
FILES |= {"pictures.parquet": 40_000, "model.safetensors": 1_000_000}
SYNC = "import sys; from frostline.cli import main; sys.exit(main(sys.argv[1:]))"


def finished_run(folder: Path, number: int) -> None:
    """What a finished run leaves in its folder, of made-up figures."""
    import json
    from datetime import UTC, datetime
    from random import Random

    from frostline.config import compose, to_yaml
    from frostline.runs.result import GROUPS, RunResult

    draw, now = Random(number), time.time() - 3600 + number
    folder.mkdir(parents=True)
    config = compose([f"seed={number}", "study=sent"])
    (folder / "config.yaml").write_text(to_yaml(config))
    names = {group: str(config[group]["name"]) for group in GROUPS}
    with (folder / "epochs.jsonl").open("w") as journal:
        for epoch in range(EPOCHS):
            metrics = {f"val_metric_{n}": draw.random() for n in range(METRICS - 3)}
            metrics |= {"images_seen": 1000.0 * (epoch + 1), "train_seconds": 2.0 * epoch, "train_loss": draw.random()}
            journal.write(json.dumps({"epoch": epoch, "time": round(now + epoch, 3), **metrics, "lr_base": 0.1}) + "\n")
    result = RunResult(
        study="sent",
        run=f"run-{number:03}",
        arm=names,
        names=names,
        seed=number,
        primary="accuracy",
        metrics={"accuracy": draw.random(), "loss": draw.random(), **{f"m{n}": draw.random() for n in range(8)}},
        epochs=EPOCHS,
        images_seen=1000 * EPOCHS,
        train_seconds=2.0 * EPOCHS,
        images_per_second=500.0,
        predict_ms=2.0,
        params_total=1_000_000,
        params_trainable_last=1000,
        scenes={"train": 1000, "val": 100, "test": 100},
        commit="f" * 40,
        data_hash="d" * 64,
        machine="any",
        finished=datetime.fromtimestamp(now + EPOCHS, UTC).isoformat(timespec="seconds"),
        id=f"{number:032x}",
    )
    for name, size in FILES.items():
        (folder / name).write_bytes(draw.randbytes(size))
    (folder / "result.json").write_text(json.dumps(result.to_json()))


def sync() -> list[Row]:
    from tests.helpers.postgres import postgres
    from tests.helpers.store import serving

    with tempfile.TemporaryDirectory() as name, postgres() as database:
        folder = Path(name)
        (folder / "server").mkdir()
        for number in range(RUNS):
            finished_run(folder / "runs" / "sent" / "results" / f"run-{number:03}", number)
        with serving(folder / "server", database.uri()) as (_, address):
            first, again = (_sync(folder, address) for _ in range(2))
        points = int(database.sql("SELECT count(*) FROM metrics", "mlflow"))
        runs = int(database.sql("SELECT count(*) FROM runs WHERE status = 'FINISHED'", "mlflow"))
    assert (runs, points) == (RUNS, RUNS * (EPOCHS * METRICS + 10)), (runs, points)
    size = sum(FILES.values()) / 1e6
    what = f"`frostline sync` of {RUNS} runs, each of {EPOCHS} epochs with {METRICS} metrics and {len(FILES) + 3} files "
    what += f"({size:.1f} MB), to `mlflow server --workers 1` on PostgreSQL on the same machine"
    return [
        Row("sync", f"{what}: seconds", first, "<= 60", f"{first:.1f} s, {points / first:.0f} points/s"),
        Row("sync_again", f"{what}, sent a second time: seconds", again, "<= 10", f"{again:.1f} s"),
    ]


def _sync(folder: Path, address: str) -> float:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", SYNC, "sync", "sent"], cwd=folder, env=environment, check=True)
    return time.perf_counter() - start


MEASURES: dict[str, Callable[[], list[Row]]] = {"sync": sync}
