"""report.md: what stands in it is reckoned here, and put into words by report.md.j2."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from frostline.report.arms import ARCHITECTURE, Arm, Panel
from frostline.report.compared import Table, against_candidate, all_pairs, apart, at_budgets, intervals, of_parts
from frostline.report.expected import outcome
from frostline.report.judged import BUSY, Judged
from frostline.report.learning import has_phases, is_frozen
from frostline.report.pictures import APART, SHEETS, sheet_name
from frostline.report.reached import validating
from frostline.report.results import Results
from frostline.report.standing import standings, told
from frostline.report.tested import Pictures
from frostline.report.verdict import answer, bounds
from frostline.report.within import budgets, machines_of, run_seconds
from frostline.scenes.scene import SPLITS
from frostline.studies.kept import changes
from frostline.words import cell, decimal, duration, listed, one_line, score

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
CLASSES, LOWEST = 20, 10  # classes up to which values of each are shown, and how many of more than that
MISTAKEN = 5  # of the commonest mistakes between classes
HIGH = 0.9  # from which on a class is as good as told


def report_text(
    results: Results, judged: Sequence[Judged], pictures: Sequence[str], tested: Sequence[Pictures | None]
) -> str:
    """The report as Markdown; `pictures` are the names of the files drawn in `plots/`. tested: of each panel.

    The same results give the same bytes: the date is that of the last run, not of the writing.
    """
    of_page = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    of_page.filters["one_line"] = one_line
    page = of_page.from_string(Path(__file__).with_name("report.md.j2").read_text(encoding="utf-8"))
    panels = [one.panel for one in judged]
    # Once seeds were added where they were needed, that is what decides.
    raced = standings(results) if results.study.looks and not results.missing else []
    rounds = {one.panel.where: told(one).partition(": ")[2] for one in raced}
    arms = [arm for panel in panels for arm in panel.arms]
    seeds = len(results.study.grid.get("seed", []))
    text = page.render(
        study=results.study,
        planned=len(results.planned),
        missing=results.missing,
        sources=_sources(results),
        left_out=_left_out(results),
        derived=[(kind, name, how) for name, kinds in results.derived.items() for kind, how in (kinds or {}).items()],
        primaries=sorted({panel.primary for panel in panels}),
        within=_within(judged),
        panels=[
            _panel(one, seen, seeds, rounds.get(one.panel.where, ""))
            | {"outcome": outcome(results.study.stated.expected_of(one.panel.task), one)}
            for one, seen in zip(judged, tested, strict=True)
        ],
        changes=changes(results.study),
        margins={one.panel.where: one.margin for one in judged if one.margin is not None},
        pictures=pictures,
        sheets=_sheets(panels, pictures),
        curves=any(arm.curve for arm in arms),
        several=any(len(arm.runs) > 1 for arm in arms),
        phased=any(map(has_phases, arms)),
        frozen=any(map(is_frozen, arms)),
        speeds=_speeds(results),
        busy=any(one.busy for one in judged),
        **_notes(results),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _within(judged: Sequence[Judged]) -> dict[str, Any] | None:
    """What to take within each of some budgets; None where no seconds are known."""
    found = [(one, row) for one in judged for row in budgets(one)]
    if not found:
        return None
    primaries, several = {one.panel.primary for one in judged}, len(judged) > 1
    rows = []
    for one, row in found:
        value = _figure(one, row.arm) if row.arm else "—"
        takes = f"{duration(row.seconds)}{' *' if row.busy else ''}" if row.arm else "—"
        names = [one.panel.where] * several + [row.budget, f"`{row.arm}`" if row.arm else "none", row.why]
        rows.append([*map(cell, names), value, takes, f"{row.fitting} of {len(one.arms)}"])
    unknown = [f"`{name}`" for one in judged for name, each in run_seconds(one).items() if not math.isfinite(each)]
    return {
        "names": ["task"] * several + ["with", "take", "how sure"],
        "numbers": [primaries.pop() if len(primaries) == 1 else "figure", "a run takes", "fit"],
        "rows": rows,
        "validating": all(validating(one.panel) for one in judged),
        "machines": listed(machines_of(judged)) or "a machine that is not known",
        "unknown": listed(unknown),
        "raced": any(one.raced for one in judged),
    }


def _figure(judged: Judged, name: str) -> str:
    summary = judged.summaries[name]
    return f"{score(summary.seen.mean)} {bounds(summary.interval)}" if summary.interval else score(summary.seen.mean)


def _sources(results: Results) -> dict[str, str]:
    found = [run.result for run in results.runs]
    sizes = sorted({result.image_size for result in found} - {0})
    name = results.study.name
    again = "dvc repro" if name == "quickstart" else f"dvc repro experiments/{name}/dvc.yaml"
    rows = {
        "commit": {f"`{r.commit or 'unknown'}`{' with uncommitted changes' if r.dirty else ''}" for r in found},
        "data": {f"{cell(r.names['dataset'])} `{r.data_hash or 'unknown'}`" for r in found},
        "machine": {r.machine for r in found},
        "versions": {f"{package} {version}" for r in found for package, version in r.versions.items()},
    }
    return {
        "run it again": f"`{again}`",
        **{what: ", ".join(sorted(values - {""})) or "unknown" for what, values in rows.items()},
        "image size": ", ".join(f"{size} px" for size in sizes) or "unknown",
        "runs": f"{len(found)} of {len(results.planned)} planned",
        "last run finished": max(r.finished for r in found) or "unknown",
    }


def _speeds(results: Results) -> Table | None:
    """Milliseconds of each network, with their range, where there are several."""
    if len(results.speeds) < 2:
        return None
    rows = [
        [*map(cell, network.split("/")[:4]), f"{one.median:.1f}", f"{one.low:.1f} to {one.high:.1f}", str(one.taken)]
        for network, one in results.speeds.items()
    ]
    return {"rows": rows, "in_turn": all(one.in_turn for one in results.speeds.values())}


def _left_out(results: Results) -> list[list[str]]:
    """A row for each task and dataset of which scenes were left out."""
    rows: dict[tuple[str, ...], None] = {}  # the runs of a task say the same, unless they saw different data
    for result in (run.result for run in results.runs):
        missing = result.scenes_left_out
        if any(missing.values()):
            where = f"{result.names['task']} on {cell(result.names['dataset'])}"
            splits = [f"{result.scenes[s]} ({missing[s]} left out)" if missing.get(s) else "all" for s in SPLITS]
            rows.setdefault((where, *splits))
    return [list(row) for row in rows]


def _panel(judged: Judged, tested: Pictures | None, seeds: int, rounds: str) -> dict[str, Any]:
    """What the template tells of one task on one dataset. seeds: that the study plans. rounds: as of `answer`."""
    panel = judged.panel
    classes = _classes(panel)
    meanings = METRICS | {
        n: words for arm in panel.arms for run in arm.runs for n, words in run.result.meanings.items()
    }
    return {
        "where": panel.where,
        "primary": panel.primary,
        "answer": answer(judged, rounds),
        "best": panel.best.name if panel.best else "",
        "several": len(panel.arms) > 1,
        "columns": [cell(column) for column in panel.columns],
        "common": listed([_facet(facet, value) for facet, value in panel.common.items()]),
        "results": [_result(judged, arm, seeds) for arm in panel.arms],
        "against": against_candidate(judged),
        "pairs": all_pairs(judged),
        "parts": of_parts(judged),
        "apart": apart(judged, tested),
        "apart_sheet": sheet_name(APART, panel),
        "budgets": at_budgets(judged),
        "metrics": _metrics(panel),
        "meanings": {n: words for n, words in meanings.items() if n in {panel.primary, *panel.arms[0].metrics}},
        "classes": classes,
        "arms_by_class": _arms_by_class(panel, _shown(panel)) if classes and len(panel.arms) > 1 else None,
    }


def _facet(facet: str, value: str) -> str:
    return f"{facet} {cell(value)}" if facet in ARCHITECTURE else f"{facet}={cell(value)}"


def _names(panel: Panel, arm: Arm) -> list[str]:
    return [cell(arm.facets[column]) for column in panel.columns]


def _result(judged: Judged, arm: Arm, seeds: int) -> list[str]:
    panel = judged.panel
    names, ran, (value, *sure) = _names(panel, arm), len(arm.runs), intervals(judged, arm.name)
    if arm is panel.best:
        names, value = [f"**{name}**" for name in names], f"**{value}**"
    facts = [decimal(one) for one in (arm.seconds, arm.mean_of("images_per_second"), arm.mean_of("predict_ms"))]
    if any(run.result.load > BUSY for run in arm.runs):
        facts[:2] = [f"{fact} *" for fact in facts[:2]]
    return [*names, f"{ran} of {seeds}" if seeds > ran else str(ran), value, *sure, *facts, arm.parameters]


def _metrics(panel: Panel) -> Table:
    """Means over the seeds of the metrics that do not decide."""
    names = list(dict.fromkeys(name for arm in panel.arms for name in arm.metrics))
    rows = [[*_names(panel, arm), *(score(arm.metrics.get(n, math.nan)) for n in names)] for arm in panel.arms]
    return {"columns": names, "rows": rows}


def _classes(panel: Panel) -> Table | None:
    """Values by class of the arm with the highest mean; None where there are none. Of many classes, the lowest."""
    by_class = panel.best.by_class if panel.best else {}
    names = _shown(panel)
    if not names:
        return None
    rows = [[cell(name), *(score(values[name]) for values in by_class.values())] for name in names]
    metric, first = next(iter(by_class.items()))
    words = ""
    if len(names) < len(first):
        there = [value for value in first.values() if value != -1]
        words = (
            f"The {len(names)} with the lowest {metric} of {len(there):,} classes that occur in the test split "
            f"({len(first):,} in all); {sum(value == 0 for value in there):,} have 0, and "
            f"{sum(value >= HIGH for value in there):,} at least {HIGH}.{_mistaken(panel, list(first))}"
        )
    return {"columns": list(by_class), "rows": rows, "words": words}


def _shown(panel: Panel) -> list[str]:
    """The classes whose values are shown: all, or LOWEST of more than CLASSES that occur, by the first metric."""
    by_class = panel.best.by_class if panel.best else {}
    first = next(iter(by_class.values()), {})
    if len(first) <= CLASSES:
        return list(first)
    return sorted((name for name, value in first.items() if value != -1), key=lambda name: first[name])[:LOWEST]


def _mistaken(panel: Panel, names: Sequence[str]) -> str:
    """The commonest mistakes of the best arm's runs together, in a sentence; empty where no classes are told apart."""
    counts = Counter[tuple[int, int]]()
    for run in panel.best.runs if panel.best else ():
        for truth, row in enumerate(run.result.confusion or []):
            counts.update({(truth, found): int(often) for found, often in enumerate(row) if found != truth})
        counts.update({(truth, found): often for truth, found, often in run.result.confused})
    commonest = [(*pair, often) for pair, often in counts.most_common(MISTAKEN) if often]
    told = [f"{cell(names[truth])} for {cell(names[found])} ({often:,})" for truth, found, often in commonest]
    return f" Most often taken for another: {listed(told)}." if told else ""


def _arms_by_class(panel: Panel, classes: Sequence[str]) -> Table:
    """The first of the metrics by class, of every arm."""
    assert panel.best
    metric = next(iter(panel.best.by_class))
    rows = []
    for arm in panel.arms:
        values = arm.by_class.get(metric, {})
        rows.append([*_names(panel, arm), *(score(values.get(name, -1.0)) for name in classes)])
    return {"columns": [cell(name) for name in classes], "rows": rows}


def _sheets(panels: Sequence[Panel], pictures: Sequence[str]) -> list[dict[str, Any]]:
    """The SHEETS of each panel, as far as they are drawn."""
    found = []
    for panel in panels:
        files = {kind: name for kind in SHEETS if (name := sheet_name(kind, panel)) in pictures}
        if files and panel.best:
            found.append({"where": panel.where, "arm": panel.best.name, "files": files})
    return found


def _notes(results: Results) -> Mapping[str, Any]:
    """What a reader must know before believing the numbers."""
    found = [run.result for run in results.runs]
    seen = Counter(name for name, _ in {(result.names["dataset"], result.data_hash) for result in found})
    broken = {r.run: sorted(metric for metric, value in r.metrics.items() if not math.isfinite(value)) for r in found}
    facts = {"commits": "commit", "machines": "machine"}
    if "image_size" not in results.study.axes:
        facts["image sizes"] = "image_size"
    return {
        "broken": {run: metrics for run, metrics in broken.items() if metrics},
        "without_curve": [run.result.run for run in results.runs if not run.epochs],
        "not_prepared": [dataset for dataset, kinds in results.derived.items() if kinds is None],
        "mixed": [what for what, fact in facts.items() if len({getattr(result, fact) for result in found}) > 1],
        "dirty": any(result.dirty for result in found),
        "changed_datasets": sorted(dataset for dataset, versions in seen.items() if versions > 1),
    }
