"""The last stage of a study: reads the results of its runs and writes the answer beside its question."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from frostline.errors import FrostlineError
from frostline.report.page import render_table, report_text
from frostline.report.plots import SHEETS, draw
from frostline.report.results import Results, read_results


def compare(study_dir: Path, runs_dir: Path, show: Callable[[str], object] | None = None) -> pd.DataFrame:
    """Writes results.csv, report.md and plots/*.png into `study_dir`; returns one row a run.

    study_dir: the folder of study.yaml; its name is the study's name.
    runs_dir: the folder of the study's runs, with `plan/<run>.yaml` and `results/<run>/result.json`. Only planned runs
        are read.
    show: is given the table of `render_table` once the files are written, also where runs are missing.
    Raises FrostlineError at once where nothing can be compared, and after writing what there is where planned runs
    have no result yet.
    """
    results = read_results(study_dir, runs_dir)
    pictures = draw(results)
    plots = study_dir / "plots"
    plots.mkdir(exist_ok=True)
    stale = {plots / name for name, png in pictures.items() if png is None}
    stale |= {file for kind in SHEETS for file in plots.glob(f"{kind}-*.png") if file.name not in pictures}
    for file in stale:  # a picture of an earlier state would contradict the report
        file.unlink(missing_ok=True)
    for name, png in pictures.items():
        if png is not None:
            _replace(plots / name, png)
    _replace(study_dir / "results.csv", csv_text(results).encode())
    _replace(study_dir / "report.md", report_text(results, [n for n, png in pictures.items() if png]).encode())
    if show is not None:
        show(render_table(results.frame))
    if results.missing:
        raise FrostlineError(
            f"{len(results.missing)} of {len(results.planned)} planned runs of study {results.study.name} have no "
            f"result in {runs_dir / 'results'}: {', '.join(results.missing)}; train them, then compare again."
        )
    return results.frame


def csv_text(results: Results) -> str:
    """One row a run. A metric that the task lacks is blank; one that came out as not a number reads `nan`."""
    table = results.frame.astype(object)
    for row, record in zip(table.index, results.records, strict=True):
        for metric, value in record["metrics"].items():
            if value is None or math.isnan(value):
                table.loc[row, f"test_{metric}"] = "nan"
    return table.to_csv(index=False, lineterminator="\n")


def _replace(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames, so that a reader sees the old file or the new one, never half of one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
