"""The report as a whole, beside a copy of it that was read and found right."""

import math
import os
from pathlib import Path

from helpers.study import axes_of, made_epochs, made_run

from frostline.report.arms import panels_of
from frostline.report.judged import judge
from frostline.report.page import report_text
from frostline.report.results import Results, missing_of
from frostline.studies.plan import Study

GOLDEN = Path(__file__).parent / "golden"


def results_of(runs, missing=(), derived=None, seeds=1):
    grid = axes_of(runs) | {"seed": list(range(seeds))}
    study = Study(Path("experiments/s"), "Does thawing\nhelp?", "It does.", grid, (), {})
    planned = sorted([run.result.run for run in runs] + list(missing))
    return Results(study, planned, list(missing), list(runs), derived or {"meadow": {}}, {})


def text_of(results, pictures=()):
    judged = [judge(panel, None, missing_of(results, panel.task, panel.dataset)) for panel in panels_of(results.runs)]
    return report_text(results, judged, list(pictures), [None] * len(judged))


def classification():
    """Two schedules at two sizes, two seeds each; with one that failed, and some of a changed state of the code."""
    values = {"thaw": ((0.90, 0.94), (0.92, math.nan)), "frozen": ((0.70, 0.72), (0.75, 0.81))}
    for schedule, by_size in values.items():
        for size, seeds in zip(("96", "160"), by_size, strict=True):
            for seed, value in enumerate(seeds):
                depths = [5, 0] if schedule == "thaw" else [5, 5]
                yield made_run(
                    "classification", schedule, seed, value,
                    epochs=made_epochs([value / 2, value], [2.0 + seed, 5.0], depths),
                    axes={"task": "classification", "schedule": schedule, "image_size": size},
                    image_size=int(size), dirty=schedule == "frozen" and size == "96",
                    by_class={"f1": {"daisy": value, "rose|tulip": -1.0}, "ap": {"daisy": 0.5, "rose|tulip": 0.25}},
                )  # fmt: skip


def detection():
    """One seed each, without journals, of which some scenes were left out."""
    for schedule, value in {"thaw": 0.32, "frozen": 0.30}.items():
        for size in ("96", "160"):
            yield made_run(
                "detection", schedule, 0, value, epochs=(),
                axes={"task": "detection", "schedule": schedule, "image_size": size}, image_size=int(size),
                metrics={"map": value, "loss": 1.5, "map50": 0.5, "map_large": -1.0},
                scenes={"train": 150, "val": 40, "test": 38}, scenes_left_out={"train": 7, "val": 0, "test": 2},
            )  # fmt: skip


def test_a_whole_report():
    """Renew the copy by `RENEW=1 pytest tests/report/test_page.py`, and read what git says of it."""
    missing = ["detection-thaw-96-1", "detection-thaw-160-1", "detection-frozen-96-1", "detection-frozen-160-1"]
    derived = {"meadow": {"boxes": "drawn around the\nmasks"}, "pets": None}
    results = results_of([*classification(), *detection()], missing, derived, seeds=2)
    pictures = ["comparison.png", "curves.png", "cost.png", "predictions.png"]
    pictures += ["confusion-classification-meadow.png", "errors-classification-meadow.png"]
    text = text_of(results, [*pictures, "precision_recall-detection-meadow.png"])
    golden = GOLDEN / "report.md"
    if os.environ.get("RENEW"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_the_report_says_how_to_read_what_is_in_its_pictures_and_nothing_else():
    text = text_of(results_of([made_run(epochs=made_epochs([0.25, 0.5]))]), ["curves.png"])
    assert "plots/curves.png" in text and "Seconds are of training alone" in text
    for absent in ("frozen, the darker", "end of a phase", "bands reach", "large pale ones", "## Errors", "cost.png"):
        assert absent not in text, absent
    assert text.endswith("## Notes\n\nEvery planned run has a result.\n")


def test_runs_of_different_code_or_data_are_not_compared_in_silence():
    other = made_run(schedule="full", commit="def5678", dirty=True, data_hash="ffff", image_size=160, machine="GPU")
    notes = text_of(results_of([made_run(), other])).split("## Notes")[1]
    for what in ("commits", "machines", "image sizes", "versions of dataset meadow", "uncommitted changes"):
        assert what in notes, what


def test_of_more_classes_than_anybody_reads_the_lowest_are_told():
    # Catches a class that does not occur among the lowest, and a table of thousands of rows or columns.
    f1 = {f"kind {n}": (n % 100) / 100 for n in range(1, 10_001)} | {"kind 100": -1.0}
    confused = [[[7, 9998, 3], [2, 4, 1]], [[2, 4, 4], [7, 9998, 1]]]
    runs = [made_run(seed=seed, by_class={"f1": f1}, confused=confused[seed]) for seed in (0, 1)]
    runs.append(made_run(schedule="full", value=0.1, by_class={"f1": f1}))
    text = text_of(results_of(runs)).split("#### By class")[1:]
    assert "The 10 with the lowest f1 of 9,999 classes that occur in the test split (10,000 in all)" in text[0]
    assert (
        "99 have 0, and 1,000 at least 0.9. Most often taken for another: kind 3 for kind 5 (5) and kind 8 for kind"
        in text[0]
    )
    assert "kind 8 for kind 9999 (4).\n" in text[0]
    named = [line.split("|")[1].strip() for line in text[0].splitlines() if line.startswith("| kind")]
    assert named == [f"kind {100 * n}" for n in range(2, 12)]
    assert len(text) == 2 and text[1].count("kind ") == 10


def test_up_to_twenty_classes_are_all_shown():
    text = text_of(results_of([made_run(by_class={"f1": {f"kind {n}": -1.0 for n in range(20)}})]))
    assert text.count("| kind ") == 20 and "with the lowest" not in text


def test_nothing_to_be_found_is_never_the_highest():
    text = text_of(results_of([made_run("detection", value=-1.0), made_run("detection", "full", value=-1.0)]))
    budgets = text.split("#### At equal budgets")[1].split("####")[0]
    assert "| — | — | — | — |" in budgets and "**" not in budgets and "-1.0" not in text


def test_results_without_seconds_are_reported_without_what_they_would_buy():
    # Catches a table of arms that take no time, and one of some arms that is silent about the others.
    old = [made_run(schedule=name, train_seconds=math.nan) for name in ("thaw", "full")]
    text = text_of(results_of(old))
    assert "With ten minutes" not in text and "| NaN |" in text
    text = text_of(results_of([*old, made_run(schedule="frozen", train_seconds=7.0)]))
    assert text.count("| `frozen` | the only one that fits") == 3 and "not known: `thaw` and `full`." in text


def test_seconds_are_told_for_what_they_are():
    # Catches validation that is told to be counted and is not, a machine without a name, and seconds without a star.
    epochs = tuple(e._replace(time=1e9 + 8 * n) for n, e in enumerate(made_epochs([0.5, 0.5])))
    told = [made_run(schedule=name, seed=seed, epochs=epochs, load=3.0) for name in ("thaw", "full") for seed in (0, 1)]
    section = text_of(results_of(told, seeds=2)).split("## With ten minutes")[1].split("##")[0]
    assert "its training and its validation, the" in section and "on 2-core CPU;" in section
    assert section.count("| 24 s * | 2 of 2 |") == 3, "the median of 10 and 10.3 s of training, and twice 7 beside"
    section = text_of(results_of([made_run()])).split("## With ten minutes")[1].split("##")[0]
    assert "its training, the" in section and "10 s | 1 of 1" in section


def test_names_spoil_no_table():
    runs = [made_run(schedule=name, dataset="a|b") for name in ("c|d", "two\nlines")]
    rows = [line for line in text_of(results_of(runs)).splitlines() if line.startswith("|")]
    told = [row.replace("\\|", "") for row in rows if "c\\|d" in row or "two lines" in row]
    within, results, others = [7] * 3, [10, 10], [7, 6, 6, 3, 3]
    assert [row.count("|") for row in told] == [*within, *results, *others], "others: candidate, budgets, metrics"
