"""What is said of an arm is what its runs measured; what tells arms apart is what their study varied."""

import math

import numpy as np
import pytest
from helpers.study import made_epochs, made_run, panel_of

from frostline.errors import FrostlineError
from frostline.report.arms import mean_sd, panels_of


def arms_of(values, task="classification"):
    """A panel: schedule -> the values of its seeds."""
    return panel_of(
        *(made_run(task, schedule, seed, v) for schedule, seeds in values.items() for seed, v in enumerate(seeds))
    )


def test_an_arm_has_the_mean_and_sample_sd_computed_by_hand():
    # deviations -0.02, 0, 0.02, so sqrt(0.0008 / 2) = 0.02
    thaw, frozen = arms_of({"thaw": (0.90, 0.92, 0.94), "frozen": (0.70, 0.71, 0.72)}).arms
    assert thaw.values == (0.90, 0.92, 0.94)
    assert (thaw.mean, thaw.sd) == pytest.approx((0.92, 0.02))
    assert (frozen.mean, frozen.sd) == pytest.approx((0.71, 0.01))
    assert thaw.mean_of("train_seconds") == pytest.approx((10 + 10.3333333 + 10.6666667) / 3)
    assert thaw.metrics == {"loss": 0.25}
    assert mean_sd(thaw) == "0.9200 ± 0.0200"


def test_an_arm_with_a_seed_that_failed_is_not_ranked():
    panel = arms_of({"thaw": (0.9, 0.92, math.nan), "frozen": (0.7, 0.71, 0.72)})
    assert [arm.name for arm in panel.ranked] == ["frozen"]
    assert mean_sd(panel.arms[0]) == "NaN in 1 of 3 seeds"


def test_one_seed_has_no_spread():
    assert mean_sd(arms_of({"thaw": (0.9,)}).arms[0]) == "0.9000 ± —"


def test_nothing_to_be_found_is_a_dash_and_no_value():
    # Catches the -1 of a class that occurs in no test scene as the worst of values, or averaged into a mean.
    runs = [
        made_run("detection", "thaw", seed, -1.0, by_class={"map": {"a": value, "b": -1.0}})
        for seed, value in enumerate((-1.0, 0.25, 0.75))
    ]
    (arm,) = panel_of(*runs).arms
    assert arm.by_class == {"map": {"a": 0.5, "b": -1.0}}
    assert mean_sd(arm) == "—"


def test_a_metric_by_class_that_a_seed_lacks_is_left_out():
    first = made_run(seed=0, by_class={"f1": {"a": 0.5}, "ap": {"a": 0.5}})
    second = made_run(seed=1, by_class={"f1": {"a": 1.0}})
    assert panel_of(first, second).arms[0].by_class == {"f1": {"a": 0.75}}


def test_any_key_of_the_configuration_can_be_an_axis():
    runs = [
        made_run(schedule=schedule, value=0.5, axes={"schedule": schedule, "image_size": size, "box_loss": "giou"})
        for schedule in ("thaw", "full")
        for size in ("96", "160")
    ]
    panel = panel_of(*runs)
    assert panel.columns == ("schedule", "image_size")
    assert [arm.name for arm in panel.arms] == [
        "thaw / image_size=96", "thaw / image_size=160", "full / image_size=96", "full / image_size=160",
    ]  # fmt: skip
    assert panel.common == {"backbone": "net", "head": "linear", "box_loss": "giou"}


def test_a_name_that_follows_an_axis_is_shown_unless_it_says_the_same():
    # As where one head of a grid needs another backbone; and as where the axis is schedule.name.
    nets = {"yolo": "net", "dense": "net", "window": "small"}
    runs = [made_run("detection", head=head, backbone=net, axes={"head": head}) for head, net in nets.items()]
    panel = panel_of(*runs)
    assert panel.columns == ("backbone", "head")
    assert [arm.name for arm in panel.arms] == ["yolo", "dense", "window"]
    panel = panel_of(*(made_run(schedule=name, axes={"schedule.name": name}) for name in ("a", "b")))
    assert panel.columns == ("schedule.name",)


def test_a_single_arm_is_called_by_its_schedule():
    panel = panel_of(made_run(axes={"head": "linear"}))
    assert (panel.columns, panel.arms[0].name) == (("schedule",), "thaw")


def test_panels_and_arms_come_in_the_order_of_the_runs():
    runs = [made_run(task, schedule) for task in ("detection", "classification") for schedule in ("thaw", "frozen")]
    panels = panels_of(runs)
    assert [panel.where for panel in panels] == ["detection on meadow", "classification on meadow"]
    assert [arm.name for arm in panels[0].arms] == ["thaw", "frozen"]


def test_runs_that_do_not_share_their_primary_metric_are_not_compared():
    with pytest.raises(FrostlineError, match=r"different primary metrics \(accuracy, f1\)"):
        panels_of([made_run(seed=0), made_run(seed=1, primary="f1", metrics={"f1": 0.5})])


def test_a_curve_is_the_mean_over_the_epochs_that_every_seed_reached():
    long, short = made_epochs([0.5, 0.7, 0.9], [1, 2, 3], [5, 5, 0]), made_epochs([0.3, 0.5], [3, 6], [5, 5])
    none = made_run(seed=2, epochs=())
    curve = panel_of(made_run(seed=0, epochs=long), made_run(seed=1, epochs=short), none).arms[0].curve
    assert curve.mean == pytest.approx([0.4, 0.6]) and curve.seconds == pytest.approx([2, 4])
    assert (curve.low.tolist(), curve.high.tolist()) == ([0.3, 0.5], [0.5, 0.7])
    assert (curve.images.tolist(), curve.depth.tolist()) == ([100, 200], [5, 5])
    assert [tuple(span) for span in curve.spans("seconds")] == [(0.0, 4.0, 5, pytest.approx(5 / 6))]
    assert panel_of(none).arms[0].curve is None


def test_the_best_within_a_budget_is_the_mean_of_what_each_seed_had():
    # best so far 0.5 0.5 0.6 0.7 and 0.3 0.5 0.5 0.5, at 1.5, 3, 4.5 and 6 seconds
    seeds = [([0.5, 0.4, 0.6, 0.7], [1, 2, 3, 4]), ([0.3, 0.5, np.nan, 0.2], [2, 4, 6, 8])]
    curve = panel_of(*(made_run(seed=n, epochs=made_epochs(*seed)) for n, seed in enumerate(seeds))).arms[0].curve
    assert curve.best == pytest.approx([0.4, 0.5, 0.55, 0.6])
    assert curve.best_within("images", 99) is None
    assert curve.best_within("images", 399) == pytest.approx(0.55)
    assert curve.best_within("seconds", 6) == pytest.approx(0.6)
