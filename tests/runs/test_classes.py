"""Rare classes, and very many: what a person gets who trains on such pictures."""

import time

import pytest
from helpers.cases import case

import frostline
from frostline.config import compose
from frostline.runs.build import build_run
from frostline.scenes.dataset import Dataset

SHORT = ["backbone=small_cnn", "schedule=full", "augment=none", "tracking=none", "trainer.threads=1"]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["task.class_weights=balanced", "trainer.sampler=balanced"])
def test_a_rare_class_is_learnt_where_it_counts_as_much_or_comes_as_often(here, tmp_path, setting):
    # Without, two of the three rare pictures of the test are taken for common ones: an F1 of 0.5.
    root = case("imbalanced", tmp_path / "cases")
    size = ["image_size=64", "trainer.epochs=5", "trainer.batch_size=8"]
    result = frostline.train("dataset=folder", f"dataset.root={root}", *SHORT, *size, setting)
    assert result.by_class["f1"]["rare"] > 0.5


@pytest.mark.slow
def test_fifteen_hundred_classes_are_measured_about_as_fast_as_learnt(here, tmp_path):
    root = case("many", tmp_path / "cases")
    size = ["image_size=32", "trainer.epochs=1", "trainer.batch_size=128"]
    overrides = ["dataset=folder", f"dataset.root={root}", *SHORT, *size]
    result = frostline.train(*overrides)
    assert result.confusion is None and 0 < len(result.confused) <= 1000
    assert len(result.by_class["f1"]) == 1500
    (told,) = (here / "runs" / "data").glob("*/dataset.json")
    built = build_run(compose(overrides), Dataset.open(told.parent), "again")
    batch = next(iter(built.data.test_dataloader()))
    task = built.task.eval()
    seconds = {}
    for what, work in {
        "learning": lambda: sum(task.losses(task.answers(batch), batch).values()).backward(),
        "measuring": lambda: task.update(task.test_metrics, task.predict(task.answers(batch), batch), batch),
    }.items():
        work()
        start = time.process_time()
        for _ in range(5):
            work()
        seconds[what] = time.process_time() - start
    assert seconds["measuring"] < seconds["learning"]
