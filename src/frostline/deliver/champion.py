"""Which run of a study becomes the model: the median run of the arm that the verdict names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from frostline.errors import FrostlineError
from frostline.report.arms import Arm, Panel, panels_of
from frostline.report.judged import Judged, judge_panel
from frostline.report.results import Results, Run, missing_of
from frostline.report.standing import Standing, standings, told
from frostline.report.tested import Pictures
from frostline.report.verdict import answer
from frostline.words import listed

NAMED = 3  # runs that a sentence names, of more


@dataclass(frozen=True, eq=False)
class Chosen:
    """Of one panel of a study: an arm, and which of its runs.

    decided: whether the verdict names that arm; else it is the candidate, taken anyway. verdict: in words, as the
    report has it. tested: what the panel's runs say picture by picture, where they all left that.
    """

    results: Results
    judged: Judged
    tested: Pictures | None
    arm: Arm
    run: Run
    decided: bool
    verdict: str

    @property
    def panel(self) -> Panel:
        return self.judged.panel


def panels_named(results: Results, task: str | None, dataset: str | None) -> list[Panel]:
    """The panels of a task, of a dataset, or all. Raises FrostlineError where there is none such."""
    panels = panels_of(results.runs)
    found = [
        panel for panel in panels if (not task or panel.task == task) and (not dataset or panel.dataset == dataset)
    ]
    if not found:
        asked = " on ".join(filter(None, [task or "", dataset or ""]))
        there = listed([panel.where for panel in panels])
        raise FrostlineError(f"Study {results.study.name} has no results of {asked}; it has those of {there}.")
    return found


def choose(results: Results, panel: Panel, anyway: bool = False) -> Chosen:
    """The arm that the panel's verdict names, and its median run.

    anyway: where the verdict cannot tell, the candidate, which stands first on the validation split.
    Raises FrostlineError where planned runs have no result, and where no arm is to be taken.
    """
    # Rounds of seeds are looked at for all panels together.
    if missing := results.missing if results.study.looks else missing_of(results, panel.task, panel.dataset):
        some = listed(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
        raise FrostlineError(
            f"{panel.where}: planned runs of study {results.study.name} have no result yet ({some}): train them by "
            f"`frostline train --study {results.study.folder}`, then ask again."
        )
    judged, tested = judge_panel(results, panel)
    rounds = _rounds(results, panel)
    named = rounds.taken if rounds else judged.taken
    verdict = answer(judged, told(rounds).partition(": ")[2] if rounds else "")
    name = named or judged.candidate
    if name is None:
        raise FrostlineError(
            f"{panel.where}: no arm of study {results.study.name} has a finite result in each of its runs, so there is "
            f"nothing to take: see why in {results.study.folder / 'report.md'}."
        )
    if named is None and not anyway:
        raise FrostlineError(
            f"{panel.where}: the verdict of study {results.study.name} is that it cannot tell: add seeds by "
            f"`frostline study seeds {results.study.name}`, or take `{name}`, {judged.first.rstrip(',')}, by --anyway."
        )
    arm = judged.arms[name]
    return Chosen(results, judged, tested, arm, median_run(arm.runs), named is not None, verdict)


def median_run(runs: Sequence[Run]) -> Run:
    """The run whose primary metric on the test split is the median: what one may expect of such a run.

    The best one would be chosen by the test split, and its figure flattered. Of an even number the lower of the two in
    the middle, so that at least half of the arm's runs keep what the model promises; equal ones go by their seeds.
    """
    ordered = sorted((run for run in runs if math.isfinite(run.result.quality)), key=_place)
    return ordered[(len(ordered) - 1) // 2]


def _place(run: Run) -> tuple[float, int]:
    return run.result.quality, run.result.seed


def _rounds(results: Results, panel: Panel) -> Standing | None:
    """Where the panel stands by rounds of seeds; None where none were planned: then the runs at hand decide."""
    if not results.study.looks or len(panel.arms) < 2:
        return None
    return next(one for one in standings(results) if one.panel.where == panel.where)
