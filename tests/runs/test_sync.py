"""What a tracker missed is sent afterwards, as if it had been there."""

import json
import shutil

import pytest
from filelock import FileLock
from helpers.store import fresh
from mlflow import MlflowClient

from frostline.cli import main
from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.runs.sync import sync
from frostline.runs.workplace import Workplace
from frostline.tracking.base import Run
from frostline.tracking.mlflow import MlflowTracker
from frostline.tracking.store import tracking_uri

__all__ = ["fresh"]

OPTIONS = ("schedule=thaw", "trainer.epochs=4", "tracking.system_metrics=false")


def told(uri, name):
    """All that MLflow has of the one run of this name: status, parameters, tags, histories with times, files."""
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'default'")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    histories = {
        key: [(point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }
    tags = {key: value for key, value in run.data.tags.items() if key not in ("mlflow.source.name", "mlflow.user")}
    (given,) = run.inputs.dataset_inputs
    files = [(file.path, file.file_size) for file in client.list_artifacts(run.info.run_id)]
    return run.info.status, run.data.params, tags, histories, given.dataset.digest, files


def test_another_store_gets_what_the_first_one_was_told(train_small, here, tmp_path, fresh, monkeypatch, capsys):
    """Catches a value, a time, a file that is told otherwise afterwards; and what is told twice."""
    train_small(*OPTIONS, name="one")
    train_small(*OPTIONS, "seed=1", name="two")
    first = {name: told(tracking_uri(None), name) for name in ("one", "two")}
    assert [one.state for one in sync(here)] == ["there", "there"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'another' / 'mlflow.db'}")
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "mlflow.db").write_bytes(fresh.read_bytes())
    assert [(one.run, one.state, one.error) for one in sync(here)] == [("one", "sent", ""), ("two", "sent", "")]
    assert {name: told(tracking_uri(None), name) for name in ("one", "two")} == first
    assert first["one"][0] == "FINISHED" and len(first["one"][3]["val/loss"]) == 4
    assert [one.state for one in sync(here)] == ["there", "there"]
    assert {name: told(tracking_uri(None), name) for name in ("one", "two")} == first


def test_what_was_missed_of_a_run_is_added_to_it(train_small, here, monkeypatch, capsys):
    """Catches a second run for the rest, an epoch twice, and a run that counts as whole before it is."""
    tell, down = MlflowTracker.epochs, [True]

    def epochs(self, some):
        tell(self, [epoch for epoch in some if epoch.step < 2 or not down[0]])
        if down[0] and some and some[-1].step >= 2:
            tell(self, [epoch for epoch in some if epoch.step < 2])  # however many come at once
            raise ConnectionError("away")

    monkeypatch.setattr(MlflowTracker, "epochs", epochs)
    train_small(*OPTIONS)
    assert "`frostline sync default` sends it" in capsys.readouterr().err
    status, _, _, histories, *_ = told(tracking_uri(None), "run")
    assert status == "KILLED" and [step for step, *_ in histories["val/loss"]] == [0, 1]
    (one,) = sync(here)
    assert one.state == "failed" and "away" in one.error and told(tracking_uri(None), "run")[0] == "KILLED"  # still
    down[0] = False
    assert [(one.state, one.error) for one in sync(here)] == [("sent", "")]
    status, _, _, histories, _, files = told(tracking_uri(None), "run")
    assert status == "FINISHED" and [step for step, *_ in histories["val/loss"]] == [0, 1, 2, 3]
    assert [step for step, *_ in histories["test/loss"]] == [4] and len(files) > 5
    assert [one.state for one in sync(here)] == ["there"]


def test_the_command_tells_what_it_did(train_small, here, tmp_path, monkeypatch, capsys):
    train_small("tracking=none")
    (here / "runs").mkdir(exist_ok=True)
    (here / "runs" / "mine").symlink_to(here)
    capsys.readouterr()
    assert main(["sync", "mine"]) == 0 and capsys.readouterr().out == (
        "0 runs sent; 0 were there; 1 name a tracker that keeps none, or does not say what it has\n"
    )
    assert main(["sync", "nothing"]) == 2 and "There is no study nothing" in capsys.readouterr().err
    with pytest.raises(FrostlineError, match="no finished runs"):
        list(sync(tmp_path / "empty"))


def test_of_runs_of_older_versions_those_that_are_there_stay_once(train_small, here, monkeypatch, capsys):
    """Catches a run without an id that is told again as another one, with every call."""
    train_small(*OPTIONS)
    path = here / "results" / "run" / "result.json"
    older = {key: value for key, value in json.loads(path.read_text()).items() if key != "id"}
    path.write_text(json.dumps(older))
    client = MlflowClient(tracking_uri(None))
    (experiment,) = client.search_experiments(filter_string="name = 'default'")

    def there():
        return client.search_runs([experiment.experiment_id])

    client.delete_tag(there()[0].info.run_id, "frostline.id")
    assert [one.state for one in sync(here)] == ["there"]
    client.delete_run(there()[0].info.run_id)
    monkeypatch.setattr(MlflowTracker, "files", lambda self, paths: 1 / 0)
    assert [one.state for one in sync(here)] == ["failed"] and [one.state for one in sync(here)] == ["failed"]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert [one.state for one in sync(here)] == ["sent"] and [one.state for one in sync(here)] == ["there"]
    assert [run.info.status for run in there()] == ["FINISHED"]


def test_another_training_of_the_same_cell_is_another_run(train_small, here, capsys):
    """Catches a run that is taken for one of the same name, data and commit that is there."""
    train_small(*OPTIONS)
    client = MlflowClient(tracking_uri(None))
    (experiment,) = client.search_experiments(filter_string="name = 'default'")
    client.delete_tag(client.search_runs([experiment.experiment_id])[0].info.run_id, "frostline.id")
    assert [one.state for one in sync(here)] == ["sent"]
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_run_that_was_killed_by_force_reads_so(here, small_meadow, small, fresh, monkeypatch, capsys):
    """Catches a run that reads RUNNING for ever, and one under way that is told to be killed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(fresh, here)}")
    config = compose(small)
    workplace = Workplace(here / "work" / "run", config, small_meadow.data_hash)
    tracker = MlflowTracker(system_metrics=False)
    tracker.begin(Run("default", "run", workplace.folder, id=workplace.id), {}, {})
    client = MlflowClient(tracking_uri(None))

    def there():
        found = client.get_run(tracker._id)
        return found.info.status, found.data.tags.get("frostline.reason")

    assert list(sync(here)) == [] and there() == ("RUNNING", None)  # under way
    del workplace
    assert [(one.run, one.state) for one in sync(here)] == [("run", "stopped")]
    assert there() == ("KILLED", "killed by force") and list(sync(here)) == []
    (here / "runs").mkdir()
    (here / "runs" / "mine").symlink_to(here)
    client.update_run(tracker._id, status="RUNNING")
    assert main(["sync", "mine"]) == 0
    assert (
        capsys.readouterr().out == "0 runs sent; 0 were there; 1 killed by force read KILLED now, no longer RUNNING\n"
    )
    (here / "work" / "run" / "identity").unlink()  # killed while it was cleared away
    assert list(sync(here)) == []


def test_two_at_once_do_not_send_each_run_twice(tmp_path):
    with FileLock(tmp_path / ".sync.lock"), pytest.raises(FrostlineError, match="Another process sends the runs of"):
        list(sync(tmp_path))


def test_one_that_cannot_be_read_keeps_no_other(train_small, here, capsys):
    train_small(*OPTIONS)
    for name, text in {"no_config": None, "no_tracker": "tracking: {system_metrics: true}", "none": "a: 1"}.items():
        shutil.copytree(here / "results" / "run", here / "results" / name)
        (here / "results" / name / "config.yaml").write_text(text or "[")
    (here / "work" / "ahead").mkdir(parents=True)
    shutil.move(here / "results" / "run", here / "work" / "ahead" / "results")  # not taken by DVC yet
    assert sorted(one.state for one in sync(here)) == ["failed", "failed", "failed", "there"]
