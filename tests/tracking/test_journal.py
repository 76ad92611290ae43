"""Whatever a tracker does, the run goes on; and what it missed is told again."""

import io
import json
import math
import threading
import time
from types import SimpleNamespace

import pytest

from frostline.errors import FrostlineError
from frostline.tracking import shipper
from frostline.tracking.base import Epoch, Run, Tracker, Unreachable
from frostline.tracking.journal import Follow
from frostline.tracking.shipper import Shipper

FIRST = SimpleNamespace(is_global_zero=True)


class Noted(Tracker):
    """Keeps what it is told, and fails as long as `down`, and hangs until it `answers`."""

    def __init__(self):
        self.told, self.down, self.tries = [], False, 0
        self.answers = threading.Event()
        self.answers.set()

    def note(self, *told):
        self.answers.wait()
        if self.down:
            self.tries += 1
            raise ConnectionError("nobody\nanswers")
        self.told.append(told)

    def begin(self, run, params, tags):
        self.note("begin", run.name, dict(params), dict(tags))

    def epochs(self, epochs):
        for epoch in epochs:
            self.note("epoch", epoch.step, dict(epoch.metrics))

    def files(self, paths):
        self.note("files", [path.name for path in paths])

    def end(self, status, reason=""):
        self.note("end", status, *([reason] if reason else []))

    def lacking(self, runs):
        return runs


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "epochs.jsonl"


@pytest.fixture
def tracker():
    return Noted()


@pytest.fixture
def follow(tracker, journal, tmp_path, monkeypatch):
    for name, seconds in {"AGAIN": 0.01, "AGAIN_AT_MOST": 0.02, "END_WITHIN": 5.0, "STOP_WITHIN": 1.0}.items():
        monkeypatch.setattr(shipper, name, seconds)
    monkeypatch.setattr(shipper, "SHARE", 1.0)
    left_out = []
    follow = Follow(
        Shipper(tracker, Run("study", "run", tmp_path), {"a": "1"}, {"seed": "0"}, journal), left_out.append
    )
    follow.left_out = left_out
    yield follow
    tracker.answers.set()


def soon(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


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
    (tmp_path / "model").write_text("")
    follow.conclude(Epoch(2, {"test_x": 0.5}, 9.0), [tmp_path / "model"])
    assert tracker.told[0] == ("begin", "run", {"a": "1"}, {"seed": "0"})
    assert [told[0] for told in tracker.told] == ["begin", "epoch", "epoch", "epoch", "files", "end"]
    assert tracker.told[1][2].keys() == {"val_x", "val_y"} and math.isnan(tracker.told[1][2]["val_y"])
    assert tracker.told[3:] == [("epoch", 2, {"test_x": 0.5}), ("files", ["model"]), ("end", "finished")]
    assert len(follow.left_out) == 1  # its begin is no time of training


def test_an_epoch_is_told_while_the_next_one_is_trained(follow, journal, tracker):
    for epoch in range(3):
        train(follow, journal, epoch)
        soon(lambda wanted=list(range(epoch + 1)): epochs_of(tracker) == wanted)


def test_what_it_missed_is_told_when_it_answers_again(follow, journal, tracker, capsys):
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.down = True
    train(follow, journal, 1, 2)
    soon(lambda: tracker.tries >= 3)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the tracker takes nothing (nobody answers); training goes on" in said
    assert "`frostline sync study` sends later what is left" in said
    tracker.down = False
    soon(lambda: epochs_of(tracker) == [0, 1, 2])  # without another epoch
    train(follow, journal, 3)
    soon(lambda: epochs_of(tracker) == [0, 1, 2, 3])
    assert capsys.readouterr().err == ""


def test_a_log_on_a_full_disk_keeps_nothing_from_it(follow, journal, tracker, monkeypatch):
    """Catches a thread that ends by what it says, so that its run waits a minute for it."""
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.down = True
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True))
        train(follow, journal, 1)
        soon(lambda: tracker.tries > 2)
    tracker.down = False
    soon(lambda: epochs_of(tracker) == [0, 1])


def test_what_it_missed_is_told_at_the_end_at_the_latest(follow, journal, tracker, monkeypatch):
    monkeypatch.setattr(shipper, "AGAIN", 1000.0)  # the end waits for no such pause
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.down = True
    train(follow, journal, 1, 2)
    soon(lambda: tracker.tries)
    tracker.down = False
    follow.conclude(Epoch(3, {}, 9.0), [])
    assert epochs_of(tracker) == [0, 1, 2, 3] and tracker.told[-1] == ("end", "finished")


def test_one_that_never_answers_again_is_two_lines(follow, journal, tracker, capsys):
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.down = True
    train(follow, journal, 1, 2)
    soon(lambda: tracker.tries)
    with follow:
        follow.conclude(Epoch(3, {}, 9.0), [])
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and said.endswith("and `frostline sync study` sends it.\n")


def test_one_that_hangs_holds_no_epoch_up_and_the_end_for_a_bounded_time(follow, journal, tracker, monkeypatch, capsys):
    monkeypatch.setattr(shipper, "END_WITHIN", 0.3)
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.answers.clear()
    since = time.monotonic()
    train(follow, journal, *range(1, 100))
    assert time.monotonic() - since < 0.3
    follow.conclude(Epoch(100, {}, 9.0), [])
    assert time.monotonic() - since < 3
    assert "(it does not answer)" in capsys.readouterr().err
    told = len(tracker.told)
    tracker.answers.set()  # later than anybody waits
    follow._shipper._thread.join(20)
    assert len(tracker.told) - told <= 99 and ("end", "finished") not in tracker.told
    assert capsys.readouterr().err == ""


def test_one_that_hangs_holds_no_signal_up(follow, journal, tracker, monkeypatch):
    monkeypatch.setattr(shipper, "STOP_WITHIN", 0.2)
    train(follow, journal, 0)
    soon(lambda: epochs_of(tracker) == [0])
    tracker.answers.clear()
    train(follow, journal, 1)
    since = time.monotonic()
    with pytest.raises(KeyboardInterrupt), follow:
        raise KeyboardInterrupt
    assert time.monotonic() - since < 3


def test_one_that_is_slow_to_begin_is_not_waited_for_for_ever(follow, journal, tracker, monkeypatch, capsys):
    monkeypatch.setattr(shipper, "BEGIN_WITHIN", 0.1)
    tracker.answers.clear()
    train(follow, journal, 0, 1)
    assert "(it does not answer)" in capsys.readouterr().err and tracker.told == []
    tracker.down = True  # what it says now stops nothing
    tracker.answers.set()
    soon(lambda: tracker.tries > 1)
    tracker.down = False
    soon(lambda: epochs_of(tracker) == [0, 1])


def test_telling_rests_so_that_it_takes_a_small_share(follow, journal, tracker, monkeypatch):
    """Catches a tracker that is told each of many short epochs by a call of its own."""
    calls = []

    def epochs(some):
        calls.append(len(some))
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    monkeypatch.setattr(shipper, "SHARE", 0.1)
    monkeypatch.setattr(tracker, "epochs", epochs)
    since = time.monotonic()
    while time.monotonic() - since < 1.5:
        train(follow, journal, 0)
        time.sleep(0.005)
    assert 2 <= len(calls) <= 8 and max(calls) > 10
    follow.conclude(Epoch(1, {}, 9.0), [])  # and does not at the end
    assert time.monotonic() - since < 4


def test_a_line_that_is_half_written_is_told_once_it_is_whole(follow, journal, tracker):
    train(follow, journal, 0)
    with journal.open("a") as file:
        file.write('{"epoch": 1, "val_x"')
    follow.on_train_epoch_end(FIRST, None)
    soon(lambda: epochs_of(tracker) == [0])
    with journal.open("a") as file:
        file.write(": 3}\n")
    follow.on_train_epoch_end(FIRST, None)
    soon(lambda: epochs_of(tracker) == [0, 1])
    assert tracker.told[-1] == ("epoch", 1, {"val_x": 3.0})


def test_one_that_cannot_begin_stops_the_run(follow, journal, tracker, monkeypatch):
    def refuse(*_):
        raise FrostlineError("no such experiment")

    monkeypatch.setattr(tracker, "begin", refuse)
    with pytest.raises(FrostlineError, match="no such experiment"), follow:
        train(follow, journal, 0)
    assert not journal.exists() and tracker.told == []


def test_one_that_cannot_be_reached_when_a_run_begins_stops_none(follow, journal, tracker, monkeypatch, capsys):
    """Catches a study that has to be started again because its server was down."""
    begin, down = tracker.begin, [True]

    def away(*told):
        if down[0]:
            tracker.tries += 1
            raise Unreachable("nobody listens")
        begin(*told)

    monkeypatch.setattr(tracker, "begin", away)
    train(follow, journal, 0, 1)
    soon(lambda: tracker.tries > 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "(nobody listens)" in said and "sync study" in said and "work" not in said
    down[0] = False
    soon(lambda: epochs_of(tracker) == [0, 1])
    follow.conclude(Epoch(2, {}, 9.0), [])
    assert tracker.told[-1] == ("end", "finished") and capsys.readouterr().err == ""


def test_a_run_that_fails_is_told_as_failed_and_still_fails_as_it_did(follow, journal, tracker):
    with pytest.raises(ValueError), follow:
        train(follow, journal, 0)
        raise ValueError("out of\nmemory")
    assert tracker.told[-1] == ("end", "failed", "out of memory")


def test_a_run_that_fails_while_nobody_answers_fails_as_it_did(follow, journal, tracker):
    train(follow, journal, 0)
    tracker.down = True
    with pytest.raises(ZeroDivisionError), follow:
        raise ZeroDivisionError


def test_a_run_that_is_stopped_is_no_failed_one(follow, journal, tracker):
    # It goes on from there.
    with pytest.raises(KeyboardInterrupt), follow:
        train(follow, journal, 0)
        raise KeyboardInterrupt
    assert tracker.told[-1] == ("end", "killed", "KeyboardInterrupt")


def test_a_run_whose_files_are_not_taken_is_not_told_as_finished(follow, journal, tracker, monkeypatch, capsys):
    """Catches a run that `frostline sync` takes for whole."""
    monkeypatch.setattr(tracker, "files", lambda paths: 1 / 0)
    train(follow, journal, 0)
    follow.conclude(Epoch(1, {}, 9.0), [journal])
    assert tracker.told[-1][:2] == ("end", "killed") and "takes nothing" in capsys.readouterr().err


def test_a_run_that_was_killed_after_its_last_epoch_is_told_whole(follow, journal, tracker):
    journal.write_text('{"epoch": 0, "val_x": 1}\n{"epoch": 1, "val_x": 2}\n')
    follow.conclude(Epoch(2, {}, 9.0), [journal])
    assert [told[0] for told in tracker.told] == ["begin", "epoch", "epoch", "epoch", "files", "end"]


def test_other_processes_of_a_run_tell_nothing(follow, journal, tracker):
    follow.on_train_batch_end(SimpleNamespace(is_global_zero=False), None, None, None, 0)
    follow.on_train_epoch_end(SimpleNamespace(is_global_zero=False), None)
    assert tracker.told == []
