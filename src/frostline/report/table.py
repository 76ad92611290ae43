"""results.csv, written and read back, and the short form of a report for a terminal."""

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.report.arms import mean_sd, panels_of
from frostline.report.judged import Judged
from frostline.report.results import Run
from frostline.report.within import budgets
from frostline.runs.result import GROUPS, RunResult
from frostline.words import decimal, duration

FACTS = {
    "epochs": int,
    "images_seen": int,
    "train_seconds": float,
    "images_per_second": float,
    "predict_ms": float,
    "params_total": int,
    "params_trainable_last": int,
    "commit": str,
    "data_hash": str,
    "machine": str,
}
TEST = "test_"


def csv_text(runs: Sequence[Run]) -> str:
    """One row a run: study, the names of its GROUPS, its other axes, seed, the primary metric's name, metrics, FACTS.

    A metric that the task lacks is blank; one that came out as not a number reads `nan`.
    """
    axes = [axis for axis in runs[0].axes if axis not in GROUPS]
    metrics = sorted({metric for run in runs for metric in run.result.metrics})
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["study", *GROUPS, *axes, "seed", "primary", *(TEST + metric for metric in metrics), *FACTS])
    for run in runs:
        result = run.result
        names = [*(result.names[group] for group in GROUPS), *(run.axes[axis] for axis in axes)]
        values = [result.metrics.get(metric, "") for metric in metrics]
        facts = [kind(getattr(result, fact)) for fact, kind in FACTS.items()]
        writer.writerow([result.study, *names, result.seed, result.primary, *values, *facts])
    return out.getvalue()


def read_csv(path: Path) -> list[Run]:
    """What `csv_text` wrote, with no more of each result than stands there.

    Raises FrostlineError where there is no such file, or another.
    """
    if not path.is_file():
        raise FrostlineError(f"There is no {path}: run `frostline compare {path.parent}` without --table first.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return [_run(path, row) for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise FrostlineError(
            f"{path} is no table of results ({error!r}): run `frostline compare {path.parent}` to write it anew."
        ) from error


def terminal_table(runs: Sequence[Run]) -> str:
    """The arms as plain text, one table a task; a star marks the highest mean."""
    tables = []
    for panel in panels_of(runs):
        table = _titled(panel.where)
        for header in ("", *panel.columns):
            table.add_column(header)
        for header in ("seeds", f"{panel.primary} (mean ± sd)", "seconds", "images/s", "trainable / total"):
            table.add_column(header, justify="right")
        for arm in panel.arms:
            table.add_row(
                "*" if arm is panel.best else "",
                *(arm.facets[column] for column in panel.columns),
                str(len(arm.runs)),
                mean_sd(arm),
                decimal(arm.seconds),
                decimal(arm.mean_of("images_per_second")),
                arm.parameters,
            )
        tables.append(table)
    return _plain(tables)


def budget_table(judged: Sequence[Judged]) -> str:
    """What to take with ten minutes, an hour or a night, as plain text, one table a task; empty where no seconds are
    known."""
    tables = []
    for one in judged:
        table = _titled(one.panel.where)
        for header in ("with", "take", one.panel.primary, "a run takes", ""):
            table.add_column(header)
        for row in budgets(one):
            figures = [mean_sd(one.arms[row.arm]), duration(row.seconds)] if row.arm else ["", ""]
            table.add_row(row.budget, row.arm or "none", *figures, row.why.replace("`", ""))
        if table.row_count:
            tables.append(table)
    return _plain(tables) if tables else ""


def _titled(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", box=SIMPLE_HEAD)


def _plain(tables: Sequence[Table]) -> str:
    out = StringIO()
    console = Console(file=out, width=1000, color_system=None, legacy_windows=False, highlight=False, markup=False)
    for table in tables:
        console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _run(path: Path, row: dict[str, str]) -> Run:
    columns = list(row)
    axes = columns[1 : columns.index("seed")]
    metrics = {
        column.removeprefix(TEST): float(value) for column, value in row.items() if column.startswith(TEST) and value
    }
    if row["primary"] not in metrics:
        metrics[row["primary"]] = math.nan
    # What older tables lack is not known.
    facts = {fact: kind(row.get(fact) or ("nan" if kind is float else kind())) for fact, kind in FACTS.items()}
    result = RunResult(
        study=row["study"],
        run="",
        arm={axis: row[axis] for axis in axes},
        names={group: row[group] for group in GROUPS},
        seed=int(row["seed"]),
        primary=row["primary"],
        metrics=metrics,
        **facts,  # type: ignore[arg-type]
    )
    return Run(result, path.parent, result.arm)
