"""What a person adds in a folder of his own: one file and one YAML each, and nothing else changes."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from frostline.cli import main

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "my_backbone.py": """
from collections import OrderedDict
from torch import nn
from frostline.models.chain import cut

def squares(name="squares", with_embedding=False, image_size=None):
    layer = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(OrderedDict(one=layer(3, 8), two=layer(8, 8), pool=pool))
    ends = {"one": None, "two": (8, 4)}
    return cut(name, model, ends, ((0.5,) * 3, (0.5,) * 3), 8, with_embedding)
""",
    "my_head.py": """
from frostline.models.heads.classification import LinearHead

class Scaled(LinearHead):
    def forward(self, features, embedding):
        return 2 * super().forward(features, embedding)
""",
    "my_source.py": """
import numpy as np
from frostline.scenes.scene import Classes, Scene
from frostline.sources.base import Source

class Noise(Source):
    classes = Classes(labels=("dark", "light"))

    def scenes(self):
        for n in range(30):
            pixels = np.random.default_rng(n).integers(0, 120, (32, 32, 3)) + 130 * (n % 2)
            yield Scene(f"n{n:02}", pixels.astype(np.uint8), label=n % 2)
""",
    "my_metric.py": """
import torch
from frostline.metrics.base import ExtraMetric

class Brier(ExtraMetric):
    meaning = "mean squared distance of the probabilities from the truth"

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predictions, batch):
        for found, label in zip(predictions, batch["label"].tolist(), strict=True):
            shares = torch.from_numpy(found.probabilities)
            truth = torch.zeros_like(shares)
            truth[label] = 1
            self.total += ((shares - truth) ** 2).sum()
            self.count += 1

    def compute(self):
        return self.total / self.count
""",
    "my_tracker.py": """
from frostline.tracking.base import Tracker

class Lines(Tracker):
    def begin(self, run, params, tags):
        self.file = run.folder.parents[1] / "told.txt"
        self.file.write_text(f"{run.name}\\n")

    def epochs(self, epochs):
        with self.file.open("a") as file:
            for step, metrics in ((epoch.step, epoch.metrics) for epoch in epochs):
                file.write(f"{step} {metrics['val_brier']:.3f}\\n" if "val_brier" in metrics else "test\\n")
""",
    "conf/backbone/squares.yaml": "name: squares\n_target_: my_backbone.squares\n",
    "conf/head/scaled.yaml": "name: scaled\n_target_: my_head.Scaled\ndropout: 0.0\n",
    "conf/dataset/noise.yaml": "defaults: [{/faults@faults: default}, _self_]\nname: noise\n"
    "source: {_target_: my_source.Noise}\nsplit: {train: 0.6, val: 0.2, test: 0.2, seed: 0, given: false}\n"
    "group: null\non_fault: skip\n",
    "conf/metric/brier.yaml": "name: brier\n_target_: my_metric.Brier\n",
    "conf/tracking/lines.yaml": "_target_: my_tracker.Lines\n",
    "conf/schedule/mine.yaml": "name: mine\nphases: [{line: head, until: {epochs: 1}}, {line: -2}]\n",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[module]


def test_one_of_each_is_added_without_another_change(own, capsys):
    # Catches a list of what there is, a key that is checked against a fixed form, and a part that is called by name.
    parts = ["dataset=noise", "backbone=squares", "head=scaled", "schedule=mine", "metric=brier", "tracking=lines"]
    small = ["image_size=32", "trainer.epochs=2", "trainer.batch_size=8", "trainer.accelerator=cpu", "augment=none"]
    assert main(["train", *parts, *small]) == 0, capsys.readouterr().err
    (file,) = own.glob("runs/default/results/*/result.json")
    result = json.loads(file.read_text())
    assert result["names"] == {
        "task": "classification", "dataset": "noise", "backbone": "squares", "head": "scaled", "schedule": "mine",
    }  # fmt: skip
    assert 0 <= result["metrics"]["brier"] <= 2 and result["meanings"]["brier"].startswith("mean squared")
    epochs = [json.loads(line) for line in (file.parent / "epochs.jsonl").read_text().splitlines()]
    assert [epoch["lr_stage1"] > 0 for epoch in epochs] == [False, True]
    told = (own / "runs" / "default" / "told.txt").read_text().splitlines()
    assert told[1:] == [f"{n} {epoch['val_brier']:.3f}" for n, epoch in enumerate(epochs)] + ["test"]
