import _thread
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file

from frostline import parallel
from frostline.checking.prepare import prepare_from_config
from frostline.config import compose, to_yaml
from frostline.errors import FrostlineError
from frostline.runs import provenance
from frostline.runs.build import build_data, build_run, build_task
from frostline.runs.result import RunResult
from frostline.runs.train import train
from frostline.runs.workplace import Workplace, run_name
from frostline.scenes.needs import class_names
from frostline.tracking.base import Tracker
from frostline.tracking.store import tracking_uri

TASKS = ["classification", "localization", "detection", "segmentation"]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_run_twice_gives_the_same_figures_to_the_last_digit(train_small, task):
    overrides = [f"task={task}", "schedule=thaw", "tracking=none"]
    first, one = train_small(*overrides, name="one")
    second, two = train_small(*overrides, name="two")
    assert first.metrics == second.metrics
    weights, again = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert weights.keys() == again.keys() and all(torch.equal(weights[k], again[k]) for k in weights)
    other, _ = train_small(*overrides, "seed=1", name="other")
    assert other.metrics != first.metrics


def test_what_a_run_leaves(train_small, here, small_meadow):
    result, folder = train_small("schedule=thaw")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yaml", "confusion.png", "epochs.jsonl", "errors.png", "model.safetensors", "pictures.parquet",
        "precision_recall.png", "predictions.png", "result.json", "schedule.png",
    }  # fmt: skip
    assert RunResult.read(folder / "result.json") == result
    assert not (here / "work" / "run").exists()
    assert result.images_seen == 3 * 20 and result.epochs == 3
    assert result.data_hash == small_meadow.data_hash
    assert result.params_trainable_last == result.params_total > 3e6
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in epochs] == [0, 1, 2]
    assert [e["frost_depth"] for e in epochs] == [6, 0, 0]
    assert [e["images_seen"] for e in epochs] == [20, 40, 60]
    assert epochs[0]["lr_stem"] == 0 < epochs[1]["lr_stem"] < epochs[1]["lr_head"] + 1e-12
    assert epochs[result.best_epoch]["val_accuracy"] == max(e["val_accuracy"] for e in epochs)


def test_the_time_to_predict_is_of_one_picture_and_of_all_that_it_takes(train_small, monkeypatch):
    # Catches timing whole batches, or the model without what turns its outputs into predictions.
    from frostline.tasks.classification import Classification

    sizes = []

    predict = Classification.predict

    def slow(self, outputs, batch):
        sizes.append(len(outputs))
        time.sleep(0.2)
        return predict(self, outputs, batch)

    monkeypatch.setattr(Classification, "predict", slow)
    result, _ = train_small("schedule=frozen", "trainer.epochs=1", "tracking=none")
    assert 200 <= result.predict_ms < 400
    assert sizes.count(1) == 10


def test_the_saved_model_gives_the_figures_reported(train_small, small_meadow):
    # Catches saving the last epoch's weights where the best epoch's were measured.
    result, folder = train_small("task=segmentation", "schedule=full")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    task = build_task(config, class_names(small_meadow.classes, {"mask"}))
    task.model.load_state_dict(load_file(folder / "model.safetensors"))
    task.eval()
    data = build_data(config, small_meadow)
    metrics = task.make_metrics()
    with torch.no_grad():
        for batch in data.test_dataloader():
            task.update(metrics, task.predict(task(batch["image"]), batch), batch)
    assert float(metrics.compute()["miou"]) == pytest.approx(result.metrics["miou"], abs=1e-6)


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (lambda nothing: nothing * math.nan, r"a loss that is no number: box \(nan\)"),
        (lambda nothing: nothing.sqrt(), r"a gradient that is no number, .*: class \([0-9.]+\), box \([0-9.]+\)"),
    ],
)
def test_what_is_no_number_is_named_and_leaves_the_last_checkpoint_whole(train_small, here, monkeypatch, added, words):
    # Catches a step on NaN: the weights of every later checkpoint would be NaN, and the run would end as if trained.
    from frostline.tasks.localization import Localization

    sound = Localization.criterion

    def broken(self, outputs, batch):
        losses = sound(self, outputs, batch)
        hit = self.training and self.current_epoch == 2
        return losses | {"box": losses["box"] + (added(outputs[1].sum() * 0) if hit else 0)}

    with monkeypatch.context() as patch:
        patch.setattr(Localization, "criterion", broken)
        with pytest.raises(FrostlineError, match=rf"epoch 2 at {words}, on the scenes .*train.*optimizer\.lr"):
            train_small("task=localization", "tracking=none")
    last = torch.load(here / "work" / "run" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 1 and all(bool(t.isfinite().all()) for t in last["state_dict"].values())
    mended, _ = train_small("task=localization", "tracking=none")
    untroubled, _ = train_small("task=localization", "tracking=none", name="other")
    assert mended.metrics == untroubled.metrics


def test_a_run_that_is_stopped_while_it_files_its_results_is_not_finished(train_small, here, monkeypatch):
    # Catches a result that is there before all of it is, so that the next start would hand it over as it lies.
    def stopped(self, paths):  # by a thread of its own
        if paths[0].name == "result.json":
            assert RunResult.read(paths[0]).run == "run"
            _thread.interrupt_main()
            time.sleep(2)

    monkeypatch.setattr(Tracker, "files", stopped)
    # A process that a shell started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_small("schedule=frozen", "trainer.epochs=1", "tracking=none")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (here / "work" / "run" / "results" / "model.safetensors").is_file()
    assert not (here / "work" / "run" / "results" / "result.json").exists()


def test_a_run_whose_dataset_is_made_anew_under_it_does_not_count(here, small, monkeypatch):
    # As DVC does it, which deletes a stage's outputs first. Catches figures of two states under the hash of one.
    dataset = prepare_from_config(compose(small)["dataset"], here / "meadow")

    def commit():  # asked for when training begins
        shutil.rmtree(here / "meadow")
        prepare_from_config(compose([*small, "dataset.source.seed=9"])["dataset"], here / "meadow")
        return "unknown", True

    monkeypatch.setattr(provenance, "commit", commit)
    config = compose([*small, "schedule=frozen", "trainer.epochs=1", "tracking=none"])
    workplace = Workplace(here / "work" / "run", config, dataset.data_hash)
    with pytest.raises(FrostlineError, match="meadow has been prepared anew meanwhile: start again"):
        train(build_run(config, dataset, "run"), workplace, "a command")
    assert not workplace.finished


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("3,2", 3), ("", 8), (None, 8)])
def test_a_run_that_states_no_threads_heeds_what_its_process_was_given(monkeypatch, given, threads):
    # Catches runs side by side on one GPU each, of which every one takes all cores.
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert parallel.threads() == threads


def test_a_commit_is_of_this_project_or_unknown(tmp_path, monkeypatch):
    # Catches the commit of a project that this one is merely installed in.
    root = Path(provenance.__file__).parents[3]
    assert len(provenance.commit()[0]) == (40 if (root / ".git").exists() else len("unknown"))
    who = ["-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    for command in (["init", "-q"], [*who, "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    installed = tmp_path / "venv" / "lib" / "python" / "frostline" / "studies" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(installed))
    installed.parent.mkdir(parents=True)
    assert provenance.commit() == ("unknown", True)


def test_the_run_in_mlflow(train_small, here):
    from mlflow import MlflowClient

    result, _ = train_small("schedule=thaw", "study=garden", "trainer.epochs=8")
    client = MlflowClient(f"sqlite:///{here}/runs/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("garden")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    tags = {"task": "classification", "backbone": "efficientnet_lite0", "head": "linear", "schedule": "thaw"}
    tags |= {"seed": "0", "dataset": "meadow", "data_hash": result.data_hash}
    assert {key: run.data.tags[key] for key in tags} == tags
    assert run.data.tags["mlflow.source.git.commit"] == result.commit
    assert run.data.params["trainer.epochs"] == "8" and run.data.params["schedule"] == "thaw"
    assert len(run.data.params) < 25 and [one.dataset.name for one in run.inputs.dataset_inputs] == ["meadow"]
    depth = client.get_metric_history(run.info.run_id, "frost_depth")
    assert [(m.step, m.value) for m in depth] == list(enumerate([6, 6, 0, 0, 0, 0, 0, 0]))
    assert {"trainable_share", "val/accuracy", "train/loss", "images_seen"} <= set(run.data.metrics)
    assert run.data.metrics["test/accuracy"] == pytest.approx(result.metrics["accuracy"])
    assert any(name.startswith("system/") for name in run.data.metrics)
    artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert artifacts >= {
        "model.safetensors",
        "predictions.png",
        "errors.png",
        "confusion.png",
        "pictures.parquet",
        "precision_recall.png",
        "schedule.png",
        "config.yaml",
        "epochs.jsonl",
        "result.json",
    }


CHILD = """
import sys, yaml
from pathlib import Path
from frostline.scenes.dataset import Dataset
from frostline.runs.build import build_run
from frostline.runs.train import train
from frostline.runs.workplace import Workplace
config, dataset = yaml.safe_load(Path(sys.argv[1]).read_text()), Dataset.open(sys.argv[2])
train(build_run(config, dataset, "run"), Workplace(Path(sys.argv[3]), config, dataset.data_hash), "a command")
"""


def test_a_killed_run_goes_on_and_ends_with_the_figures_it_would_have_had(train_small, here, small_meadow, small):
    # Killed after the boundary (0.3 of 12 epochs is 4): what had been frozen must train on as if nothing had happened.
    overrides = ["schedule=thaw", "trainer.epochs=12", "tracking.system_metrics=false"]
    whole, _ = train_small(*overrides, name="whole")
    config = compose([*small, *overrides])
    (here / "config.yaml").write_text(to_yaml(config))
    journal = here / "killed" / "epochs.jsonl"
    command = [sys.executable, "-c", CHILD, "config.yaml", str(small_meadow.path), "killed"]
    child = subprocess.Popen(command, cwd=here, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 6):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    training = (here / "killed" / "id").read_text()

    last = torch.load(here / "killed" / "last.ckpt", weights_only=True)
    assert last["epoch"] >= 4  # of every epoch, not only of those that were the best so far; and past the boundary
    workplace = Workplace(here / "killed", config, small_meadow.data_hash)
    assert not workplace.finished and (here / "killed" / "last.ckpt").exists()
    resumed = train(build_run(config, small_meadow, "run"), workplace, "a command")
    assert resumed.metrics == whole.metrics and resumed.images_seen == whole.images_seen
    weights = load_file(workplace.results / "model.safetensors")
    expected = load_file(here / "results" / "whole" / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    epochs = [json.loads(line)["epoch"] for line in (workplace.results / "epochs.jsonl").read_text().splitlines()]
    assert epochs == list(range(12))
    assert resumed.id == workplace.id == training
    client = MlflowClient(tracking_uri(None))
    (experiment,) = client.search_experiments(filter_string="name = 'default'")
    (held,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'run'")  # one, not two
    history = client.get_metric_history(held.info.run_id, "images_seen")
    assert held.info.status == "FINISHED" and [point.step for point in history] == list(range(12))


def test_another_configuration_data_or_code_starts_afresh(tmp_path, monkeypatch, small):
    config = compose(small)
    for other, data_hash, code in [(compose([*small, "seed=1"]), "a", "x"), (config, "b", "x"), (config, "a", "y")]:
        monkeypatch.setattr("frostline.runs.workplace.code_hash", lambda *parts: "x")
        Workplace(tmp_path / "w", config, "a")
        (tmp_path / "w" / "last.ckpt").write_text("")
        assert (Workplace(tmp_path / "w", config, "a").folder / "last.ckpt").exists()
        monkeypatch.setattr("frostline.runs.workplace.code_hash", lambda *parts, code=code: code)
        assert not (Workplace(tmp_path / "w", other, data_hash).folder / "last.ckpt").exists()


def test_a_task_that_the_data_cannot_serve_is_refused_before_training(here):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (here / "pictures" / kind).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(here / "pictures" / kind / f"{i}.png")
    config = compose(["task=detection", "dataset=folder", f"dataset.root={here}/pictures", "image_size=64"])
    dataset = prepare_from_config(config["dataset"], here / "prepared")
    with pytest.raises(FrostlineError, match="'folder' has no boxes.*cannot serve detection"):
        build_run(config, dataset, "run")
    assert not (here / "runs").exists()


def test_a_tracker_that_cannot_be_one_stops_a_run_before_training(train_small, here):
    with pytest.raises(FrostlineError, match="mend its address"):
        train_small("tracking.uri=http://127.0.0.1:port")
    assert not (here / "results").exists() and not list((here / "work" / "run").glob("*.ckpt"))


def test_sigterm_is_left_to_who_began_the_run(train_small, monkeypatch):
    """Catches Lightning's handler, in which processes of one run wait for each other for ever."""
    from frostline.tasks.classification import Classification

    sound, seen = Classification.criterion, set()

    def spy(self, *args):
        seen.add(signal.getsignal(signal.SIGTERM))
        return sound(self, *args)

    def mine(number, frame):
        pass

    monkeypatch.setattr(Classification, "criterion", spy)
    before = signal.signal(signal.SIGTERM, mine)
    try:
        train_small("schedule=frozen", "trainer.epochs=1", "tracking=none")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == {mine}


def test_two_processes_never_train_in_one_workplace(tmp_path, small):
    config = compose(small)
    first = Workplace(tmp_path / "w", config, "a")
    with pytest.raises(FrostlineError, match="Another process trains this run"):
        Workplace(tmp_path / "w", config, "a")
    del first
    Workplace(tmp_path / "w", config, "a")


@pytest.mark.parametrize("overrides", [["task=detection", "head=linear"], ["task=classification", "head=box"]])
def test_a_head_of_another_task_is_refused(overrides):
    with pytest.raises(FrostlineError, match="leave the head out"):
        build_task(compose(overrides), ("a", "b"))


@pytest.mark.parametrize(
    ("task", "override", "words"),
    [
        ("classification", "task.top_k=0", "task.top_k is 0; it is a whole number from 1 up"),
        ("localization", "task.box_weight=abc", "task.box_weight is 'abc'; it is a number"),
        ("detection", "task.max_boxes=abc", "task.max_boxes is 'abc'"),
        ("detection", "task.nms_iou=2", "task.nms_iou is 2.0; it is a number from 0 to 1"),
        ("segmentation", "task.losses.dice=-1", "task.losses.dice is -1"),
        ("segmentation", "task.losses.cross_entropy=0 task.losses.dice=0", "task.losses are all 0"),
        ("segmentation", "task.class_weights=[1]", "task.class_weights has 1 numbers, and there are 2 classes: a, b"),
        ("segmentation", "head.decoder_channels=[]", "UnetHead cannot be built"),
        ("classification", "rate=plateau rate.monitor=null", "rate.monitor is null; it is text"),
        ("classification", "rate=cosine rate.warmup=null", "rate.warmup is null; it is a number"),
        ("classification", "rate=cosine rate.warmup=0.95", "warmup is 0.95; it is a share of the budget, 0 to 0.9"),
        ("classification", "rate=constant rate.warmup=1.5", "warmup is 1.5; it is a share"),
        ("classification", "rate=one_cycle rate.warmup=-1", "warmup is -1.0; it is a share"),
        ("classification", "rate=step rate.every=0.3 rate.factor=0", "factor is 0"),
        ("classification", "rate=step rate.every=2", "every is 2.0; it is a share"),
        ("classification", "rate=plateau rate.factor=1", "factor 1.0 must lie between"),
        ("classification", "rate=plateau rate.patience=-1", "patience -1 must not be negative"),
        (
            "classification",
            "rate=plateau rate.monitor=val_los",
            "rate.monitor is 'val_los'.*it logs train_loss, val_accuracy",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused_before_training(task, override, words):
    with pytest.raises(FrostlineError, match=words):
        build_task(compose([f"task={task}", "backbone.pretrained=false", *override.split()]), ("a", "b"))


def test_names_are_readable_and_fit_for_files():
    config = compose(["backbone=timm", "backbone.name=hf-hub:timm/resnet18", "task=detection", "seed=4"])
    assert run_name(config) == "detection-meadow-hf_hub_timm_resnet18-dense-thaw-4"


def test_a_log_has_a_line_an_epoch(train_small, capsys):
    train_small("schedule=full", "backbone=small_cnn", "trainer.epochs=2", "tracking=none")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("train_loss" in line and "val_accuracy" in line for line in lines)
