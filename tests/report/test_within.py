"""What a budget buys, where the answer is evident."""

import math

import pytest
from helpers.study import made_epochs, made_run, panel_of

from frostline.report.judged import judge
from frostline.report.within import BUDGETS, budgets

TINY = (0.0, 0.002, -0.002, 0.001)  # of seeds; the same for all arms, so that every difference is certain


def arm(name, value, seconds, apart=TINY, validated=None, **changes):
    """Its runs, one a seed. seconds: of each, or of all. apart: of each seed from the value."""
    each = seconds if isinstance(seconds, list) else [seconds] * len(apart)
    on_validation = value if validated is None else validated
    return [
        made_run(
            schedule=name, seed=seed, value=value + off, train_seconds=took,
            epochs=changes.get("epochs") or made_epochs([on_validation] * 2, [took / 2, took]),
            **{key: one for key, one in changes.items() if key != "epochs"},
        )
        for seed, (off, took) in enumerate(zip(apart, each, strict=True))
    ]  # fmt: skip


def bought(*arms, margin=None, missing=()):
    """Of ten minutes, an hour and a night."""
    found = budgets(judge(panel_of(*(run for runs in arms for run in runs)), margin, missing))
    assert [row.budget for row in found] == list(BUDGETS)
    return found


def test_more_time_buys_the_arm_that_is_better_and_dearer():
    rows = bought(arm("frozen", 0.7, 100.0), arm("thaw", 0.8, 2000.0), arm("full", 0.9, 10_000.0))
    assert [(row.arm, row.seconds, row.fitting) for row in rows] == [
        ("frozen", 100, 1), ("thaw", 2000, 2), ("full", 10_000, 3),
    ]  # fmt: skip
    assert [row.why for row in rows] == ["the only one that fits", *["better than each other that fits"] * 2]


def test_the_cheaper_of_two_that_are_not_told_apart():
    # Catches the higher mean, and the arm that stands first, where neither is shown to be better.
    noise = (0.03, -0.03, 0.02, -0.02)
    rows = bought(arm("full", 0.81, 900.0, noise), arm("thaw", 0.80, 700.0), arm("frozen", 0.5, 10.0))
    assert [(row.arm, row.why) for row in rows[1:]] == [("thaw", "the cheapest of 2 that cannot be told apart")] * 2
    assert rows[0].arm == "frozen", "neither of the two fits into ten minutes"


def test_a_certain_difference_within_the_margin_is_no_reason_to_pay_more():
    (row, *_) = bought(arm("full", 0.81, 500.0), arm("thaw", 0.805, 50.0), margin=0.02)
    assert (row.arm, row.why) == ("thaw", "the cheapest of 2 that are equivalent within 0.02")


def test_where_nothing_fits_the_shortest_run_is_told():
    ten_minutes, hour, _ = bought(arm("thaw", 0.8, 840.0), arm("full", 0.7, 1200.0))
    assert (ten_minutes.arm, ten_minutes.fitting) == (None, 0)
    assert ten_minutes.why == "the shortest run, of `thaw`, takes 840 s"
    assert hour.arm == "thaw"


def test_one_halted_seed_puts_no_arm_out_of_reach():
    # Catches a mean over the seeds, which is above every budget here, and the slowest of them.
    (row, *_) = bought(arm("thaw", 0.8, [500.0, 510.0, 520.0, 90_000.0]), arm("full", 0.7, 550.0))
    assert (row.arm, row.seconds) == ("thaw", 515)


@pytest.mark.parametrize(("beside", "fits"), [(5.0, True), (40.0, False)])
def test_what_a_run_validates_is_of_its_time(beside, fits):
    # Catches training alone, which fits either way, and the sum, which takes the halt of an hour for validation.
    halt = [0, 0, 3600, 3600, 3600]
    epochs = tuple(
        epoch._replace(time=1e9 + (n + 1) * (110 + beside) + halt[n])
        for n, epoch in enumerate(made_epochs([0.8] * 5, [110.0 * (n + 1) for n in range(5)]))
    )
    row, hour, _ = bought(arm("thaw", 0.8, 550.0, epochs=epochs))
    assert (row.arm == "thaw") is fits and hour.seconds == pytest.approx(550 + 5 * beside)
    # Where a journal does not tell it, seconds of training are held against seconds of training.
    row, *_ = bought(arm("thaw", 0.8, 550.0, epochs=epochs), arm("full", 0.7, 560.0))
    assert row.fitting == 2


def test_one_seed_takes_the_first_on_validation_and_says_so():
    # Catches the cheapest, which one seed never shows to be worse, and the highest on the test split.
    (row, *_) = bought(
        arm("full", 0.80, 90.0, (0.0,), 0.85), arm("thaw", 0.82, 80.0, (0.0,), 0.7), arm("frozen", 0.1, 5.0, (0.0,))
    )
    assert row.arm == "full" and row.why == "first on the validation split; one seed tells nothing of the spread"


def test_seconds_of_a_busy_machine_make_nothing_cheapest():
    noise = (0.03, -0.03, 0.02, -0.02)
    (row, *_) = bought(arm("full", 0.81, 90.0, noise, load=4.0), arm("thaw", 0.80, 70.0))
    assert (row.arm, row.busy) == ("full", True) and "which is cheapest is not known, as the machine" in row.why
    (row, *_) = bought(arm("full", 0.81, 90.0, noise, machine="GPU"), arm("thaw", 0.80, 70.0))
    assert (row.arm, row.busy) == ("full", False) and "several machines" in row.why


def test_an_arm_that_failed_is_never_taken_and_one_without_seconds_never_fits():
    failed = arm("frozen", 0.9, 5.0, (0.0, math.nan))
    rows = bought(failed, arm("thaw", 0.8, 50.0, (0.0, 0.001)), arm("full", 0.95, math.nan, (0.0, 0.001)))
    assert {(row.arm, row.fitting, row.why) for row in rows} == {
        ("thaw", 2, "no other fits with a finite result in each run")
    }
    assert budgets(judge(panel_of(*arm("full", 0.9, math.nan)), None, ())) == []


def test_what_is_missing_is_said():
    (row, *_) = bought(arm("full", 0.9, 90.0), arm("thaw", 0.8, 70.0), missing=["full-4"])
    assert (row.arm, row.why) == ("full", "better than each other that fits, of the runs that are there")
