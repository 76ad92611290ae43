"""Means and intervals of a study's arms as plain numbers, for who reads no report: DVC's metrics, and a tracker."""

import json
import math
from collections.abc import Sequence

from frostline.report.arms import Panel
from frostline.report.judged import Judged

DIGITS = 6


def panel_names(panels: Sequence[Panel]) -> list[str]:
    """Of each panel its task, and its dataset where that tells panels apart."""
    several = len({panel.dataset for panel in panels}) > 1
    return [f"{panel.task} on {panel.dataset}" if several else panel.task for panel in panels]


def figures(judged: Judged, name: str) -> dict[str, float]:
    """Of an arm's primary metric: `mean`, and `low` and `high` of Student's 95 % interval over seeds.

    None of them where a seed failed, as a mean that left it out would flatter the arm; no interval below two seeds.
    """
    summary = judged.summaries[name]
    if summary.failed or not math.isfinite(summary.seen.mean):
        return {}
    found = {"mean": summary.seen.mean}
    if summary.interval is not None:
        found |= {"low": summary.interval.low, "high": summary.interval.high}
    return {key: round(value, DIGITS) for key, value in found.items()}


def metrics_json(judged: Sequence[Judged]) -> str:
    """panel -> arm -> its figures."""
    names = panel_names([one.panel for one in judged])
    held = {
        panel: {arm: figures(one, arm) for arm in one.arms if figures(one, arm)}
        for panel, one in zip(names, judged, strict=True)
    }
    return json.dumps(held, indent=2, ensure_ascii=False) + "\n"
