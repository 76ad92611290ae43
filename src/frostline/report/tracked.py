"""What a tracker is told of a study's comparison; one that is away costs the comparison nothing."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frostline.config import build, read
from frostline.report.arms import Arm
from frostline.report.figures import figures, panel_names
from frostline.report.judged import Judged
from frostline.report.results import Results
from frostline.tracking.base import Cell, ToldArm, ToldStudy, Tracker
from frostline.words import reason_of

FACTS = ("train_seconds", "predict_ms", "params_total", "params_trainable_last")


def tell(results: Results, judged: Sequence[Judged], text: str, plan: Path, files: Sequence[Path]) -> None:
    """text: report.md. plan: the folder of resolved runs, which name their tracker. files: the report's."""
    try:
        for tracker in trackers_of(plan):
            if seen := tracker.compared(told(results, judged, text, files)):
                print(seen, flush=True)
    except Exception as error:  # of whatever kind: it is another's code, and often another's machine
        print(
            f"frostline: the tracker is not told what this study found ({reason_of(error)}); the report stands "
            f"without, and `frostline compare {results.study.folder}` tells it later.",
            file=sys.stderr,
            flush=True,
        )


def told(results: Results, judged: Sequence[Judged], text: str, files: Sequence[Path]) -> ToldStudy:
    """An arm's figures are called as those of its runs are, and the study's as those of its candidates, so that they
    stand in one column and one chart."""
    names = panel_names([one.panel for one in judged])
    metrics: dict[str, float] = {}
    for one in judged:
        if one.candidate is not None and f"test_{one.panel.primary}" not in metrics:
            metrics |= _named(figures(one, one.candidate), one.panel.primary)
    arms = [
        _arm(one, name, f"{panel}: {name}" if len(judged) > 1 else name)
        for panel, one in zip(names, judged, strict=True)
        for name in one.arms
    ]
    answer = text.partition("\n## ")[0].partition("\n")[2].strip()  # without its title, which is the run's name
    return ToldStudy(results.study.name, answer, metrics, arms, files)


def _named(figures: Mapping[str, float], primary: str) -> dict[str, float]:
    return {f"test_{primary}" + ("" if key == "mean" else f"_{key}"): value for key, value in figures.items()}


def _arm(judged: Judged, name: str, called: str) -> ToldArm:
    arm, primary = judged.arms[name], judged.panel.primary
    metrics = {f"test_{key}": value for key, value in arm.metrics.items() if value != -1}
    metrics |= _named(figures(judged, name), primary)
    metrics |= {fact: arm.mean_of(fact) for fact in FACTS} | {"seeds": float(len(arm.runs))}
    if judged.summaries[name].seen.n > 1:
        metrics[f"test_{primary}_sd"] = judged.summaries[name].seen.sd
    curves = {f"val_{primary}": arm.curve.mean.tolist()} if arm.curve else {}
    cells = [Cell(run.result.run, run.result.commit, run.result.data_hash) for run in arm.runs]
    return ToldArm(called, cells, metrics, curves, _tags(judged, arm))


def _tags(judged: Judged, arm: Arm) -> dict[str, str]:
    """As its runs have them, and how the arm stands."""
    panel = judged.panel
    first = judged.champion.champion if judged.champion and not judged.raced else None
    standing = "champion" if arm.name == first else "as good" if arm.name in judged.as_good else "behind"
    return {"task": panel.task, "dataset": panel.dataset, **arm.facets, "standing": standing}


def trackers_of(plan: Path) -> list[Tracker]:
    """Each that a planned run names, once."""
    named: list[dict[str, Any]] = []
    for path in sorted(plan.glob("*.yaml")):
        tracking = read(path).get("tracking")
        if tracking is not None and tracking not in named:
            named.append(tracking)
    return [build(tracking) for tracking in named]
