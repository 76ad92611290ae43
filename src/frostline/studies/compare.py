"""The last stage of a study: reads the results of its runs and writes the answer beside its question."""

import math
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.studies.arms import arms, count, mean_sd, number, ranked
from frostline.studies.plots import draw
from frostline.studies.report import report_text
from frostline.studies.results import Results, read_results


def compare(study_dir: Path, runs_dir: Path, show: Callable[[str], object] | None = None) -> pd.DataFrame:
    """Writes results.csv, report.md and plots/*.png into `study_dir`; returns one row a run.

    study_dir: the folder of study.yaml; its name is the study's name.
    runs_dir: the folder that holds `<study>/plan/<run>.yaml` and `<study>/results/<run>/result.json`. Only planned
        runs are read.
    show: is given the table of `render_table` once the files are written, also where runs are missing.
    Raises FrostlineError at once where nothing can be compared, and after writing what there is where planned runs
    have no result yet.
    """
    results = read_results(study_dir, runs_dir)
    pictures = draw(results.frame, results.folders, results.schedules)
    plots = study_dir / "plots"
    plots.mkdir(exist_ok=True)
    for name, png in pictures.items():
        if png is None:
            (plots / name).unlink(missing_ok=True)  # a picture of an earlier state would contradict the report
        else:
            _replace(plots / name, png)
    _replace(study_dir / "results.csv", csv_text(results).encode())
    _replace(study_dir / "report.md", report_text(results, [n for n, png in pictures.items() if png]).encode())
    if show is not None:
        show(render_table(results.frame))
    if results.missing:
        raise FrostlineError(
            f"{len(results.missing)} of {len(results.planned)} planned runs of study {results.name} have no result in "
            f"{runs_dir / results.name / 'results'}: {', '.join(results.missing)}; train them, then compare again."
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


def render_table(df: pd.DataFrame) -> str:
    """The arms of a frame of `compare` as plain text, one table a task; a star marks the highest mean."""
    out = StringIO()
    console = Console(file=out, width=1000, color_system=None, legacy_windows=False, highlight=False)
    for (dataset, task), group in arms(df).items():
        best = ranked(group)[:1]
        table = Table(title=f"{task} on {dataset}", title_justify="left", title_style="", box=SIMPLE_HEAD)
        for header in ("", "backbone", "head", "schedule"):
            table.add_column(header)
        for header in ("seeds", f"{group[0].primary} (mean ± sd)", "seconds", "images/s", "trainable / total"):
            table.add_column(header, justify="right")
        for arm in group:
            table.add_row(
                "*" if arm in best else "",
                arm.backbone,
                arm.head,
                arm.schedule,
                str(len(arm.values)),
                mean_sd(arm),
                number(arm.seconds),
                number(arm.rate),
                f"{count(arm.trainable)} / {count(arm.total)}",
            )
        console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _replace(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames, so that a reader sees the old file or the new one, never half of one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
