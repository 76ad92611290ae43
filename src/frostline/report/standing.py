"""Where the arms of a panel stand at the looks that the study planned, and which of them need more seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from frostline.errors import FrostlineError
from frostline.report.arms import Panel, identity, panels_of
from frostline.report.results import Results, Run
from frostline.report.verdict import more
from frostline.statistics.paired import paired
from frostline.statistics.power import more_seeds
from frostline.statistics.race import Race, race
from frostline.studies.seeds import in_order
from frostline.studies.study import Study, arm_of
from frostline.words import listed

PARTS = ("seed", "data", "budget in epochs", "versions of libraries")  # of an identity


@dataclass(frozen=True, eq=False)
class Standing:
    """A panel at its last look.

    values: arm -> seed -> the primary metric of its test. wanted: by what `seeds_for` calls each arm that competes ->
    the seeds that it lacks for the next look.
    """

    panel: Panel
    race: Race
    margin: float | None
    values: Mapping[str, Mapping[Hashable, float]]
    wanted: Mapping[str, list[int]]

    @property
    def taken(self) -> str | None:
        """The arm to take: the champion, or the cheapest of those that are equivalent; None where it cannot tell."""
        if self.race.end == "champion":
            return self.race.champion
        if self.race.end != "equivalent":
            return None
        competing = [arm for arm in self.panel.arms if arm.name in self.race.competing]
        return min(competing, key=lambda arm: arm.seconds).name


def standings(results: Results) -> list[Standing]:
    """Of each panel that has something to compare.

    Raises FrostlineError where planned runs have no result, no looks are planned, or runs of one seed are no pair.
    """
    study = results.study
    if results.missing:
        raise FrostlineError(
            f"{len(results.missing)} planned runs of study {study.name} have no result, such as {results.missing[0]}: "
            "train them first."
        )
    if not study.looks:
        raise FrostlineError(f"{study.folder}/study.yaml plans no looks: `frostline study seeds {study.name}` does.")
    panels = [panel for panel in panels_of(results.runs) if len(panel.arms) > 1]
    if not panels:
        raise FrostlineError(f"Study {study.name} has one arm alone: there is nothing that more seeds could decide.")
    return [_standing(panel, study) for panel in panels]


def _standing(panel: Panel, study: Study) -> Standing:
    _check_pairs(panel, [run for arm in panel.arms for run in arm.runs])
    values: dict[str, dict[Hashable, float]] = {
        arm.name: {run.result.seed: run.result.quality for run in arm.runs} for arm in panel.arms
    }
    order = in_order(study.grid["seed"], study.looks[-1])
    margin = study.stated.margin_of(panel.task)
    found = race(values, order, study.looks, margin)
    cells = study.cells()
    called = {arm.name: arm_of(cells[arm.runs[0].result.run]) for arm in panel.arms}
    wanted = {called[name]: [seed for seed in order if seed in lacking] for name, lacking in found.missing.items()}
    return Standing(panel, found, margin, values, wanted)


def _check_pairs(panel: Panel, runs: Sequence[Run]) -> None:
    """Raise FrostlineError where two runs of one seed are no pair, and so cannot be held against each other."""
    first: dict[int, Run] = {}
    for run in runs:
        other = first.setdefault(run.result.seed, run)
        mine, its = identity(run, panel), identity(other, panel)
        if mine != its and isinstance(mine, tuple) and isinstance(its, tuple):
            apart = [part for part, a, b in zip(PARTS, mine, its, strict=True) if a != b]
            raise FrostlineError(
                f"The runs {other.result.run} and {run.result.run} have one seed and differ in their {listed(apart)}: "
                "train them again from one plan, or let the grid name what differs."
            )


def told(standing: Standing) -> str:
    """Where the panel stands, in a sentence or two."""
    found, where = standing.race, standing.panel.where
    arms = listed([f"`{name}`" for name in found.competing])
    beaten = [f"`{name}` (at {seeds} seeds)" for name, seeds in found.beaten.items()]
    asides = [f" Beaten: {listed(beaten)}."] if beaten else []
    if found.failed:
        asides.append(f" Out, as a run has no finite result: {listed([f'`{name}`' for name in found.failed])}.")
    if found.end == "champion":
        said = f"`{found.champion}` is clear at {found.look} seeds: better than each other arm."
    elif found.end == "equivalent":
        said = f"{arms} are equivalent within the margin at {found.look} seeds: take `{standing.taken}`, the cheapest."
    elif found.end == "cannot tell":
        said = f"no champion, as {arms or 'none'} still compete and no look is left."
    elif not found.look:
        said = f"{len(found.competing)} arms compete; the first look is at {found.seeds} seeds."
    else:
        said = f"{arms} still compete at {found.look} seeds; the next look is at {found.seeds}.{_about(standing)}"
    return f"{where}: {said}{''.join(asides)}"


def _about(standing: Standing) -> str:
    """How many more seeds would decide between the leader and the arm that is nearest to it."""
    found = standing.race
    rivals = [name for name in found.competing if name != found.leader]
    if found.leader is None or not rivals:
        return ""
    leader = standing.values[found.leader]
    pairs = {name: paired(leader, standing.values[name], standing.margin) for name in rivals}
    nearest = min(pairs, key=lambda name: pairs[name].differences.mean)
    return f" Between `{found.leader}` and `{nearest}`, {more(more_seeds(pairs[nearest]))}."
