"""A run that is struck at random moments, by all that ends processes, is in the end the run that nobody struck: the
same weights bit for bit, and each of its steps once, here and in its tracker.

STRIKES=7 pytest ... draws other moments.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from helpers.disk import filled, small_disk
from helpers.store import free_port, fresh
from helpers.warm import warm
from safetensors.torch import load_file

from frostline.checking.prepare import prepare_from_config
from frostline.config import compose, to_yaml
from frostline.runs.checkpoints import is_whole
from frostline.tracking.batches import metric_name

__all__ = ["fresh", "warm"]

pytestmark = pytest.mark.slow

EPOCHS = 60
WITHIN = 60.0  # seconds in which whatever was struck has ended
TOLD_WITHIN = 30.0  # of these, after which torchrun kills who was told to stop
PLAN = Path("runs/struck/plan/run.yaml")
OVERRIDES = (
    *("study=struck", "dataset.source.train=16", "dataset.source.val=8", "dataset.source.test=8"),
    *("dataset.source.size=32", "image_size=32", "backbone=lenet5", "schedule=thaw", "augment=light"),
    *(f"trainer.epochs={EPOCHS}", "trainer.batch_size=8", "trainer.threads=1", "trainer.accelerator=cpu"),
    "tracking.system_metrics=false",
)
TOLD = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "time": signal.SIGUSR1}


class Struck:
    """One run in a folder of its own, and the command that trains it."""

    def __init__(self, warm, folder, log, *overrides):
        self.warm, self.folder, self.log = warm, folder, log
        config = compose([*OVERRIDES, *overrides])
        self.devices = config["trainer"]["devices"]
        (folder / PLAN).parent.mkdir(parents=True)
        (folder / PLAN).write_text(to_yaml(config))
        prepare_from_config(config["dataset"], folder / "runs/struck/data" / config["dataset"]["name"])
        self.store = folder / "runs/mlflow/mlflow.db"
        self.store.parent.mkdir()
        self.work, self.results = (folder / f"runs/struck/{part}/run" for part in ("work", "results"))

    @property
    def trained(self):
        return self.results.is_dir() or (self.work / "results/result.json").exists()

    def begin(self, *options):
        """Its processes, each by the same command; several as torchrun begins them."""
        self.log.write_text("")
        self.found, self.failed = {}, None
        world = {"WORLD_SIZE": str(self.devices), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(self.devices)]
        told = {"folder": self.folder, "log": self.log}
        command = ("train", *options, "--plan", str(PLAN))
        return [self.warm.begin(*command, **told, **(rank if self.devices > 1 else {})) for rank in ranks]

    def ended(self, pids, within):
        """By rank, the status of each; None where one goes on after so many seconds.

        Where one has failed the others are told to stop, and killed where they do not, as torchrun does: one that
        waits for the others to be met heeds no signal.
        """
        until, found = time.monotonic() + within, self.found
        while True:
            for rank, pid in enumerate(pids):
                if rank not in found and (status := self.warm.ended(pid)) is not None:
                    found[rank] = status
                    if status:
                        self.failed = self.failed or time.monotonic()
                        self._tell(pids, signal.SIGTERM)
            if self.failed and time.monotonic() > self.failed + TOLD_WITHIN:
                self._tell(pids, signal.SIGKILL)
            if len(found) == len(pids):
                return found
            if time.monotonic() > until:
                return None
            time.sleep(0.02)  # else to ask takes the processor that they need

    def _tell(self, pids, number):
        for rank, pid in enumerate(pids):
            if rank not in self.found:
                os.kill(pid, number)

    def done(self):
        """It is trained to its end and handed over, unless it is."""
        while not self.results.is_dir():
            assert set(self.ended(self.begin(), 3 * WITHIN).values()) == {0}, self.log.read_text()[-3000:]

    @property
    def epochs(self):
        """How many are in its journal."""
        try:
            return (self.work / "epochs.jsonl").read_bytes().count(b"\n")
        except OSError:
            return 0

    def further(self, pids):
        """Its processes have trained an epoch, or can train none; what became of them where they ended before."""
        before, until = self.epochs, time.monotonic() + WITHIN
        while self.epochs <= before and not self.trained:
            assert time.monotonic() < until, f"it trains nothing: {self.said()[-30:]}"
            if (found := self.ended(pids, 0.02)) is not None:
                return found
        return None

    def said(self):
        return self.log.read_text(errors="replace").splitlines()

    def check_whole(self):
        """Nothing that counts is half written."""
        for path in self.work.glob("[!.]*.ckpt"):
            assert is_whole(path), path
        for path in self.folder.glob("runs/struck/*/run/**/result.json"):
            json.loads(path.read_text())


def strike(run, kind, pids, draw):
    """What became of each of its processes."""
    if kind == "full":
        with filled(run.folder, draw.choice([0, 5_000, 50_000, 500_000])):
            found = run.ended(pids, draw.uniform(0.3, 3))
        if found is None and (found := run.further(pids)) is None:  # it goes on
            found = strike(run, "term", pids, draw)
        return found
    for pid in pids if kind != "kill" else [draw.choice(pids)]:
        with suppress(ProcessLookupError):  # of several, one may end at the word that another one was given
            os.kill(pid, TOLD[kind])
    found = run.ended(pids, WITHIN)
    assert found is not None, f"{kind}: it goes on"
    return found


def check_told(run, kind, found):
    """A process that was not killed says how it has ended, in a line."""
    status, said = found[0], run.said()
    told = "\n".join(said[-60:])
    if run.devices > 1:
        return  # the first may have ended by another
    unheard = (-TOLD["term"], -TOLD["time"]) if kind == "time" or run.trained else ()  # before its first line, or last
    assert status in {"kill": (0, -9), "full": (0, 2, 143, *unheard)}.get(kind, (0, 143, *unheard)), told
    assert not any("Traceback" in line for line in said), told
    if status == 143:
        assert said[-1] == "frostline: told to stop (SIGTERM); the same command goes on from what there is."
    if status == 2:
        assert said[-1].startswith("frostline: ")


def strike_until_done(run, left, draw, reach):
    """Until its end, or until nothing is left of the strikes; prints each. left: how many of each kind."""
    while not run.results.is_dir() and (kinds := [kind for kind, count in left.items() if count > 0]):
        kind = draw.choice(kinds)
        options = ["--ahead"] * (kind == "time" or draw.random() < 0.5) * (not run.trained)
        early, moment, pids = draw.random() < 0.25, draw.uniform(0, reach), run.begin(*options)
        found = (None if early else run.further(pids)) or run.ended(pids, moment)
        if found is None:
            found = strike(run, kind, pids, draw)
            left[kind] -= any(found.values())
        when = f"{moment:.2f} s after its {'start' if early else 'next epoch'}"
        print(f"{kind} {' '.join(options)} {when}: {[*found.values()]}, {run.epochs} epochs", *run.said()[-1:])
        check_told(run, kind, found)
        run.check_whole()


def check_same(run, whole):
    """The same in the end, and told once."""
    weights, expected = (load_file(one.results / "model.safetensors") for one in (run, whole))
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)
    result, other = (json.loads((one.results / "result.json").read_text()) for one in (run, whole))
    assert result["metrics"] == other["metrics"] and result["images_seen"] == other["images_seen"]
    epochs, expected = (
        [json.loads(line) for line in (one.results / "epochs.jsonl").read_text().splitlines()] for one in (run, whole)
    )
    assert [epoch["epoch"] for epoch in epochs] == list(range(EPOCHS))
    same = epochs[0].keys() - {"time", "train_seconds", "cache_filled"}
    assert [{key: epoch[key] for key in same} for epoch in epochs] == [
        {key: epoch[key] for key in same} for epoch in expected
    ]
    status, histories, files = tracked(run)
    assert status == "FINISHED"
    for key in same - {"epoch"}:
        if not key.startswith("lr_"):
            assert histories.pop(metric_name(key)) == [(epoch["epoch"], epoch[key]) for epoch in expected], key
    assert histories.pop("train_seconds")[-1][0] == EPOCHS - 1
    for key, history in histories.items():
        assert [step for step, _ in history] == ([EPOCHS] if key.startswith("test/") else list(range(EPOCHS))), key
    assert files == {path.name: path.stat().st_size for path in run.results.iterdir()}


def tracked(run):
    """Of the one run that the tracker has: its status, its histories and its files."""
    with sqlite3.connect(f"file:{run.store}?mode=ro", uri=True) as store:
        ((id, status),) = store.execute("SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'")
        histories = {}
        for key, step, value in store.execute("SELECT key, step, value FROM metrics ORDER BY step"):
            histories.setdefault(key, []).append((step, value))
    store.close()
    files = run.folder.glob(f"runs/mlflow/artifacts/{id}/artifacts/*")
    return status, histories, {path.name: path.stat().st_size for path in files}


def struck(warm, folder, log, fresh, strikes, whole, reach, *overrides):
    """As many runs as it takes until so many of each kind have struck."""
    seed = int(os.environ.get("STRIKES", "0"))
    draw, left = random.Random(seed), Counter(strikes)
    for number in itertools.count():
        if not any(count > 0 for count in left.values()):
            break
        print(f"STRIKES={seed}, run {number}")
        run = Struck(warm, folder / str(number), log, *overrides)
        if number:  # the first one makes its store, too
            shutil.copy(fresh, run.store)
        strike_until_done(run, left, draw, reach)
        run.done()
        sync = run.warm.begin("sync", "struck", folder=run.folder, log=run.log)  # what a full disk has kept from it
        assert run.warm.ended(sync, WITHIN) == 0, run.said()
        check_same(run, whole)
        shutil.rmtree(run.folder)


@pytest.fixture(scope="module")
def whole(warm, fresh, tmp_path_factory):
    """One that nobody strikes, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("whole")
    run, since = Struck(warm, folder / "run", folder / "log"), time.monotonic()
    shutil.copy(fresh, run.store)
    run.done()
    return run, time.monotonic() - since


def test_a_run_that_is_ended_by_force_and_by_signals(warm, whole, fresh, tmp_path):
    run, seconds = whole
    struck(warm, tmp_path, tmp_path / "log", fresh, {"kill": 20, "term": 20, "time": 20}, run, 0.2 * seconds)


def test_a_run_whose_disk_is_full(warm, whole, fresh, tmp_path):
    run, seconds = whole
    with small_disk(tmp_path / "disk", 64) as disk:
        struck(warm, disk, tmp_path / "log", fresh, {"full": 20}, run, 0.2 * seconds)


def test_a_run_of_two_processes_of_which_one_is_struck_and_whose_disk_is_full(warm, fresh, tmp_path):
    several = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    run, since = Struck(warm, tmp_path / "whole", tmp_path / "log", *several), time.monotonic()
    shutil.copy(fresh, run.store)
    run.done()
    reach = 0.2 * (time.monotonic() - since)
    with small_disk(tmp_path / "disk", 64) as disk:
        struck(warm, disk, tmp_path / "log", fresh, {"kill": 20, "term": 5, "full": 5}, run, reach, *several)
