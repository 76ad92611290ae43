"""The answer of a panel, in words: what it recommends, and what it must not say."""

import math
from dataclasses import replace

import pytest
from helpers.study import made_epochs, made_run, panel_of

from frostline.report.judged import judge
from frostline.report.verdict import answer


def judged(values, margin=None, missing=(), validated=None, **changes):
    """schedule -> test values of its seeds, and of validation where they are others."""
    told = validated or values
    return judge(
        panel_of(
            *(
                made_run(schedule=name, seed=seed, value=v, epochs=made_epochs([told[name][seed]] * 2), **changes)
                for name, seeds in values.items()
                for seed, v in enumerate(seeds)
            )
        ),
        margin,
        missing,
    )


CLEAR = {"thaw": (0.90, 0.92, 0.91), "frozen": (0.70, 0.71, 0.72), "full": (0.80, 0.81, 0.80)}


def test_the_champion_is_named_with_its_lead_over_the_nearest():
    # Catches the lead over the farthest, and a difference of the wrong sign.
    text = answer(judged(CLEAR, best_epoch=0))
    assert text.startswith("**Take `thaw`**: 0.9100 [0.8852, 0.9348] (3 seeds)")
    assert "better than each of 2 other arms, the nearest, `full`, by +0.1067 [0.0923, 0.1210]" in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"thaw": (0.92, 0.94, 0.90), "frozen": (0.91, 0.95, 0.88)}, "**Cannot tell**: first on the validation split"),
        ({"thaw": (0.9,), "frozen": (0.1,)}, "with a single seed nothing is known of the spread"),
        ({"thaw": (0.9, 0.8)}, "there is no second arm to compare with"),
        ({"thaw": (math.nan,), "frozen": (math.inf,)}, "**Nothing can be said**"),
    ],
)
def test_what_does_not_decide_names_nobody(values, expected):
    text = answer(judged(values, best_epoch=0))
    assert expected in text and "Take `thaw`" not in text


def test_undecided_seeds_help_on():
    # Catches advice to take the dearer one, and silence on how many seeds would tell.
    values = {"thaw": (0.92, 0.94, 0.90), "frozen": (0.89, 0.95, 0.895)}
    runs = [
        made_run(
            schedule=name, seed=n, value=v, epochs=made_epochs([v, v]), train_seconds=20.0 if name == "thaw" else 5.0,
            best_epoch=0,
        )
        for name, seeds in values.items() for n, v in enumerate(seeds)
    ]  # fmt: skip
    text = answer(judge(panel_of(*runs), None, ()))
    assert "Until then take `frozen`, the cheapest that is not shown to be worse (5.0000 s)" in text
    assert "more than 50 more seeds would be needed (6 at least)" in text
    busy = [replace(run, result=replace(run.result, load=2.0)) for run in runs]
    text = answer(judge(panel_of(*busy), None, ()))
    assert "the machine did other work" in text and "the cheapest that" not in text


def test_arms_within_the_margin_are_as_good_and_the_cheapest_is_taken():
    values = {"thaw": (0.900, 0.910, 0.905), "frozen": (0.901, 0.909, 0.906)}
    text = answer(judged(values, margin=0.02, best_epoch=0))
    assert "are equivalent within 0.02, and it trains in the least time" in text
    assert "Cannot tell" in answer(judged(values, best_epoch=0))  # nobody stated a margin


def test_a_missing_run_names_no_champion():
    text = answer(judged(CLEAR, missing=["thaw-3"], best_epoch=0))
    assert text.startswith("**Provisional**: 1 planned run is missing, so no champion is named.")
    assert "Take" not in text and "Of the runs that are there" in text


def test_the_candidate_is_chosen_on_the_validation_split_and_a_higher_one_is_named():
    # Catches the highest of the test split taken for the candidate: its figure would be flattered.
    validated = {"thaw": (0.90, 0.92, 0.91), "frozen": (0.93, 0.94, 0.95), "full": (0.5, 0.5, 0.5)}
    text = answer(judged(CLEAR, validated=validated, best_epoch=0))
    assert "first on the validation split stands `frozen`" in text
    assert "Higher on the test split, though not chosen on the validation split: `thaw` (0.9100) and `full`" in text


def test_runs_that_were_still_getting_better_are_told_first():
    # Catches an answer that takes what was cut short for what cannot do better.
    rising = [1 - math.exp(-(n + 1) / 4) for n in range(6)]
    runs = [
        made_run(schedule=name, seed=n, value=v, epochs=made_epochs(rising), best_epoch=5 if name == "full" else 2)
        for name, seeds in CLEAR.items() for n, v in enumerate(seeds)
    ]  # fmt: skip
    text = answer(judge(panel_of(*runs), None, ()))
    assert text.startswith("**Still getting better**: `full` (about 16 in place of 6) had their best epoch last")


def test_runs_without_a_partner_are_named_and_pairs_are_of_what_is_the_same():
    # Catches pairs made by order: seeds 1 and 2 of one arm with 0 and 1 of the other.
    runs = [made_run(schedule="thaw", seed=n, value=0.9 + n / 100, best_epoch=0) for n in (1, 2, 3)]
    runs += [made_run(schedule="frozen", seed=n, value=0.7 + n / 100, best_epoch=0) for n in (0, 1, 2)]
    found = judge(panel_of(*runs), None, ())
    assert found.champion.pairs["frozen"].differences.mean == pytest.approx(0.2)
    assert "left out: `frozen` (seed 0) and `thaw` (seed 3)" in answer(found)
    other = judge(panel_of(*runs[:3], *(made_run(schedule="frozen", seed=n, data_hash="x") for n in (1, 2))), None, ())
    assert other.champion.pairs["frozen"].differences.n == 0 and "Take" not in answer(other)


def made(schedule, values, validated=0.5, **changes):
    epochs = made_epochs([validated] * 2)
    return [
        made_run(schedule=schedule, seed=seed, value=value, **{"epochs": epochs, "best_epoch": 0, **changes})
        for seed, value in enumerate(values)
    ]


def told(*arms, margin=None):
    return answer(judge(panel_of(*(run for arm in arms for run in arm)), margin, ()))


def test_a_candidate_that_is_worse_on_the_test_split_is_not_recommended():
    # Catches advice to take the arm that stood first on the validation split where another is shown to be better.
    full = made("full", (0.80, 0.81, 0.82), validated=0.99, train_seconds=5.0)
    text = told(full, made("thaw", (0.85, 0.861, 0.87), train_seconds=50.0))
    assert "**Cannot tell**: first on the validation split stands `full`" in text
    assert "better than it on the test split: `thaw` (-0.0503" in text
    assert "take `full`" not in text.lower() and "more seed" not in text


def test_where_validation_is_not_known_of_all_the_test_split_chooses_and_that_is_said():
    # Catches an arm that falls behind because one of its runs left no journal.
    full = made("full", (0.90, 0.91, 0.92), validated=0.9)
    full[1] = replace(full[1], epochs=())
    text = told(
        full, made("thaw", (0.70, 0.75, 0.71), validated=0.7), made("frozen", (0.91, 0.90, 0.92), validated=0.6)
    )
    assert "first on the test split, which chose it, too, stands `full`" in text


def test_the_cheapest_of_those_within_the_margin_is_among_those_named():
    full = made("full", (0.90, 0.91, 0.92), validated=0.9, train_seconds=100.0)
    thaw = made("thaw", (0.899, 0.911, 0.9195), train_seconds=90.0)
    text = told(full, thaw, made("frozen", (0.890, 0.9001, 0.9101), train_seconds=10.0), margin=0.02)
    assert "Take `frozen`" in text and "`full`, `thaw` and `frozen` are equivalent within 0.02" in text


def test_a_difference_that_does_not_matter_makes_no_champion_of_the_dearer():
    full = made("full", (0.901, 0.911, 0.921), validated=0.9, train_seconds=100.0)
    text = told(full, made("thaw", (0.900, 0.910, 0.9201), train_seconds=10.0), margin=0.02)
    assert text.startswith("**Take `thaw`**: `full` is highest") and "within 0.02, that it does not matter" in text


def test_where_all_others_failed_nothing_is_better_than_anything():
    text = told(made("full", (0.8, 0.81, 0.82)), made("thaw", (math.nan, 0.7, 0.6)))
    assert "no other arm has a finite result in each of its runs" in text and "better" not in text


def test_nothing_to_be_found_is_no_value():
    # Catches the -1 of metrics that had nothing to find, taken for arms that are as good as each other.
    arms = [made(name, (-1.0, -1.0, -1.0)) for name in ("full", "thaw")]
    assert "**Nothing can be said**" in told(*arms, margin=0.02) and "-1" not in told(*arms, margin=0.02)
    text = told(made("full", (0.8, -1.0, 0.82)), made("thaw", (0.7, 0.72, 0.71)))
    assert "Not ranked, as a seed has no finite result: `full`" in text


def test_a_curve_that_is_level_is_not_still_getting_better():
    # Catches a best epoch that comes last by a hair: of level curves, that is every few.
    level = made("full", (0.8, 0.81, 0.82), epochs=made_epochs([0.5, 0.8, 0.9, 0.905, 0.9051, 0.9052]), best_epoch=5)
    assert "Still getting better" not in told(level, made("thaw", (0.7, 0.72, 0.71)))
    short = made("full", (0.8, 0.81, 0.82), epochs=made_epochs([0.5, 0.8]), best_epoch=1)
    assert "`full` (how many more than 2, they do not tell)" in told(short, made("thaw", (0.7, 0.72, 0.71)))


def test_budgets_that_differ_on_purpose_are_pairs():
    runs = []
    for epochs in (2, 4):
        axes = {"schedule": "full", "epochs": str(epochs)}
        runs += made("full", (0.5 + epochs / 100, 0.52, 0.51), axes=axes, epochs=made_epochs([0.5] * epochs))
    runs = [replace(run, result=replace(run.result, epochs=int(run.axes["epochs"]))) for run in runs]
    assert all(pair.differences.n == 3 for pair in judge(panel_of(*runs), None, ()).champion.pairs.values())


def test_a_seed_without_a_number_never_wins():
    text = answer(judged({**CLEAR, "thaw": (0.99, 0.99, math.nan)}, best_epoch=0))
    assert "Take `full`" in text and text.endswith("Not ranked, as a seed has no finite result: `thaw`.")
