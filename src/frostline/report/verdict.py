"""What the two best arms of a panel allow to say."""

from typing import Literal

from frostline.report.arms import Arm, Panel, mean_sd
from frostline.words import score

Verdict = Literal["none", "alone", "unknown", "overlap", "apart"]


def verdict(panel: Panel) -> Verdict:
    """Whether the first two of the ranked arms can be told apart by what was seen.

    none: no arm is ranked. alone: there is no second. unknown: one of them has a single seed, so nothing is known of
    its spread. overlap: the ranges from lowest to highest seed, or the intervals mean ± sd, have a point in common.
    apart: neither has. That is a description of these runs, not a test.
    """
    if len(panel.ranked) < 2:
        return "alone" if panel.ranked else "none"
    first, second = panel.ranked[:2]
    if len(first.values) < 2 or len(second.values) < 2:
        return "unknown"
    ranges_meet = min(first.values) <= max(second.values)
    intervals_meet = first.mean - first.sd <= second.mean + second.sd
    return "overlap" if ranges_meet or intervals_meet else "apart"


def answer(panel: Panel) -> str:
    """The verdict in words."""
    lead = [f"`{arm.name}` with {_value(arm)}" for arm in panel.ranked[:2]]
    match verdict(panel):
        case "none":
            said = "no arm has a finite result."
        case "alone":
            said = f"{panel.primary} of {lead[0]}; there is no second arm to compare with."
        case "unknown":
            said = (
                f"**no winner yet**. Highest mean {panel.primary} by {lead[0]}, next {lead[1]}; with a single seed "
                "nothing is known of the spread, so these runs cannot tell the two apart."
            )
        case "overlap":
            said = (
                f"**no winner**. Highest mean {panel.primary} by {lead[0]}, next {lead[1]}; their spreads overlap, so "
                "these runs cannot tell the two apart."
            )
        case "apart":
            said = (
                f"**{panel.ranked[0].name}**. Highest mean {panel.primary} by {lead[0]}, clear of the next, {lead[1]}: "
                "their spreads do not overlap."
            )
    lost = [f"`{arm.name}`" for arm in panel.arms if arm not in panel.ranked]
    return f"{said} Not ranked, as a seed has no finite result: {', '.join(lost)}." if lost and panel.ranked else said


def _value(arm: Arm) -> str:
    seeds = len(arm.values)
    return f"{mean_sd(arm)} ({seeds} seeds)" if seeds > 1 else f"{score(arm.mean)} (1 seed)"
