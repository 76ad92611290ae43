import errno
import threading
import time

from frostline.runs import timing
from frostline.runs.timing import HoldStill, Stopwatch


def test_others_end_their_batch_then_wait_and_do_not_count_it(tmp_path):
    watches = [Stopwatch(), Stopwatch()]
    told = []
    with HoldStill(tmp_path, watches[0]) as timed, HoldStill(tmp_path, watches[1]) as other:
        watches[1].on_train_epoch_start(None, None)
        other.on_train_batch_start()

        def be_timed():
            with timed.alone():
                told.append("timed")
                time.sleep(0.3)
                told.append("done")

        thread = threading.Thread(target=be_timed)
        thread.start()
        time.sleep(0.1)
        assert not told  # a batch is under way
        other.on_train_batch_end()
        while not told:
            time.sleep(0.01)
        other.on_train_batch_start()
        told.append("next batch")
        other.on_train_batch_end()
        thread.join()
        watches[1].on_validation_start(None, None)
    assert told == ["timed", "done", "next batch"]
    assert 0.09 < watches[1].train_seconds < 0.3  # without what it waited


def test_who_is_to_be_timed_has_its_turn_among_many(tmp_path):
    # Catches the others handing the lock to each other for ever.
    over, turns = threading.Event(), []

    def train():
        with HoldStill(tmp_path, Stopwatch()) as run:
            while not over.is_set():
                run.on_validation_batch_start()
                time.sleep(0.01)
                run.on_validation_batch_end()

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with HoldStill(tmp_path, Stopwatch()) as run:
            for _ in range(5):
                since = time.perf_counter()
                with run.alone():
                    turns.append(time.perf_counter() - since)
                    if turns[-1] > 1:
                        break
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
    assert max(turns) < 1


def test_a_run_that_is_stopped_in_a_batch_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "PATIENCE", 0.2)
    with HoldStill(tmp_path, Stopwatch()) as stopped, HoldStill(tmp_path, Stopwatch()) as run:
        stopped.on_train_batch_start()
        with run.alone():
            pass


def test_a_run_that_fails_in_a_batch_keeps_nobody_waiting(tmp_path):
    failed = HoldStill(tmp_path, Stopwatch())
    with failed:
        failed.on_train_batch_start()
    with HoldStill(tmp_path, Stopwatch()) as run, run.alone():
        pass


def test_where_a_file_system_has_no_locks_nobody_waits(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(timing.fcntl, "flock", flock)
    with HoldStill(tmp_path, Stopwatch()) as run, run.busy(), run.alone():
        pass
