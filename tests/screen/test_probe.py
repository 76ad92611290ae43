"""A probe is the run that Lightning trains, from kept activations or from pictures, to the last digit."""

import pytest
import torch

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.runs.build import build_run
from frostline.runs.fit import fit
from frostline.runs.timing import Stopwatch
from frostline.screen.memory import measured
from frostline.screen.probe import Kept, depth_below_head, probe, trainer_for
from frostline.screen.recipe import base
from frostline.screen.work import shown

TASKS = ["classification", "localization", "detection", "segmentation"]
LESS = ["trainer.epochs=2", "tracking=none"]


@pytest.mark.parametrize("task", TASKS)
def test_a_probe_is_the_run_that_lightning_trains(task, small, small_meadow, here):
    # The traps: another order of the clipped norm's sum, dropout's stream, which epoch is the best, a mean's weights.
    config = base(task, [*small, *LESS]) | {"seed": 2}
    (folder := here / "fit").mkdir()
    expected = fit(one := build_run(config, small_meadow, "one"), folder, Stopwatch())
    found = []
    for enabled in (True, False):
        built = build_run(config | {"cache": config["cache"] | {"enabled": enabled}}, small_meadow, "two")
        trainer = trainer_for(built)
        with Kept(built, trainer) as kept:
            assert (kept.shortcuts["test", 0] is not None) == enabled
            found.append(probe(built, kept, trainer))
        assert built.task.tested.rows == one.task.tested.rows
        assert built.task.tested.by_class == one.task.tested.by_class
        state = one.task.model.state_dict()
        assert all(torch.equal(held, state[name]) for name, held in built.task.model.state_dict().items())
    for each in found:
        assert each.fitted.metrics == expected.metrics
        assert each.fitted.best_epoch == expected.best_epoch and each.fitted.images_seen == expected.images_seen
    assert [len(each.epochs) for each in found] == [2] * 2


def test_a_plateau_lowers_the_rate_of_both(small, small_meadow, here):
    config = base("classification", [*small, *LESS, "rate=plateau", "rate.patience=0", "rate.monitor=val_accuracy"])
    (here / "fit").mkdir()
    expected = fit(build_run(config, small_meadow, "one"), here / "fit", Stopwatch())
    built = build_run(config, small_meadow, "two")
    with Kept(built, trainer_for(built)) as kept:
        assert probe(built, kept, trainer_for(built)).fitted.metrics == expected.metrics


def test_what_moves_or_is_not_kept_is_no_probe(small, small_meadow, here):
    config = compose([*small, *LESS, "schedule=thaw", "augment.views=2"])
    with pytest.raises(FrostlineError, match="leave schedule out"):
        depth_below_head(build_run(config, small_meadow, "x").task.model)
    config = compose([*small, *LESS, "schedule=frozen", "augment.views=2", "backbone=small_cnn"])
    with pytest.raises(FrostlineError, match="nothing below its head can be kept"):
        depth_below_head(build_run(config, small_meadow, "x").task.model)


@pytest.mark.parametrize("task", TASKS)
def test_what_pictures_show_is_told_for_each_class(task, small, small_meadow, here):
    built = build_run(base(task, [*small, *LESS]), small_meadow, "x")
    with Kept(built, trainer_for(built)) as kept:
        features, batches = kept.pooled(20)
    shares = torch.cat([torch.from_numpy(shown(batch, len(built.task.classes))) for batch in batches])
    assert len(features) == len(shares) == 20 and shares.shape[1] == len(built.task.classes)
    assert (shares.sum(1) > 0.6).all() and features.shape[1] in (1280, 320)


def test_memory_grows_with_the_batch_and_forgets_what_others_froze(small, small_meadow, here):
    built = build_run(base("classification", [*small, *LESS]), small_meadow, "x")
    below, trained = measured(built.task, 64, 8)
    parameters = sum(one.numel() for one in built.task.parameters())
    assert trained > 16 * parameters and below > 4 * parameters
    built.task.model.move_line(0)  # as another head leaves the backbone
    assert measured(built.task, 64, 8) == (below, trained)
    assert measured(built.task, 64, 16)[1] - 16 * parameters == pytest.approx(2 * (trained - 16 * parameters), rel=1e-3)
