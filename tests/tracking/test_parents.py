"""A study and its arms as parent runs in MLflow, with the runs that were tracked before nested in them."""

import dataclasses

import pytest
from helpers.store import begun, fresh, store, tell

from frostline.tracking.base import Cell, ToldArm, ToldStudy
from frostline.tracking.mlflow import MlflowTracker
from frostline.tracking.parents import PARENT, show

__all__ = ["fresh", "store"]


def trained(uri, folder, name, commit="abc", status="finished"):
    """The id of a run that was tracked while it was trained."""
    tracker = begun(uri, folder, "garden", name, commit)
    tell(tracker, {"val_accuracy": 0.5, "train_loss": 1.0, "train_seconds": 3.0}, 0)
    tracker.end(status)
    return tracker._id


def arm(schedule, value, *seeds, commit="abc"):
    cells = [Cell(f"{schedule}-{seed}", commit, "d" * 64) for seed in seeds]
    figures = {"test_accuracy": value, "test_accuracy_low": value - 0.1, "test_loss": float("nan")}
    return ToldArm(schedule, cells, figures, {"val_accuracy": [0.1, value]}, {"schedule": schedule})


def study(*arms, files=()):
    return ToldStudy("garden", "Take `thaw`.", {"classification/thaw": 0.9}, arms, files)


def runs(uri):
    """By name, all that are there; no name twice."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("garden").experiment_id])
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found), [run.info.run_name for run in found]
    return named


def parents(uri):
    """Name of each run -> name of the run that it stands in."""
    found = runs(uri)
    names = {run.info.run_id: name for name, run in found.items()}
    return {name: names.get(run.data.tags.get(PARENT)) for name, run in found.items()}


def test_long_values_of_an_arm_are_cut_as_those_of_runs_are(store, tmp_path):
    # Catches a value that some of MLflow's stores refuse.
    show(store, study(arm("thaw" * 100, 0.9, 0)))
    assert runs(store)["thaw" * 100].data.params["schedule"] == "thaw" * 62 + "th"


def test_a_study_holds_arms_and_these_the_runs_that_were_trained_before(store, tmp_path):
    for name in ("thaw-0", "thaw-1", "full-0"):
        trained(store, tmp_path / name, name)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/a.png").write_bytes(b"png")
    (tmp_path / "report.md").write_text("# garden")
    MlflowTracker(store).compared(
        study(arm("thaw", 0.9, 0, 1), arm("full", 0.8, 0), files=[tmp_path / "report.md", tmp_path / "plots"])
    )
    nested = {"thaw": "garden", "full": "garden", "thaw-0": "thaw", "thaw-1": "thaw", "full-0": "full"}
    assert parents(store) == {"garden": None} | nested
    found = runs(store)
    assert found["thaw"].data.metrics == {"test/accuracy": 0.9, "test/accuracy_low": 0.8, "val/accuracy": 0.9}
    assert found["garden"].data.metrics == {"classification/thaw": 0.9}
    assert found["garden"].data.tags["mlflow.note.content"] == "Take `thaw`."
    assert {found[name].data.tags["level"] for name in ("garden", "thaw", "thaw-0")} == {"study", "arm", "run"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    from mlflow import MlflowClient

    client = MlflowClient(store)
    curve = client.get_metric_history(found["thaw"].info.run_id, "val/accuracy")
    assert [(point.step, point.value) for point in curve] == [(0, 0.1), (1, 0.9)]
    listed = [file.path for file in client.list_artifacts(found["garden"].info.run_id)]
    assert listed == ["plots", "report.md"]


def test_told_again_it_is_the_same_runs(store, tmp_path):
    trained(store, tmp_path / "thaw-0", "thaw-0")
    show(store, study(arm("thaw", 0.9, 0)))
    before = {name: (run.info.run_id, run.info.end_time, run.data.tags) for name, run in runs(store).items()}
    show(store, study(arm("thaw", 0.9, 0)))
    assert {name: (run.info.run_id, run.info.end_time, run.data.tags) for name, run in runs(store).items()} == before


def test_other_values_replace_an_arm_and_the_study_stays(store, tmp_path):
    for name in ("thaw-0", "thaw-1"):
        trained(store, tmp_path / name, name)
    show(store, study(arm("thaw", 0.9, 0), arm("gone", 0.1, 0)))
    first = runs(store)
    assert parents(store)["thaw-1"] is None
    show(store, study(arm("thaw", 0.7, 0, 1)))
    again = runs(store)
    assert again["garden"].info.run_id == first["garden"].info.run_id
    assert again["thaw"].info.run_id != first["thaw"].info.run_id and again["thaw"].data.metrics["test/accuracy"] == 0.7
    assert parents(store) == {"garden": None, "thaw": "garden", "thaw-0": "thaw", "thaw-1": "thaw"}


def test_only_the_run_that_gave_the_result_is_nested(store, tmp_path):
    from mlflow import MlflowClient

    told = (("a", "old", "finished"), ("b", "abc", "finished"), ("c", "abc", "failed"))
    old, new, _ = [trained(store, tmp_path / at, "thaw-0", commit, status) for at, commit, status in told]
    client = MlflowClient(store)

    def nested():
        found = client.search_runs([client.get_experiment_by_name("garden").experiment_id])
        return [run.info.run_id for run in found if PARENT in run.data.tags and run.data.tags["level"] == "run"]

    show(store, study(arm("thaw", 0.9, 0, commit="old")))
    assert nested() == [old]
    show(store, study(arm("thaw", 0.9, 0)))
    assert nested() == [new]


def test_what_was_cut_short_is_told_again(store, monkeypatch):
    from mlflow import MlflowClient

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(MlflowClient, "log_batch", stop)
        show(store, study(arm("thaw", 0.9, 0)))
    show(store, study(arm("thaw", 0.9, 0)))
    assert runs(store)["garden"].data.metrics and parents(store) == {"garden": None, "thaw": "garden"}


def test_a_long_answer_is_cut_where_mlflow_takes_no_more(store):
    show(store, dataclasses.replace(study(), text="x" * 9000))
    assert len(runs(store)["garden"].data.tags["mlflow.note.content"]) == 5000
