"""Annotated pictures: how fast they are prepared, and whether every fault is found and none invented."""

import importlib.util
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.quality import PHOTOGRAPHS, ROOT
from benchmarks.row import Row

TIMES = 3  # calls with nothing changed


def prepare() -> list[Row]:
    """3,853 photographs of flowers from five folders, decoded, checked, compared, split and written; then again."""
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose

    config = compose(["dataset=folder", f"dataset.root={PHOTOGRAPHS / 'flowers5'}"])["dataset"]
    with tempfile.TemporaryDirectory() as folder:

        def seconds() -> float:
            start = time.perf_counter()
            prepare_from_config(config, Path(folder) / "dataset")
            return time.perf_counter() - start

        first, again = seconds(), statistics.median(seconds() for _ in range(TIMES))
    return [
        Row("prepare", "`prepare` of flowers5, seconds after imports", first, "<= 20", f"{first:.1f} s"),
        Row("prepare_again", "the same with nothing changed, seconds", again, "<= 1", f"{again:.2f} s, median of 3"),
    ]


def doctor() -> list[Row]:
    """The scenes of the test, with every kind of fault injected: is each named, with file and line, and none else?"""
    spec = importlib.util.spec_from_file_location("test_doctor", ROOT / "tests/data/test_doctor.py")
    assert spec is not None and spec.loader is not None
    test: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test)
    with tempfile.TemporaryDirectory() as folder:
        injected = test.Injected(Path(folder))
        found = _places(test.places(test.examined(injected)))
    expected = _places(injected.expected)
    right = (found & expected).total()
    least = min(right / found.total(), right / expected.total())
    what = "`doctor` on scenes with every kind of fault: the lesser of precision and recall"
    ours = f"{right} of {found.total()} findings right, {expected.total()} injected, {len(injected.expected)} kinds"
    return [Row("doctor", what, least, "== 1", ours)]


def _places(by_kind: dict[str, list[tuple[str, int | None]]]) -> Counter[tuple[str, str, int | None]]:
    return Counter((kind, file, line) for kind, places in by_kind.items() for file, line in places)


MEASURES: dict[str, Callable[[], list[Row]]] = {"prepare": prepare, "doctor": doctor}
