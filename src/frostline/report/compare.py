"""The last stage of a study: reads the results of its runs and writes the answer beside its question."""

from collections.abc import Callable
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.report.arms import panels_of
from frostline.report.page import report_text
from frostline.report.pictures import SHEETS, draw
from frostline.report.results import Results, read_results
from frostline.report.table import csv_text, read_csv, terminal_table


def compare(study_dir: Path, runs_dir: Path, show: Callable[[str], object] | None = None) -> Results:
    """Writes results.csv, report.md and plots/*.png into `study_dir`; returns what they tell of.

    study_dir: the folder of study.yaml; its name is the study's name.
    runs_dir: the folder of the study's runs, with `plan/<run>.yaml` and `results/<run>/result.json`. Only planned runs
        are read.
    show: is given the table for a terminal once the files are written, also where runs are missing.
    Raises FrostlineError at once where nothing can be compared, and after writing what there is where planned runs
    have no result yet.
    """
    results = read_results(study_dir, runs_dir)
    panels = panels_of(results.runs)
    pictures = draw(panels, results.study.axes)
    plots = study_dir / "plots"
    plots.mkdir(exist_ok=True)
    stale = {plots / name for name, png in pictures.items() if png is None}
    stale |= {file for kind in SHEETS for file in plots.glob(f"{kind}-*.png") if file.name not in pictures}
    for file in stale:  # a picture of an earlier state would contradict the report
        file.unlink(missing_ok=True)
    drawn = {name: png for name, png in pictures.items() if png is not None}
    for name, png in drawn.items():
        write_whole(plots / name, png)
    write_whole(study_dir / "results.csv", csv_text(results.runs))
    write_whole(study_dir / "report.md", report_text(results, panels, list(drawn)))
    if show is not None:
        show(terminal_table(results.runs))
    if results.missing:
        raise FrostlineError(
            f"{len(results.missing)} of {len(results.planned)} planned runs of study {results.study.name} have no "
            f"result in {runs_dir / 'results'}: {', '.join(results.missing)}; train them, then compare again."
        )
    return results


def table(study_dir: Path) -> str:
    """The table for a terminal, from results.csv as it stands. Raises FrostlineError where there is none."""
    written = study_dir / "results.csv"
    if not written.is_file():
        raise FrostlineError(f"There is no {written}: run `frostline compare {study_dir}` without --table first.")
    return terminal_table(read_csv(written))
