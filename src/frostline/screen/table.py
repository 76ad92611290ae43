"""What a screen found, as a table, a CSV, JSON and sentences."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from frostline.files import write_whole
from frostline.screen.agreement import Study
from frostline.screen.screening import Screen
from frostline.screen.verdict import Looked, Verdict, alike, judge
from frostline.words import decimal, listed, quantity

if TYPE_CHECKING:
    from rich.table import Table

CSV, JSON = "screen.csv", "screen.json"
ESTIMATES = {"logme": "LogME", "h_score": "H-score"}
NAMED = 3  # pairs that are named of those that are not told apart

Judged = Mapping[str, Mapping[str, Verdict]]  # by task and backbone


def judged(found: Screen, margin: float) -> Judged:
    return {task: judge(rows, margin) for task, rows in found.looked.items()}


def ranked(rows: Sequence[Looked]) -> list[Looked]:
    """The best first; those without a value last."""
    return sorted(rows, key=lambda row: -row.mean if math.isfinite(row.mean) else math.inf)


def tables(found: Screen, verdicts: Judged) -> "list[Table]":
    """One of rich for each task, the best first. Greyed: what nothing can save, and what could not be looked at."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = []
    for task, rows in found.looked.items():
        shown = [name for name in ESTIMATES if any(name in row.estimates for row in rows)]
        heads = ["backbone", found.primary.get(task, "quality"), "95 % interval", "ms", "params", "MB to train"]
        table = Table(*heads, *(ESTIMATES[name] for name in shown), "", title=task, box=SIMPLE, padding=0)
        for row in ranked(rows):
            verdict = verdicts[task][row.name]
            interval = row.interval
            table.add_row(
                row.name,
                decimal(row.mean) if math.isfinite(row.mean) else "—",
                "—" if interval is None else f"{decimal(interval.low)} to {decimal(interval.high)}",
                f"{row.ms:.1f}",
                quantity(row.parameters),
                f"{row.memory:,.0f}",
                *(decimal(row.estimates[name]) if name in row.estimates else "—" for name in shown),
                words(verdict),
                style="dim" if verdict.lost else None,
            )
        for name, why in found.refused[task].items():
            table.add_row(name, *["—"] * (len(heads) - 1 + len(shown)), why, style="dim")
        made.append(table)
    return made


def words(verdict: Verdict) -> str:
    """What is said of one backbone."""
    kept = ["may win"] * verdict.wins + ["on the Pareto edge"] * verdict.edge
    return ", ".join(kept) or "out"


def sentences(found: Screen, margin: float, study: Study | None) -> list[str]:
    """What the screen could not tell, and how far it can be trusted."""
    told = []
    for task, rows in found.looked.items():
        pairs = alike(rows)
        if pairs:
            more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
            named = "; ".join(f"{a} and {b}" for a, b in pairs[:NAMED])
            told.append(f"{task}: not told apart are {named}{more}.")
    told.append(
        f"may win: its heads were not shown to be more than {margin:g} below the best; on the Pareto edge: no other is "
        "as good and as fast; out: neither."
    )
    if study is None:
        told.append(
            "How far this order is the one after thawing has not been measured (experiments/screen has no "
            "agreement.json): take it as a hint."
        )
    else:
        by = "; ".join(f"{name.replace('_', ' ')}: {one}" for name, one in study.by.items())
        told.append(f"This order against that after `{study.schedule}`, measured on {study.dataset}: {by}.")
    if found.absent:
        told.append(f"No weights here, so not looked at: {listed(list(found.absent))}.")
    return told


def rows_of(found: Screen, verdicts: Judged) -> list[dict[str, Any]]:
    """Plain values, a row for each task and backbone, as the CSV has them; None for what is not known."""
    made: list[dict[str, Any]] = []
    for task, rows in found.looked.items():
        for row in ranked(rows):
            verdict, interval = verdicts[task][row.name], row.interval
            facts = found.facts[task][row.name]
            made.append(
                {
                    "task": task,
                    "backbone": row.name,
                    "primary": found.primary[task],
                    "mean": row.mean if math.isfinite(row.mean) else None,
                    "low": interval and interval.low,
                    "high": interval and interval.high,
                    "seeds": len(row.values),
                    "milliseconds": row.ms,
                    "parameters": row.parameters,
                    "megabytes": row.memory,
                    "feature_seconds": facts.feature_seconds,
                    "head_seconds": facts.head_seconds,
                    **{name: row.estimates.get(name) for name in ESTIMATES},
                    "edge": verdict.edge,
                    "may_win": verdict.wins,
                    "lost": verdict.lost,
                    "refused": "",
                }
            )
        for name, why in found.refused[task].items():
            made.append({"task": task, "backbone": name, "refused": why})
    return made


def write(found: Screen, verdicts: Judged, margin: float, study: Study | None) -> None:
    """`screen.csv` and `screen.json` into the screen's folder."""
    rows = rows_of(found, verdicts)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(found.folder / CSV, text.getvalue())
    values = {task: {row.name: dict(row.values) for row in looked} for task, looked in found.looked.items()}
    told = {
        "margin": margin,
        "rows": rows,
        "seeds": {
            task: {name: {str(seed): _plain(value) for seed, value in own.items()} for name, own in by.items()}
            for task, by in values.items()
        },
        "not_told_apart": {task: alike(looked) for task, looked in found.looked.items()},
        "sentences": sentences(found, margin, study),
    }
    write_whole(found.folder / JSON, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
