"""report.md and its short form for a terminal: question, answer in words and tables and sources of the numbers."""

import math
from collections.abc import Iterable
from io import StringIO
from statistics import fmean

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from frostline.report.arms import (
    Arm,
    arms,
    best_within,
    count,
    curve,
    figure,
    mean_sd,
    number,
    ranked,
    rows_of,
    verdict,
)
from frostline.report.plots import SHEETS, sheet_name, spans
from frostline.report.results import Results
from frostline.scenes.scene import SPLITS

PICTURES = {
    "comparison.png": (
        "Test-set results",
        "the primary test metric of every run, one panel per task, a dot for each seed and a bar at each arm's mean",
    ),
    "curves.png": (
        "Learning curves",
        "the primary metric on the validation split against images seen and against seconds of training, one line per "
        "arm",
    ),
    "cost.png": (
        "What it costs",
        "the primary test metric of every run against its seconds of training, one panel per task",
    ),
    "speed.png": (
        "What predictions cost",
        "the primary test metric of every run against the milliseconds that it takes to predict one picture, one panel "
        "per task",
    ),
    "predictions.png": (
        "Predictions",
        "predictions on test pictures by one run of the arm with the highest mean, for each task",
    ),
}
WORDS = {
    "confusion": "how often each true class, in rows, was taken for each class, in columns",
    "precision_recall": "precision against recall, a line for each class",
    "errors": "the scenes predicted worst, each as annotated beside as predicted",
}
METRICS = {
    "accuracy": "share of the scenes whose class is right",
    "dice": "twice the pixels that prediction and truth share over those of both, as a mean over the classes",
    "ece": "expected calibration error: how far off the stated probabilities are, in 15 bins",
    "f1": "harmonic mean of precision and recall, as a mean over the classes",
    "iou": "overlap of the predicted and the true box over what both cover, as a mean over the scenes",
    "iou50": "share of the scenes whose box overlaps by half or more",
    "iou50_and_class": "and has the right class",
    "map": "COCO's mean average precision, over overlaps of 0.5, 0.55 … 0.95; `map50`, `map75` at one of them; "
    "`_small`, `_medium`, `_large`: boxes below 32², below 96² and from 96² px",
    "mar100": "mean recall with at most 100 boxes a picture, over the same overlaps; `mar1`, `mar10` with fewer",
    "miou": "pixels that prediction and truth share over those of either, as a mean over the classes",
    "pixel_accuracy": "share of the pixels whose class is right",
    "top2": "share of the scenes whose class is among the two likeliest",
    "voc_ap11": "VOC 2007's average precision at overlap 0.5, by its eleven points; `voc_ap_area`: by the area, as "
    "from 2010 on",
}
CLASSES = 20  # up to which values by class are told
SHARES = (0.25, 0.5, 1.0)  # of the budget in images, for the table of equal budgets
AT_EQUAL_BUDGETS = (
    "The tables at equal budgets are read off the learning curves: the best validation metric so far, as a mean over "
    "the seeds, after shares of the images that the longest arm saw, and after the seconds that the fastest arm "
    "trained in total. “—”: no epoch had ended by then, or there was nothing to be found."
)


def report_text(results: Results, pictures: list[str]) -> str:
    """The report as Markdown; `pictures` are the names of the files drawn in `plots/`.

    The same results give the same bytes: the date is that of the last run, not of the writing.
    """
    groups = arms(results.frame)
    curves = {arm: curve(results.curves, arm) for group in groups.values() for arm in group}
    parts = [
        f"# {results.study.name}",
        f"**Question.** {_one_line(results.study.question or 'not stated')}",
    ]
    if results.study.expected:
        parts.append(f"**Expected beforehand.** {_one_line(results.study.expected)}")
    parts += [f"**Answer.** {_answer(groups, results)}", _findings(groups)]
    parts += ["## Where the numbers come from", _provenance(results), *_annotations(results)]
    parts += ["## Results", _reading(groups)]
    if not results.curves.empty:
        parts.append(AT_EQUAL_BUDGETS)
    for (dataset, task), group in groups.items():
        parts += [f"### {task} on {dataset}", _table(group, results)]
        told = {arm: curves[arm] for arm in group}
        if any(map(len, told.values())):
            parts += ["#### At equal budgets", _budgets(told)]
        parts += _other_metrics(group)
        parts += _by_class(group, results)
    plots = [picture for picture in pictures if picture in PICTURES]
    if plots:
        parts.append("## Plots")
    for picture in plots:
        title, alt = PICTURES[picture]
        parts += [f"### {title}", f"![{title}: {alt}](plots/{picture})"]
        if note := _note(picture, curves):
            parts.append(note)
    parts += _errors(groups, pictures)
    parts += ["## Notes", _notes(results)]
    return "\n\n".join(parts) + "\n"


def render_table(df: pd.DataFrame) -> str:
    """The arms of a frame of `compare` as plain text, one table a task; a star marks the highest mean."""
    out = StringIO()
    console = Console(file=out, width=1000, color_system=None, legacy_windows=False, highlight=False, markup=False)
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


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _answer(groups: dict[tuple[str, str], list[Arm]], results: Results) -> str:
    ahead, level, other = [], [], []
    for (dataset, task), group in groups.items():
        where = f"{task} on {dataset}"
        order = ranked(group)
        match verdict(order):
            case "apart":
                ahead.append(f"{where} ({order[0].name})")
            case "overlap" | "unknown":
                level.append(where)
            case "alone":
                other.append(where)
    said = []
    if ahead:
        said.append(f"The best arm lies clear of the next, with no overlap of their spreads, in {_and(ahead)}.")
    if level:
        said.append(f"These runs cannot tell the two best arms apart in {_and(level)}.")
    if other:
        said.append(f"There are not two arms with a finite result to compare in {_and(other)}.")
    broken = [f"{task} on {dataset}" for (dataset, task), group in groups.items() if len(ranked(group)) < len(group)]
    if broken:
        said.append(f"Arms without a finite result in every seed are not ranked in {_and(broken)}.")
    if results.missing:
        said.append(f"All of this is provisional: {len(results.missing)} of {len(results.planned)} runs are missing.")
    return " ".join(said)


def _findings(groups: dict[tuple[str, str], list[Arm]]) -> str:
    lines = []
    for (dataset, task), group in groups.items():
        order = ranked(group)
        said = []
        if order:
            said.append(f"highest mean {order[0].primary} by `{order[0].name}`, {_seen(order[0])}")
        if len(order) > 1:
            said.append(f"next `{order[1].name}`, {_seen(order[1])}")
        said.append(
            {
                "apart": "their spreads do not overlap",
                "overlap": "their spreads overlap, so these runs cannot tell the two apart",
                "unknown": "with a single seed nothing is known of the spread, so these runs cannot tell the two apart",
                "alone": "there is no second arm to compare with" if order else "no arm has a finite result",
            }[verdict(order)]
        )
        lost = [f"`{arm.name}`" for arm in group if arm not in order]
        if lost and order:
            said.append(f"not ranked, because a seed has no finite result: {', '.join(lost)}")
        lines.append(f"- **{task} on {dataset}**: {'; '.join(said)}.")
    return "\n".join(lines)


def _seen(arm: Arm) -> str:
    seeds = f"{len(arm.values)} seed{'s' if len(arm.values) > 1 else ''}"
    return f"{mean_sd(arm) if len(arm.values) > 1 else figure(arm.mean)} ({seeds})"


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _provenance(results: Results) -> str:
    records = results.records
    commits = {
        f"`{record['commit'] or 'unknown'}`{' with uncommitted changes' if record.get('dirty') else ''}"
        for record in records
    }
    hashes = {f"{_cell(record['dataset'])} `{record['data_hash'] or 'unknown'}`" for record in records}
    versions = {f"{name} {version}" for record in records for name, version in (record.get("versions") or {}).items()}
    sizes = {f"{record['image_size']} px" for record in records if record.get("image_size")}
    name = results.study.name
    again = "dvc repro" if name == "quickstart" else f"dvc repro experiments/{name}/dvc.yaml"
    rows = {
        "run it again": f"`{again}`",
        "commit": _set(commits),
        "data": _set(hashes),
        "machine": _set({record["machine"] or "unknown" for record in records}),
        "versions": _set(versions),
        "image size": _set(sizes),
        "runs": f"{len(records)} of {len(results.planned)} planned",
        "last run finished": max((str(r["finished"]) for r in records if r.get("finished")), default="unknown"),
    }
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def _annotations(results: Results) -> list[str]:
    """Which scenes the tasks left out, and which annotations are not the source's own; nothing where there are none."""
    rows: dict[str, None] = {}  # the runs of a task say the same, unless they saw different data
    for record in results.records:
        left_out = record.get("scenes_left_out") or {}
        cells = [
            f"{record['scenes'][split]} ({left_out[split]} left out)" if left_out.get(split) else "all"
            for split in SPLITS
        ]
        if any(left_out.values()):
            rows.setdefault(f"| {record['task']} on {_cell(record['dataset'])} | {' | '.join(cells)} |")
    parts = []
    if rows:
        table = "| scenes used | train | val | test |\n| --- | ---: | ---: | ---: |\n" + "\n".join(rows)
        parts += ["A task leaves out the scenes that lack an annotation it needs:", table]
    derived = [
        f"- **derived {kind}** in {dataset}: {_one_line(how)}."
        for dataset, kinds in results.derived.items()
        for kind, how in (kinds or {}).items()
    ]
    return [*parts, "\n".join(derived)] if derived else parts


def _set(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "unknown"


def _reading(groups: dict[tuple[str, str], list[Arm]]) -> str:
    primaries = sorted({group[0].primary for group in groups.values()})
    return (
        "One row is an arm: the runs that differ only in seed. All metrics are of the test split, at the epoch that "
        f"was best on the validation split; the one that stands in the first table ({', '.join(primaries)}) decides. "
        "`mean ± s` is the mean over the seeds and their sample standard deviation (n − 1): how far single runs lie "
        "from each other, not how sure the mean is. One seed has no spread, hence “—”; a metric is “—” where there was "
        "nothing to be found, such as no box of that size. **Bold** marks the highest "
        "mean, which is not yet a proven best. Other columns are means over the seeds; `ms to predict` is one picture "
        "at a time, from its pixels to what is predicted."
    )


def _table(group: list[Arm], results: Results) -> str:
    best = ranked(group)[:1]
    planned = len(results.study.grid.get("seed", []))
    header = ["backbone", "head", "schedule", "seeds", group[0].primary, "seconds", "images/s", "ms to predict"]
    header.append("trainable in the last epoch / total")
    rows = []
    for arm in group:
        seeds = f"{len(arm.values)} of {planned}" if planned > len(arm.values) else str(len(arm.values))
        cells = [arm.backbone, arm.head, arm.schedule, seeds, mean_sd(arm)]
        cells += [number(arm.seconds), number(arm.rate), number(arm.predict_ms)]
        cells.append(f"{count(arm.trainable)} / {count(arm.total)}")
        if arm in best:
            cells[2], cells[4] = f"**{cells[2]}**", f"**{cells[4]}**"
        rows.append(cells)
    return _markdown(header, rows, names=3)


def _other_metrics(group: list[Arm]) -> list[str]:
    """Means over the seeds of the metrics that do not decide, and what their names mean."""
    others = list(group[0].others)
    if not others:
        return []
    rows = [[arm.backbone, arm.head, arm.schedule, *(figure(arm.others[name]) for name in others)] for arm in group]
    table = _markdown(["backbone", "head", "schedule", *others], rows, names=3)
    told = [f"`{name}`: {words}" for name, words in METRICS.items() if name in {group[0].primary, *others}]
    return ["#### Other metrics", table, *(["; ".join(told) + "."] if told else [])]


def _by_class(group: list[Arm], results: Results) -> list[str]:
    """Values by class as means over the seeds: all of the arm with the highest mean, and the first one of every arm.

    Nothing where the runs tell none, or of more than CLASSES classes.
    """
    told = {arm: _told_by_class(arm, results) for arm in group}
    best = next(iter(ranked(group)), None)
    if best is None or not told[best]:
        return []
    metrics, classes = list(told[best]), list(told[best][next(iter(told[best]))])
    if not 0 < len(classes) <= CLASSES:
        return []
    rows = [[name, *(figure(told[best][metric][name]) for metric in metrics)] for name in classes]
    parts = [f"#### By class: {best.name}", _markdown(["class", *metrics], rows, names=1)]
    first = metrics[0]
    if len(group) > 1:
        values = {arm: [figure(told[arm].get(first, {}).get(c, -1)) for c in classes] for arm in group}
        rows = [[arm.backbone, arm.head, arm.schedule, *values[arm]] for arm in group]
        header = ["backbone", "head", "schedule", *map(_cell, classes)]
        parts += [f"#### By class: {first} of every arm", _markdown(header, rows, names=3)]
    return parts


def _told_by_class(arm: Arm, results: Results) -> dict[str, dict[str, float]]:
    """Metric -> class -> mean over the seeds of the arm, of the metrics that all of them tell."""
    same = rows_of(results.frame, arm)
    runs = [r.get("by_class") or {} for r, mine in zip(results.records, same, strict=True) if mine]
    shared = [metric for metric in runs[0] if all(metric in run for run in runs)]
    return {metric: {c: _mean(run[metric].get(c) for run in runs) for c in runs[0][metric]} for metric in shared}


def _mean(values: Iterable[float | None]) -> float:
    """Of those seeds where there was something to be found; -1 where that is none, NaN where one is no number."""
    known = [math.nan if value is None else value for value in values if value != -1]
    return fmean(known) if known else -1.0


def _markdown(header: list[str], rows: list[list[str]], names: int) -> str:
    """A table whose first columns are names, and whose others are numbers, flush right."""
    rows = [[*map(_cell, cells[:names]), *cells[names:]] for cells in rows]
    lines = [header, ["---"] * names + ["---:"] * (len(header) - names), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _note(picture: str, curves: dict[Arm, pd.DataFrame]) -> str:
    """How to read a picture: what is in this one, and nothing that is not."""
    several = any(len(arm.values) > 1 for arm in curves)
    if picture == "cost.png":
        means = "; small marks are runs, large pale ones the means of arms" if several else ""
        return f"Seconds are wall time on the machine named above{means}."
    if picture != "curves.png":
        return ""
    said = []
    if several:
        said.append(
            "Lines are means over seeds and bands reach from the lowest seed to the highest. A line ends where the "
            "first of its seeds ended."
        )
    told = [epochs for epochs in curves.values() if len(epochs)]
    if any(len(spans(epochs, "images")) > 1 for epochs in told):
        said.append("A tick across a line marks the end of a phase, after which something else trains.")
    if any((epochs["share"] < 1).any() for epochs in told):
        said.append(
            "Below each panel, a thin line is training and a bar is a time in which part of the parameters was frozen, "
            "the darker the more of them; its number is that of the groups below the frost line. Where arms of one "
            "schedule take different times, they share its row, from top to bottom in the order of the table."
        )
    said.append(
        "Seconds are of training alone, without validation; the shaded ones are those that the fastest arm needed in "
        "total."
    )
    return " ".join(said)


def _errors(groups: dict[tuple[str, str], list[Arm]], pictures: list[str]) -> list[str]:
    """The SHEETS of each task, as far as they are drawn; those that are small stand side by side."""
    parts = []
    for (dataset, task), group in groups.items():
        drawn = [kind for kind in SHEETS if sheet_name(kind, task, dataset) in pictures]
        links = {kind: f"![{WORDS[kind]}](plots/{sheet_name(kind, task, dataset)})" for kind in drawn}
        if links:
            parts.append(f"### {task} on {dataset}: {ranked(group)[0].name}")
            small = " ".join(link for kind, link in links.items() if kind != "errors")
            parts += [part for part in (small, links.get("errors")) if part]
    return ["## Errors", "Of one run of the arm with the highest mean, for each task.", *parts] if parts else []


def _budgets(told: dict[Arm, pd.DataFrame]) -> str:
    """The table of the best validation metric at equal images and at equal seconds, from the `curve` of each arm."""
    ends = pd.DataFrame([epochs.iloc[-1] for epochs in told.values() if len(epochs)])
    images, seconds = ends["images"].max(), ends["seconds"].min()
    columns: dict[str, list[float | None]] = {
        f"{share:.0%} ({share * images:,.0f} images)": [best_within(e, "images", share * images) for e in told.values()]
        for share in SHARES
    }
    columns[f"{seconds:,.1f} s"] = [best_within(epochs, "seconds", seconds) for epochs in told.values()]
    rows = []
    for row, arm in enumerate(told):
        cells = [arm.backbone, arm.head, arm.schedule]
        for values in columns.values():
            highest = max((v for v in values if v is not None and math.isfinite(v) and v != -1), default=None)
            value = values[row]
            cells.append("—" if value is None else f"**{figure(value)}**" if value == highest else figure(value))
        rows.append(cells)
    return _markdown(["backbone", "head", "schedule", *columns], rows, names=3)


def _notes(results: Results) -> str:
    notes = [f"- **missing**: `{run}` is planned and has no result." for run in results.missing]
    for record in results.records:
        broken = [m for m, value in record["metrics"].items() if value is None or not math.isfinite(value)]
        if broken:
            notes.append(f"- **not a finite number**: {', '.join(sorted(broken))} of `{record['run']}`.")
        if not (results.folders[record["run"]] / "epochs.jsonl").is_file():
            notes.append(f"- `{record['run']}` has no epochs.jsonl, so its learning curve is not drawn.")
    for dataset, kinds in results.derived.items():
        if kinds is None:
            notes.append(f"- Dataset {dataset} is not prepared here, so which annotations are derived is not told.")
    for what, key in (("commits", "commit"), ("machines", "machine"), ("image sizes", "image_size")):
        if len({record.get(key) for record in results.records}) > 1:
            notes.append(f"- The runs come from different {what}; differences between arms may come from that.")
    if any(record.get("dirty") for record in results.records):
        notes.append("- Some runs were made from a working tree with uncommitted changes.")
    for dataset in sorted({record["dataset"] for record in results.records}):
        if len({r["data_hash"] for r in results.records if r["dataset"] == dataset}) > 1:
            notes.append(f"- The runs saw different versions of dataset {dataset}; they are not comparable.")
    return "\n".join(notes) or "Every planned run has a result."
