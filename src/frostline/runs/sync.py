"""Finished runs told to their trackers once more, where these missed something; and who was killed without a word."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from frostline.config import Config, build, flat, read
from frostline.errors import FrostlineError
from frostline.parallel import in_threads
from frostline.runs.alone import data_of
from frostline.runs.identity import MARK, config_of
from frostline.runs.result import RunResult
from frostline.runs.told import finished, params_and_tags, tested
from frostline.runs.workplace import DONE, ID, prepared, unused
from frostline.store.network import locks_reach_others
from frostline.tracking.base import Data, Epoch, Run, Tracker
from frostline.tracking.epochs import read_epochs
from frostline.words import reason_of

AT_ONCE = 8  # runs; a server answers one call after the other, and each takes a while on its way


@dataclass(frozen=True)
class Synced:
    """A run. state: `untold`, where the tracker cannot say what it has; `stopped`, of an unfinished one that is not
    under way, and was taken for one that is. error: of a failed one, why."""

    run: str
    state: Literal["there", "sent", "failed", "untold", "stopped"]
    error: str = ""


@dataclass(frozen=True)
class _Finished:
    """All that a tracker is told of one."""

    run: Run
    result: RunResult
    config: Config
    epochs: Sequence[Epoch]

    @classmethod
    def read(cls, folder: Path, runs: Path) -> "_Finished":
        """Raises FrostlineError, OSError, ValueError, KeyError where that cannot be read."""
        result, config = RunResult.read(folder / "result.json"), read(folder / "config.yaml")
        data = next((path for path in (runs / "data" / prepared(config), data_of(config)) if path.is_dir()), runs)
        dataset = Data(result.names["dataset"], result.data_hash, data, result.scenes)
        # Of older versions no training has an id, so that its result stands for it.
        identity = result.id or sha256((folder / "result.json").read_bytes()).hexdigest()[:32]
        run = Run(result.study, result.run, folder, dataset, identity, "" if result.id else result.commit)
        epochs = read_epochs(folder / "epochs.jsonl", finished(result))
        return cls(run, result, config, epochs)

    def tracker(self) -> Any:
        """That it names, without the use of the machine: it would be this one's now, and not the run's."""
        tracking = self.config["tracking"]
        return build({**tracking, "system_metrics": False} if "system_metrics" in tracking else tracking)

    def tell(self, tracker: Tracker) -> None:
        result = self.result
        params, tags = params_and_tags(
            result.names, result.arm, result.seed, flat(self.config), result.data_hash, result.commit
        )
        tracker.begin(self.run, params, tags)
        try:
            tracker.epochs([*self.epochs, tested(result)])
            tracker.files([path for path in sorted(self.run.folder.iterdir()) if path.name != MARK])
            tracker.end("finished")
        except Exception:
            with suppress(Exception):
                tracker.end("killed", "not all of it is sent")
            raise


def sync(runs: Path) -> Iterator[Synced]:
    """Tell what trackers lack of the finished runs of a study, whether or not DVC has taken them yet; and which others,
    killed by force, are under way no longer.

    runs: its folder in runs/. Each run names its tracker itself. Sent twice, it is there once. Raises FrostlineError
    where there are no runs, a tracker cannot be reached at all, or another process sends them already; what is wrong
    with one run keeps no other.
    """
    lock = FileLock(runs / ".sync.lock")
    try:
        with lock.acquire(timeout=0):  # two at once would each begin every run
            yield from _sync_all(runs)
    except Timeout:
        raise FrostlineError(f"Another process sends the runs of {runs}: wait for it, or stop it.") from None


def _sync_all(runs: Path) -> Iterator[Synced]:
    held = [*(runs / "results").glob("*/result.json"), *(runs / "work").glob("*/results/result.json")]
    left = [path.parent for path in sorted((runs / "work").glob(f"*/{ID}")) if not Path(path.parent, DONE).exists()]
    if not held and not left:
        raise FrostlineError(f"{runs} has no finished runs: train some, or name another study.")
    trackers: dict[str, list[_Finished]] = {}
    for path in sorted(held):
        try:
            one = _Finished.read(path.parent, runs)
            one.tracker()
        except (FrostlineError, OSError, ValueError, KeyError, TypeError) as error:
            yield Synced(str(path.parent), "failed", reason_of(error))
        else:
            trackers.setdefault(json.dumps([one.config["tracking"], one.run.study], sort_keys=True), []).append(one)
    for told in trackers.values():
        yield from _sync(told)
    for folder in left if locks_reach_others(runs) else ():  # else another node may be at work there
        if unused(folder):
            yield from _stopped(folder)


def _stopped(folder: Path) -> Iterator[Synced]:
    """Of a run that was killed: nothing where its tracker has heard of it, or nothing at all."""
    if not (config := config_of(folder)):  # killed while it was cleared away, after its results were handed over
        return
    try:
        run = Run(config["study"], folder.name, folder, id=(folder / ID).read_text())
        if build(config["tracking"]).stopped(run):
            yield Synced(run.name, "stopped")
    except Exception as error:  # as in `_send`
        yield Synced(str(folder), "failed", reason_of(error))


def _sync(told: Sequence[_Finished]) -> Iterator[Synced]:
    """Of runs of one study that name the same tracker."""
    tracker = told[0].tracker()
    lacking = tracker.lacking([one.run for one in told])
    if lacking is None:
        yield from (Synced(one.run.name, "untold") for one in told)
        return
    wanted = {run.id for run in lacking}
    yield from (Synced(one.run.name, "there") for one in told if one.run.id not in wanted)
    left = ((one, copy(tracker)) for one in told if one.run.id in wanted)
    yield from in_threads(_send, left, AT_ONCE)


def _send(one_to: tuple[_Finished, Tracker]) -> Synced:
    one, tracker = one_to
    try:
        one.tell(tracker)
    except Exception as error:  # of whatever kind: it is another's code, and often another's machine
        return Synced(one.run.name, "failed", reason_of(error))
    return Synced(one.run.name, "sent")
