"""MLflow as the tracker."""

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.store import begun, fresh, serving, stop, store, tell

from frostline.errors import FrostlineError
from frostline.runs.result import RunResult
from frostline.tracking.base import Epoch, Run, Unreachable
from frostline.tracking.mlflow import MlflowTracker

__all__ = ["fresh", "store"]


@pytest.fixture
def uri(store):
    return store


@pytest.fixture
def run(tmp_path):
    return Run("garden", "thaw-0", tmp_path / "work")


def known(uri, run):
    """The run as MLflow has it, and each metric's history as (step, value)."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (held,) = client.search_runs([client.get_experiment_by_name(run.study).experiment_id])
    histories = {key: client.get_metric_history(held.info.run_id, key) for key in held.data.metrics}
    return held, {key: [(point.step, point.value) for point in points] for key, points in histories.items()}


def test_what_is_told_is_there(uri, run, tmp_path):
    tracker = begun(uri, run.folder, run.study, run.name, long="x" * 9000, **{f"key{n}": str(n) for n in range(250)})
    tell(tracker, {f"val_{n}": n / 7 for n in range(1500)} | {"loss@x": math.nan}, 0)
    (tmp_path / "config.yaml").write_text("a: 1")
    tracker.files([tmp_path / "config.yaml"])
    tracker.end("finished")
    held, metrics = known(uri, run)
    assert (held.info.run_name, held.info.status) == ("thaw-0", "FINISHED")
    assert held.data.params["long"] == "x" * 250 and len(held.data.params) == 251
    assert held.data.tags.items() >= {"seed": "0", "image_size": "64", "mlflow.source.git.commit": "abc"}.items()
    (given,) = held.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("meadow", "d" * 36)
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "train, val, test")]
    assert len(metrics) == 1501 and metrics["val/1499"] == [(0, 1499 / 7)] and math.isnan(metrics["lossx"][0][1])


def test_a_resumed_run_is_the_same_run_and_takes_no_epoch_twice(uri, run):
    first = begun(uri, run.folder, run.study, run.name, id="a")
    for step in (0, 1):
        tell(first, {"images_seen": 20.0 * step}, step)
    tell(first, {"images_seen": 5.0}, 1)
    first.end("failed", "out of memory")
    assert known(uri, run)[0].data.tags["frostline.reason"] == "out of memory"
    again = begun(uri, run.folder, run.study, run.name, id="a", other="1")  # params of a run cannot change
    for step in (0, 1, 2):
        tell(again, {"images_seen": 20.0 * step}, step)
    tell(again, {"test_loss": 0.5}, 3)
    held = known(uri, run)[0]
    assert held.info.status == "RUNNING" and "frostline.reason" not in held.data.tags
    last = begun(uri, run.folder, run.study, run.name, id="a")
    tell(last, {"test_loss": 0.5}, 3)
    last.end("finished")
    held, metrics = known(uri, run)
    assert held.info.status == "FINISHED"
    assert metrics == {"images_seen": [(0, 0.0), (1, 20.0), (2, 40.0)], "test/loss": [(3, 0.5)]}


def test_a_run_that_was_removed_since_begins_anew(uri, run):
    from mlflow import MlflowClient

    begun(uri, run.folder, run.study, run.name, id="a")
    gone = known(uri, run)[0].info.run_id
    MlflowClient(uri).delete_run(gone)
    tell(begun(uri, run.folder, run.study, run.name, id="a"), {"images_seen": 1.0}, 0)
    assert known(uri, run)[0].info.run_id != gone and known(uri, run)[1] == {"images_seen": [(0, 1.0)]}


def test_a_trashed_experiment_is_refused(uri, run):
    from mlflow import MlflowClient

    begun(uri, run.folder, run.study, run.name)
    client = MlflowClient(uri)
    client.delete_experiment(client.get_experiment_by_name(run.study).experiment_id)
    with pytest.raises(FrostlineError, match="'garden' is in the trash"):
        begun(uri, run.folder, run.study, run.name)


def test_an_epoch_is_told_as_a_whole(uri, run, monkeypatch):
    """Catches epochs that are cut where a call is full, of which the second part is taken for told."""
    from mlflow import MlflowClient

    tracker, calls = begun(uri, run.folder, run.study, run.name, id="a"), []
    log = MlflowClient.log_batch

    def cut_off(self, run_id, metrics=(), **others):
        if metrics and len(calls) == 1:
            raise ConnectionError("away")
        calls.append([(point.step, point.key) for point in metrics])
        log(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", cut_off)
    epochs = [Epoch(n, {"images_seen": n, **{f"val_{k}": k / 7 for k in range(30)}}, 1e9 + n) for n in range(60)]
    with pytest.raises(FrostlineError, match="away"):
        tracker.epochs(epochs)
    monkeypatch.undo()
    again = begun(uri, run.folder, run.study, run.name, id="a")
    again.epochs(epochs)
    _, metrics = known(uri, run)
    assert len(metrics) == 31 and all([step for step, _ in points] == list(range(60)) for points in metrics.values())


def test_a_run_whose_start_was_cut_off_gets_all_of_it(uri, run, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with monkeypatch.context() as away, pytest.raises(FrostlineError):
        away.setattr(MlflowClient, "log_batch", lambda *_, **__: (_ for _ in ()).throw(MlflowException("away")))
        begun(uri, run.folder, run.study, run.name, id="a", rate="1")
    begun(uri, run.folder, run.study, run.name, id="a", rate="1")
    client = MlflowClient(uri)
    there = client.search_runs([client.get_experiment_by_name(run.study).experiment_id], "tags.`frostline.id` = 'a'")
    assert [one.data.params for one in there] == [{"rate": "1"}] and len(there[0].inputs.dataset_inputs) == 1


def test_runs_that_begin_at_once_on_a_new_dataset_are_all_taken(uri, tmp_path):
    """Catches a run that is refused because another one brings its dataset at the same moment."""
    from mlflow import MlflowClient

    def begin(number):
        return begun(uri, tmp_path, "garden", f"thaw-{number}", id=str(number))._id

    with ThreadPoolExecutor(12) as pool:
        ids = list(pool.map(begin, range(12)))
    client = MlflowClient(uri)
    assert all(len(client.get_run(one).inputs.dataset_inputs) == 1 for one in ids) and len(set(ids)) == 12


def test_the_machine_is_watched_until_the_end(uri, run):
    run.folder.mkdir()
    tracker = MlflowTracker(uri)
    tracker.begin(run, {}, {})
    time.sleep(2.5)
    tracker.epochs([])
    tracker.end("finished")
    _, metrics = known(uri, run)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= metrics.keys()
    steps = [step for step, _ in metrics["system/cpu_utilization_percentage"]]
    assert len(steps) == 2 and steps[0] in (1, 2) and steps[1] in (steps[0] + 1, steps[0] + 2)  # seconds of the run
    assert 0 < metrics["system/system_memory_usage_percentage"][0][1] <= 100


def test_what_was_sampled_while_nobody_answered_is_told_later(uri, run, monkeypatch):
    from mlflow import MlflowClient

    run.folder.mkdir()
    tracker = MlflowTracker(uri)
    tracker.begin(run, {}, {})
    with monkeypatch.context() as away:
        away.setattr(MlflowClient, "log_batch", lambda *_, **__: (_ for _ in ()).throw(OSError("away")))
        time.sleep(1.3)
        with pytest.raises(FrostlineError):
            tracker.epochs([])
    tracker.epochs([])
    tracker.epochs([])
    assert len(known(uri, run)[1]["system/cpu_utilization_percentage"]) == 1
    tracker.end("killed")


def test_an_address_is_checked_without_importing_mlflow(tmp_path):
    code = (
        "import sys\nfrom frostline.errors import FrostlineError\nfrom frostline.tracking.mlflow import MlflowTracker\n"
        "MlflowTracker('http://127.0.0.1:9').check()\n"
        "try:\n    MlflowTracker('http://127.0.0.1:port').check()\nexcept FrostlineError as error:\n"
        "    print(error, 'mlflow' in sys.modules, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "cannot be reached" in said and said.endswith("False False\n")


def test_what_a_database_refuses_is_no_traceback(store, tmp_path):
    """Catches MLflow's own log of it, in the midst of what a run says."""
    code = (
        "import sqlite3, sys\nfrom pathlib import Path\nfrom frostline.errors import FrostlineError\n"
        "from frostline.tracking.base import Epoch, Run\nfrom frostline.tracking.mlflow import MlflowTracker\n"
        "tracker = MlflowTracker(sys.argv[1], system_metrics=False)\n"
        "tracker.begin(Run('garden', 'thaw-0', Path('.'), id='a'), {}, {})\n"
        "sqlite3.connect(sys.argv[1].removeprefix('sqlite:///')).execute('DROP TABLE metrics')\n"
        "try:\n    tracker.epochs([Epoch(0, {'a': 1.0}, 1e9)])\nexcept FrostlineError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code, store]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "no such table: metrics" in done.stdout and "Traceback" not in done.stderr


def test_one_that_was_away_just_now_is_not_waited_for(run, monkeypatch):
    """Catches a first step that waits as long again for a server that does not answer."""
    asked, away = [], Unreachable("away")

    def ask(uri):
        asked.append(uri)
        raise away

    monkeypatch.setattr("frostline.tracking.mlflow.check_reached", ask)
    tracker = MlflowTracker("http://h")
    tracker.check()
    for count in (1, 2):  # and the second time it is asked
        with pytest.raises(Unreachable):
            tracker.begin(run, {}, {})
        assert len(asked) == count


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as found:
        yield found


def test_a_server_that_stops_does_not_stop_the_run(server, train_small, here, monkeypatch, capsys):
    process, address = server
    told = MlflowTracker.epochs
    seen = []

    def epochs(self, epochs):
        told(self, epochs)
        if epochs and not seen:
            held, _ = known(address, Run("default", "run", here))
            seen.append((held.info.status, held.data.metrics["images_seen"] > 0, held.data.tags["schedule"]))
            stop(process)

    monkeypatch.setattr(MlflowTracker, "epochs", epochs)
    result, folder = train_small("schedule=frozen", f"tracking.uri={address}", "trainer.epochs=4")
    assert seen == [("RUNNING", True, "frozen")]
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert 1 <= len(said) <= 2 and all("takes nothing" in line for line in said)
    assert all("cannot be reached" in line or "cannot be used" in line for line in said)  # as it stopped meanwhile
    assert said[-1].endswith("`frostline sync default` sends it.")
    assert RunResult.read(folder / "result.json") == result and result.images_seen == 80
    assert len((folder / "epochs.jsonl").read_text().splitlines()) == 4


def test_what_a_resumed_run_is_told_otherwise_is_drift(uri, run):
    """Catches a run that stops because MLflow keeps parameters as they are, and a change that nobody sees."""
    begun(uri, run.folder, run.study, run.name, id="a", rate="1", same="x" * 900)
    begun(uri, run.folder, run.study, run.name, id="a", rate="2", same="x" * 900, more="3")
    assert known(uri, run)[0].data.tags["frostline.drift"] == "rate: 1, now 2"
    begun(uri, run.folder, run.study, run.name, commit="def", id="a", rate="2", same="x" * 900)
    begun(uri, run.folder, run.study, run.name, id="a", rate="1", same="x" * 900)
    held = known(uri, run)[0]
    assert held.data.tags["frostline.drift"] == "rate: 1, now 2\nmlflow.source.git.commit: abc, now def"
    assert held.data.params == {"rate": "1", "same": "x" * 250, "more": "3"}
    assert held.data.tags["mlflow.source.git.commit"] == "abc"


def test_of_a_run_that_was_made_twice_one_stays(uri, run):
    """Catches a run that a server made, was killed before it said so, and made again when it was asked again."""
    from mlflow import MlflowClient

    begun(uri, run.folder, run.study, run.name, id="a")
    client = MlflowClient(uri)
    held = known(uri, run)[0]
    client.create_run(held.info.experiment_id, tags=held.data.tags, run_name=run.name)
    client.set_terminated(held.info.run_id)
    assert [one.id for one in MlflowTracker(uri).lacking([Run(run.study, run.name, run.folder, id="a")])] == ["a"]
    begun(uri, run.folder, run.study, run.name, id="a").end("finished")
    assert known(uri, run)[0].info.run_id == held.info.run_id
    assert MlflowTracker(uri).lacking([Run(run.study, run.name, run.folder, id="a")]) == []
