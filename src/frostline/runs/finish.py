"""A run finished in its workplace, by one process or by several."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.config import Config
from frostline.environment import importing
from frostline.errors import FrostlineError
from frostline.files import room_wanted
from frostline.ranks import Member, member
from frostline.runs.preflight import check_beforehand
from frostline.runs.workplace import LEFT_WITHIN, Workplace
from frostline.scenes.dataset import Dataset
from frostline.store.nearby import near


def member_of(config: Config) -> Member | None:
    """Which process of the run this is; None where it is alone, or starts the others. Raises as `ranks.member`."""
    return member(config["trainer"]["devices"], config["trainer"].get("num_nodes", 1))


@dataclass(frozen=True)
class Finished:
    """workplace: which has the results. now: whether the run was trained by this call."""

    workplace: Workplace
    now: bool


def finish(config: Config, dataset: Dataset, name: str, folder: Path, arguments: Sequence[str]) -> Finished | None:
    """Train a run, unless it is finished.

    folder: of the workplace. arguments: of `frostline`, that train it again, to record; by them each process of a run
    that wants several comes to this call, where nobody has started them.
    None in a process that has only helped: the first one, or the one that started them all, has the workplace.
    Raises FrostlineError where it cannot work.
    """
    with room_wanted(folder):
        return _finished(config, dataset, name, folder, arguments)


def _finished(config: Config, dataset: Dataset, name: str, folder: Path, arguments: Sequence[str]) -> Finished | None:
    this, command = member_of(config), shlex.join(["frostline", *arguments])
    if this is not None:
        return _together(this, config, dataset, name, folder, command)
    workplace, devices = Workplace(folder, config, dataset.data_hash), config["trainer"]["devices"]
    if workplace.finished:
        return Finished(workplace, now=False)
    try:
        check_beforehand(config)
        if devices == 1:
            _train(config, dataset, name, workplace, command)
        else:
            with importing():  # torch
                from frostline.runs.together import start
            with workplace.lent():
                start(devices, arguments)
            if not workplace.finished:
                raise FrostlineError(f"The processes of {name} have ended without its results: give the command again.")
    except BaseException:
        workplace.leave()  # this process may go on to other runs
        raise
    return Finished(workplace, now=True)


def _together(this: Member, config: Config, dataset: Dataset, name: str, folder: Path, command: str) -> Finished | None:
    with importing():  # torch
        from frostline.runs.together import joined, was_started
        from frostline.shares import told_by_first
    with joined(this, config["trainer"]["accelerator"]):
        # torchrun starts again as soon as a process is killed, and those that made its batches live on for a moment.
        within = LEFT_WITHIN if this.by == "torchrun" else 0
        first = Workplace(folder, config, dataset.data_hash, within) if this.rank == 0 else None
        finished = told_by_first(first is not None and first.finished)
        if first is not None and not finished:
            _train(config, dataset, name, first, command)
        elif not finished:
            _help(config, dataset, name, folder)
        return None if first is None or was_started() else Finished(first, not finished)


def _train(config: Config, dataset: Dataset, name: str, workplace: Workplace, command: str) -> None:
    with importing():  # torch
        from frostline.runs.build import build_run
        from frostline.runs.train import train
    with near(dataset) as read:
        train(build_run(config, read, name), workplace, command)


def _help(config: Config, dataset: Dataset, name: str, folder: Path) -> None:
    from frostline.runs.build import build_run
    from frostline.runs.train import help_train

    with near(dataset) as read:
        help_train(build_run(config, read, name), folder)
