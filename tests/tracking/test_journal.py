"""Whatever a tracker does, the run goes on; and what it missed is told again."""

import json
import math
from types import SimpleNamespace

import pytest

from frostline.errors import FrostlineError
from frostline.tracking.base import Epoch, Run, Tracker
from frostline.tracking.journal import Follow

FIRST = SimpleNamespace(is_global_zero=True)


class Noted(Tracker):
    """Keeps what it is told, and fails as long as `down`."""

    def __init__(self):
        self.told, self.down = [], False

    def note(self, *told):
        if self.down:
            raise ConnectionError("nobody\nanswers")
        self.told.append(told)

    def begin(self, run, params, tags):
        self.note("begin", run.name, dict(params), dict(tags))

    def epochs(self, epochs):
        for epoch in epochs:
            self.note("epoch", epoch.step, dict(epoch.metrics))

    def files(self, paths):
        self.note("files", [path.name for path in paths])

    def end(self, status):
        self.note("end", status)

    def lacking(self, runs):
        return runs


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "epochs.jsonl"


@pytest.fixture
def tracker():
    return Noted()


@pytest.fixture
def follow(tracker, journal, tmp_path):
    left_out = []
    follow = Follow(tracker, Run("study", "run", tmp_path), {"a": "1"}, {"seed": "0"}, journal, left_out.append)
    follow.left_out = left_out
    return follow


def train(follow, journal, *epochs):
    """As Lightning calls it, the journal written before."""
    for epoch in epochs:
        follow.on_train_batch_end(FIRST, None, None, None, 0)
        with journal.open("a") as file:
            file.write(json.dumps({"epoch": epoch, "val_x": epoch / 10, "lr_head": 0.1, "val_y": None}) + "\n")
        follow.on_train_epoch_end(FIRST, None)


def epochs_of(tracker):
    return [told[1] for told in tracker.told if told[0] == "epoch"]


def test_it_is_told_everything_in_order(follow, journal, tracker, tmp_path):
    train(follow, journal, 0, 1)
    follow.conclude(Epoch(2, {"test_x": 0.5}, 9.0), [tmp_path / "model"])
    assert tracker.told[0] == ("begin", "run", {"a": "1"}, {"seed": "0"})
    assert [told[0] for told in tracker.told] == ["begin", "epoch", "epoch", "epoch", "files", "end"]
    assert tracker.told[1][2].keys() == {"val_x", "val_y"} and math.isnan(tracker.told[1][2]["val_y"])
    assert tracker.told[3:] == [("epoch", 2, {"test_x": 0.5}), ("files", ["model"]), ("end", "finished")]
    assert len(follow.left_out) == 1  # its begin is no time of training


def test_what_it_missed_is_told_when_it_answers_again(follow, journal, tracker, capsys):
    train(follow, journal, 0)
    tracker.down = True
    train(follow, journal, 1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the tracker takes nothing (nobody answers); the run needs none" in said
    tracker.down = False
    train(follow, journal, 3)
    assert epochs_of(tracker) == [0, 1, 2, 3] and capsys.readouterr().err == ""


def test_what_it_missed_is_told_at_the_end_at_the_latest(follow, journal, tracker):
    train(follow, journal, 0)
    tracker.down = True
    train(follow, journal, 1, 2)
    tracker.down = False
    follow.conclude(Epoch(3, {}, 9.0), [])
    assert epochs_of(tracker) == [0, 1, 2, 3] and tracker.told[-1] == ("end", "finished")


def test_one_that_never_answers_again_is_two_lines(follow, journal, tracker, capsys):
    train(follow, journal, 0)
    tracker.down = True
    train(follow, journal, 1, 2)
    with follow:
        follow.conclude(Epoch(3, {}, 9.0), [])
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and said.endswith("`frostline sync` sends it.\n")


def test_one_that_cannot_begin_stops_the_run(follow, journal, tracker, monkeypatch):
    def refuse(*_):
        raise FrostlineError("no such experiment")

    monkeypatch.setattr(tracker, "begin", refuse)
    with pytest.raises(FrostlineError, match="no such experiment"), follow:
        train(follow, journal, 0)
    assert not journal.exists() and tracker.told == []


def test_a_run_that_fails_is_told_as_failed_and_still_fails_as_it_did(follow, journal, tracker):
    with pytest.raises(ValueError), follow:
        train(follow, journal, 0)
        raise ValueError
    assert tracker.told[-1] == ("end", "failed")
    tracker.down = True
    with pytest.raises(ZeroDivisionError), follow:
        raise ZeroDivisionError


def test_a_run_that_is_stopped_is_no_failed_one(follow, journal, tracker):
    # It goes on from there.
    with pytest.raises(KeyboardInterrupt), follow:
        train(follow, journal, 0)
        raise KeyboardInterrupt
    assert tracker.told[-1] == ("end", "killed")


def test_a_run_whose_files_are_not_taken_is_not_told_as_finished(follow, journal, tracker, monkeypatch, capsys):
    """Catches a run that `frostline sync` takes for whole."""
    monkeypatch.setattr(tracker, "files", lambda paths: 1 / 0)
    train(follow, journal, 0)
    follow.conclude(Epoch(1, {}, 9.0), [])
    assert tracker.told[-1] == ("end", "killed") and "takes nothing" in capsys.readouterr().err


def test_a_run_that_was_killed_after_its_last_epoch_is_told_whole(follow, journal, tracker):
    journal.write_text('{"epoch": 0, "val_x": 1}\n{"epoch": 1, "val_x": 2}\n')
    follow.conclude(Epoch(2, {}, 9.0), [])
    assert [told[0] for told in tracker.told] == ["begin", "epoch", "epoch", "epoch", "files", "end"]


def test_other_processes_of_a_run_tell_nothing(follow, journal, tracker):
    follow.on_train_batch_end(SimpleNamespace(is_global_zero=False), None, None, None, 0)
    follow.on_train_epoch_end(SimpleNamespace(is_global_zero=False), None)
    assert tracker.told == []
