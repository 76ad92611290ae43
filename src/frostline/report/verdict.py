"""What the two best arms of a panel allow to say."""

from frostline.report.arms import Arm, Panel, mean_sd
from frostline.words import score


def answer(panel: Panel) -> str:
    """The first two of the ranked arms, and whether what was seen tells them apart: a description, not a test."""
    if not panel.ranked:
        return "no arm has a finite result."
    first, *others = panel.ranked
    lead = f"Highest mean {panel.primary} by {_told(first)}"
    if not others:
        said = f"{panel.primary} of {_told(first)}; there is no second arm to compare with."
    elif min(len(first.values), len(others[0].values)) < 2:
        said = (
            f"**no winner yet**. {lead}, next {_told(others[0])}; with a single seed nothing is known of the spread, "
            "so these runs cannot tell the two apart."
        )
    elif _meet(first, others[0]):
        said = (
            f"**no winner**. {lead}, next {_told(others[0])}; their spreads overlap, so these runs cannot tell the two "
            "apart."
        )
    else:
        said = f"**{first.name}**. {lead}, clear of the next, {_told(others[0])}: their spreads do not overlap."
    lost = [f"`{arm.name}`" for arm in panel.arms if arm not in panel.ranked]
    return f"{said} Not ranked, as a seed has no finite result: {', '.join(lost)}." if lost else said


def _meet(first: Arm, second: Arm) -> bool:
    """Whether the ranges from lowest to highest seed, or the intervals mean ± sd, have a point in common."""
    return min(first.values) <= max(second.values) or first.mean - first.sd <= second.mean + second.sd


def _told(arm: Arm) -> str:
    seeds = len(arm.values)
    value = f"{mean_sd(arm)} ({seeds} seeds)" if seeds > 1 else f"{score(arm.mean)} (1 seed)"
    return f"`{arm.name}` with {value}"
