"""One run, from what it is built of to the folder of its results."""

from contextlib import ExitStack

from frostline.runs.build import Built
from frostline.runs.conclude import Origin, conclude
from frostline.runs.fit import fit
from frostline.runs.result import RunResult
from frostline.runs.timing import HoldStill, Stopwatch
from frostline.runs.workplace import Workplace
from frostline.tracking.base import Run
from frostline.tracking.follow import Follow
from frostline.tracking.journal import Journal


def train(built: Built, workplace: Workplace, command: str) -> RunResult:
    """Train and evaluate one run, and leave its results in the workplace.

    A killed run goes on from the last epoch that the workplace has. command: what trains this run again, to record.
    """
    origin = Origin.of(command)
    _say_what_is_left_out(built)
    tags = {**built.names, **built.arm, "seed": str(built.seed)}
    tags |= {"data_hash": built.data.dataset.data_hash, "commit": origin.commit}
    journal, stopwatch = Journal(workplace.folder / "epochs.jsonl"), Stopwatch()
    run = Run(built.study, built.name, workplace.folder)
    with ExitStack() as stack:
        stack.callback(built.data.teardown)  # what is held cannot make room for others
        stack.enter_context(built.data.dataset.held())
        others = stack.enter_context(HoldStill(workplace.folder.parent, stopwatch))
        follow = Follow(built.tracker, run, built.params, tags, journal.path, stopwatch.leave_out)
        stack.enter_context(follow)
        fitted = fit(built, workplace.folder, others, [journal, follow])
        return conclude(built, fitted, workplace, origin, others, follow)


def _say_what_is_left_out(built: Built) -> None:
    left_out = built.data.left_out
    if any(left_out.values()):
        counts = ", ".join(f"{number} of {split}" for split, number in left_out.items())
        needs = " and ".join(sorted(built.task.needs))
        print(f"{built.name}: left out scenes without {needs}: {counts}", flush=True)
