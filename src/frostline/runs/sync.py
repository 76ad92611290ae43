"""Finished runs told to their trackers once more, where these missed something."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frostline.config import Config, build, read
from frostline.errors import FrostlineError
from frostline.parallel import in_threads
from frostline.runs.behind import MARK
from frostline.runs.result import RunResult
from frostline.runs.told import finished, params_of, settings_of, tags_of, tested
from frostline.runs.workplace import prepared
from frostline.tracking.base import Data, Run, Tracker
from frostline.tracking.epochs import read_epochs
from frostline.words import one_line

AT_ONCE = 8  # runs; a server answers one call after the other, and each takes a while on its way


@dataclass(frozen=True)
class Synced:
    """A finished run. sent: whether its tracker lacked something. error: why that could not be sent; empty: it was."""

    run: str
    sent: bool
    error: str = ""


@dataclass
class _Sent:
    folder: Path
    result: RunResult
    config: Config
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        data = self.folder.parents[1] / "data" / prepared(self.config)
        dataset = Data(self.result.names["dataset"], self.result.data_hash, data, self.result.scenes)
        where, commit = self.folder, self.result.commit
        self.run = Run(self.result.study, self.result.run, where, dataset, self.result.id, commit)

    def to(self, tracker: Tracker) -> None:
        result = self.result
        chosen = {**result.names, **result.arm, "seed": str(result.seed)}
        params, tags = params_of(chosen, settings_of(self.config)), tags_of(chosen, result.data_hash, result.commit)
        tracker.begin(self.run, params, tags)
        tracker.epochs([*read_epochs(self.folder / "epochs.jsonl", finished(result)), tested(result)])
        tracker.files([path for path in sorted(self.folder.iterdir()) if path.name != MARK])
        tracker.end("finished")


def sync(runs: Path) -> Iterator[Synced]:
    """Tell what trackers lack of the finished runs in `runs/results/`; those that they have whole come first.

    Each run names its tracker itself. Sent twice, it is there once. Raises FrostlineError where there are no runs, or a
    tracker cannot be reached at all; what goes wrong with one run keeps no other.
    """
    folders = sorted(path.parent for path in (runs / "results").glob("*/result.json"))
    if not folders:
        raise FrostlineError(f"{runs} has no finished runs: train some, or name another study.")
    trackers: dict[str, list[_Sent]] = {}
    for folder in folders:
        one = _Sent(folder, RunResult.read(folder / "result.json"), read(folder / "config.yaml"))
        trackers.setdefault(json.dumps([one.config["tracking"], one.result.study], sort_keys=True), []).append(one)
    for told in trackers.values():
        yield from _sync(told)


def _sync(told: list[_Sent]) -> Iterator[Synced]:
    tracking = told[0].config["tracking"]
    tracker: Tracker = _built(tracking)
    tracker.check()
    lacking = {run.folder for run in tracker.lacking([one.run for one in told])}
    yield from (Synced(one.result.run, False) for one in told if one.folder not in lacking)

    def send(one: _Sent) -> Synced:
        try:
            one.to(_built(tracking))
        except Exception as error:  # of whatever kind: it is another's code, and often another's machine
            return Synced(one.result.run, True, one_line(str(error))[:300] or type(error).__name__)
        return Synced(one.result.run, True)

    yield from in_threads(send, (one for one in told if one.folder in lacking), AT_ONCE)


def _built(tracking: Config) -> Any:
    """What the machine does now is none of a run that has ended."""
    return build({**tracking, "system_metrics": False} if "system_metrics" in tracking else tracking)
