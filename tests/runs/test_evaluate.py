"""A model measured on a dataset: the figures of its run on what that was tested on, and something honest elsewhere."""

from pathlib import Path

import pytest

from frostline.runs.evaluate import evaluate, write_evaluation
from frostline.runs.load import load
from frostline.runs.network import write_model
from frostline.runs.tested import read_rows

OLD = Path(__file__).with_name("old_run")
QUICK = ["trainer.epochs=1", "tracking=none"]
SMALL = ["dataset.source.train=6", "dataset.source.val=4", "dataset.source.test=12", "dataset.source.size=64"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["task=classification", "fit=letterbox", "backbone=small_cnn"],
        ["task=localization", "head=pooled_box", "backbone=small_cnn"],
        ["task=detection", "head=fully_convolutional", "backbone=small_cnn"],
        ["task=segmentation", "fit=letterbox", "task.window=32", "task.class_weights=balanced"],
    ],
    ids=lambda overrides: overrides[0].removeprefix("task="),
)
def test_on_its_own_test_split_it_gives_its_runs_figures_to_the_last_digit(train_small, small_meadow, overrides):
    """Catches another batch size, fit, window, weighing of the loss, or rule of boxes than in the run."""
    result, folder = train_small("schedule=frozen", *QUICK, *overrides)
    write_model(folder, folder.with_name("model"))
    for place in (folder, folder.with_name("model")):
        evaluation = evaluate(load(place), small_meadow)
        assert dict(evaluation.metrics) == dict(result.metrics)
        assert evaluation.tested.by_class == result.by_class and evaluation.tested.confusion == result.confusion
        assert not evaluation.lacking and not evaluation.absent and not evaluation.untold
    rows = read_rows(folder / "pictures.parquet")
    write_evaluation(evaluation, folder.with_name("evaluated"))
    assert read_rows(folder.with_name("evaluated") / "pictures.parquet").equals(rows)
