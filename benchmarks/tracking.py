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
SYNC = "import sys; from frostline.cli import main; sys.exit(main(sys.argv[1:]))"


def sync() -> list[Row]:
    from tests.helpers.finished import FILES, finished_run
    from tests.helpers.postgres import postgres
    from tests.helpers.store import serving

    with tempfile.TemporaryDirectory() as name, postgres() as database:
        folder = Path(name)
        (folder / "server").mkdir()
        for number in range(RUNS):
            finished_run(folder / "runs" / "sent" / "results" / f"run-{number:03}", number, EPOCHS, METRICS)
        with serving(folder / "server", database.uri()) as (_, address):
            first, again = (_sync(folder, address) for _ in range(2))
        points = int(database.sql("SELECT count(*) FROM metrics", "mlflow"))
        runs = int(database.sql("SELECT count(*) FROM runs WHERE status = 'FINISHED'", "mlflow"))
    assert (runs, points) == (RUNS, RUNS * (EPOCHS * METRICS + 2)), (runs, points)
    size = sum(FILES.values()) / 1e6
    what = (
        f"`frostline sync` of {RUNS} runs, each of {EPOCHS} epochs with {METRICS} metrics and {len(FILES) + 3} files "
    )
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
