"""Data on a real SLURM's nodes: what the run of each element reads from, and keeps, on its own."""

import json
import shutil
import subprocess
import sys

import torch
from helpers.slurm import wait
from safetensors.torch import load_file


def test_each_node_has_one_copy_and_figures_are_those_without(place, tmp_path):
    """A folder whose name only the node knows, and which a shell could take for more."""
    study = place.study(4, 2)
    disk = tmp_path / "di'sk of"
    assert "4 runs sent" in place.submit(f"launcher.node_folder={disk}/$SLURMD_NODENAME")
    wait(lambda: {state for state, _ in place.status().values()} == {"done"}, 240, every=1)
    assert {path.name for path in disk.iterdir()} == {"n1", "n2"}
    for node in disk.iterdir():
        (ours,) = node.iterdir()
        (copy,) = (path for path in (ours / "datasets").iterdir() if not path.name.startswith("."))
        assert (copy / "scenes.bin").is_file() and any((ours / "cache").glob("*/rows.bin"))
    assert not (place.folder / "runs/cache").exists()

    shutil.copytree(study.runs / "plan", tmp_path / "runs/mine/plan")
    shutil.copytree(study.runs / "data", tmp_path / "runs/mine/data")
    command = [sys.executable, "-m", "frostline", "train", "--plan", "runs/mine/plan/classification-3.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    ours, plain = study.runs / "work/classification-3/results", tmp_path / "runs/mine/results/classification-3"
    assert (ours / "config.yaml").read_bytes() == (plain / "config.yaml").read_bytes()
    metrics = [json.loads((folder / "result.json").read_text())["metrics"] for folder in (ours, plain)]
    weights = [load_file(folder / "model.safetensors") for folder in (ours, plain)]
    assert metrics[0] == metrics[1] and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
