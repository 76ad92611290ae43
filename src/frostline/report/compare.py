"""The last stage of a study: reads the results of its runs and writes the answer beside its question."""

from pathlib import Path

from frostline.draw.png import small_png
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.report.apart import apart_sheet
from frostline.report.arms import panels_of
from frostline.report.figures import metrics_json
from frostline.report.html import report_html
from frostline.report.judged import judge_panel
from frostline.report.looks import look_of
from frostline.report.page import report_text
from frostline.report.pictures import APART, MAX_SHEET_BYTES, SHEETS, draw, sheet_name
from frostline.report.results import read_results
from frostline.report.table import budget_table, csv_text, terminal_table
from frostline.report.tracked import tell


def compare(study_dir: Path, runs_dir: Path) -> None:
    """Write results.csv, metrics.json, report.md, report.html and plots/*.png into `study_dir`, print the table, and
    tell the tracker of the runs.

    study_dir: the folder of study.yaml; its name is the study's name.
    runs_dir: the folder of the study's runs, with `plan/<run>.yaml` and `results/<run>/result.json`. Only planned runs
        are read.
    Raises FrostlineError at once where nothing can be compared, and after writing what there is where planned runs
    have no result yet.
    """
    results = read_results(study_dir, runs_dir)
    panels = panels_of(results.runs)
    found = [judge_panel(results, panel) for panel in panels]
    judged, tested = [one for one, _ in found], [seen for _, seen in found]
    pictures = draw(panels, results.study.axes)
    for one, seen in zip(judged, tested, strict=True):
        if (sheet := apart_sheet(one, seen, runs_dir / "data" / one.panel.dataset)) is not None:
            pictures[sheet_name(APART, one.panel)] = small_png(sheet, MAX_SHEET_BYTES)
    plots = study_dir / "plots"
    plots.mkdir(exist_ok=True)
    stale = {plots / name for name, png in pictures.items() if png is None}
    stale |= {file for kind in (*SHEETS, APART) for file in plots.glob(f"{kind}-*.png") if file.name not in pictures}
    for file in stale:  # a picture of an earlier state would contradict the report
        file.unlink(missing_ok=True)
    drawn = {name: png for name, png in pictures.items() if png is not None}
    for name, png in drawn.items():
        write_whole(plots / name, png)
    write_whole(study_dir / "results.csv", csv_text(results.runs))
    write_whole(study_dir / "metrics.json", metrics_json(judged))
    text = report_text(results, judged, list(drawn), tested)
    write_whole(study_dir / "report.md", text)
    look = look_of(panels, results.study.axes)
    write_whole(study_dir / "report.html", report_html(results.study.name, text, judged, look, drawn))
    print(terminal_table(results.runs), flush=True)
    print(budget_table(judged), flush=True)
    report = [study_dir / name for name in ("report.md", "report.html", "results.csv", "plots")]
    tell(results, judged, text, runs_dir / "plan", report)
    if results.missing:
        raise FrostlineError(
            f"{len(results.missing)} of {len(results.planned)} planned runs of study {results.study.name} have no "
            f"result in {runs_dir / 'results'}: {', '.join(results.missing)}; train them, then compare again."
        )
