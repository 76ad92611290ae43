"""How long pictures take to prepare, and whether the doctor finds what is wrong and nothing else."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.row import Row
from frostline.data.prepare import prepare as prepare_source
from frostline.data.sources.folder import Folder

ROOT = Path(__file__).resolve().parents[1]
FLOWERS = ROOT.parent / "shared" / "data" / "flowers5"


def prepare() -> list[Row]:
    """flowers5, from files that were read before to a new folder, then again with nothing changed."""
    with tempfile.TemporaryDirectory() as folder:

        def seconds() -> tuple[int, float]:
            start = time.perf_counter()
            dataset = prepare_source(Folder(FLOWERS), Path(folder) / "flowers5", name="flowers5")
            return dataset.info["found"]["scenes"], time.perf_counter() - start

        for path in FLOWERS.rglob("*.jpg"):
            path.read_bytes()
        count, first = seconds()
        _, again = min((seconds() for _ in range(3)), key=lambda measured: measured[1])
    files = f"{count} pictures"
    return [
        Row("prepare", "`prepare` of flowers5, seconds after imports", first, "<= 20", f"{first:.1f} s, {files}"),
        Row(
            "prepare_again",
            "the same again, nothing changed",
            again,
            "<= 1",
            f"{again:.2f} s, best of 3, {files} hashed",
        ),
    ]


def doctor() -> list[Row]:
    """The generated scenes of tests/data/test_doctor.py: clean ones, and every kind of fault at known places."""
    from tests.data.test_doctor import Injected, examined, places

    with tempfile.TemporaryDirectory() as folder:
        source = Injected(Path(folder))
        found = Counter((kind, *place) for kind, where in places(examined(source)).items() for place in where)
        expected = Counter((kind, *place) for kind, where in source.expected.items() for place in where)
    right = (found & expected).total()
    counts = f"{right} of {found.total()} findings right, {expected.total()} faults of {len(source.expected)} kinds"
    what = "findings of the doctor on generated scenes, by kind, file and line"
    return [
        Row("doctor_precision", f"{what}: precision", right / found.total(), ">= 1", counts),
        Row("doctor_recall", f"{what}: recall", right / expected.total(), ">= 1", counts),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {"prepare": prepare, "doctor": doctor}
