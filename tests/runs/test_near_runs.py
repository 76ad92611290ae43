"""A run whose node has a folder of its own is the run without it, in all but where it reads."""

import shutil
from pathlib import Path

import torch
from helpers.runs import SMALL
from safetensors.torch import load_file

import frostline
from frostline.environment import NODE_FOLDER

RUN = [*SMALL, "task=segmentation", "schedule=thaw_top", "augment.views=1"]


def trained():
    """What a run leaves, and what the tracker knows of it."""
    from mlflow import MlflowClient

    result = frostline.train(*RUN)
    client = MlflowClient("sqlite:///runs/mlflow/mlflow.db")
    run = client.search_runs([client.get_experiment_by_name("default").experiment_id])[0]  # the newest
    (data,) = run.inputs.dataset_inputs
    kept = {name: (result.folder / name).read_bytes() for name in ("config.yaml", "pictures.parquet")}
    weights = load_file(result.folder / "model.safetensors")
    return result, kept, weights, (data.dataset.name, data.dataset.digest, data.dataset.source), dict(run.data.params)


def test_figures_weights_plan_and_what_a_tracker_is_told_stay_the_same(here, monkeypatch, capsys):
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    plain = trained()
    assert Path("runs/cache").is_dir()
    for name in ("runs/cache", "runs/default"):
        shutil.rmtree(name)
    monkeypatch.setenv("DISK", str(here / "disk"))
    monkeypatch.setenv(NODE_FOLDER, "$DISK")
    near = trained()
    (ours,) = (here / "disk").iterdir()
    assert {path.name for path in ours.iterdir()} == {"cache", "datasets"} and not Path("runs/cache").exists()
    assert near[0].id != plain[0].id
    assert near[0].metrics == plain[0].metrics and near[0].data_hash == plain[0].data_hash
    assert all(torch.equal(near[2][name], weights) for name, weights in plain[2].items())
    assert near[1] == plain[1] and near[3:] == plain[3:]

    # It is the same run: it is known as done by who has no such folder.
    monkeypatch.delenv(NODE_FOLDER)
    assert frostline.train(*RUN).finished == near[0].finished
    assert str(here / "disk") not in "".join(
        path.read_text() for path in Path("runs").rglob("*") if path.suffix in (".yaml", ".json", ".jsonl")
    )
