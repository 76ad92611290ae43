"""Which run becomes the model, and what its folder says."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.store import fresh, store  # noqa: F401 - fixtures
from helpers.study import made_epochs, made_run, panel_of, write_run, write_study

from frostline.cli import main
from frostline.deliver.champion import choose, median_run, panels_named
from frostline.errors import FrostlineError
from frostline.report.judged import judge
from frostline.report.results import read_results
from frostline.report.verdict import answer
from frostline.runs.load import load

OLD = Path(__file__).parents[1] / "runs/old_run"  # trained by an earlier version
CLEAR = {"thaw": (0.93, 0.90, 0.91), "frozen": (0.70, 0.71, 0.72)}
NEAR = {"thaw": (0.901, 0.911, 0.907), "frozen": (0.901, 0.909, 0.906)}  # thaw is first, frozen the cheaper
WIDE = {"thaw": (0.92, 0.94, 0.90), "frozen": (0.91, 0.95, 0.88)}
ALL_BEATEN_BUT_NEAR = {"thaw": (0.912, 0.911, 0.913), "frozen": (0.900, 0.901, 0.899)}


def runs_of(values, task="classification", **changes):
    """frozen trains in half the time."""
    return [
        made_run(
            task,
            schedule,
            seed,
            value,
            made_epochs([value] * 2),
            axes={"schedule": schedule, "task": task},
            run=f"{schedule}-{seed}-{task}",  # as its cell in the grid
            **{"best_epoch": 0, "train_seconds": 5.0 if schedule == "frozen" else 10.0, **changes},
        )
        for schedule, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]


def study_of(root, values, task="classification", **stated):
    """A study with these results, which lies as `frostline` finds it from `root`."""
    runs = runs_of(values, task)
    seeds = list(range(max(map(len, values.values()))))
    folder = write_study(root, {"task": [task], "schedule": list(values), "seed": seeds}, runs)
    with (folder / "study.yaml").open("a") as file:
        file.write(yaml.safe_dump(stated) if stated else "")
    return folder


def chosen(root, anyway=False):
    results = read_results(root / "experiments/s", root / "runs/s")
    (panel,) = panels_named(results, None, None)
    return choose(results, panel, anyway)


@pytest.mark.parametrize(
    ("values", "seed"),
    [
        ([0.9, 0.5, 0.7], 2),
        ([0.9, 0.5, 0.7, 0.8], 2),  # the lower of the two in the middle
        ([0.9, 0.8], 1),
        ([0.5, 0.5, 0.5], 1),
        ([0.5], 0),
        ([0.9, float("nan"), 0.7, 0.5], 2),
    ],
)
def test_the_median_run_by_the_test_split(values, seed):
    # Catches the best or the first run, and the upper middle, whose figure the arm does not keep.
    assert median_run([made_run(seed=n, value=value) for n, value in enumerate(values)]).result.seed == seed


@pytest.mark.parametrize("margin", [None, 0.02, 0.05])
@pytest.mark.parametrize(
    "values",
    [CLEAR, NEAR, WIDE, ALL_BEATEN_BUT_NEAR, {"thaw": (0.9,), "frozen": (0.1,)}, {"thaw": (0.9, 0.8)}]
    + [CLEAR | {"full": (0.9, float("nan"), 0.9)}, {"thaw": (0.9, 0.8), "frozen": (float("nan"), 0.7)}]
    + [CLEAR | {"full": (0.955, 0.93, 0.94)}, NEAR | {"full": (0.5, 0.51, 0.49)}],
)
@pytest.mark.parametrize("changes", [{}, {"load": 2.0}])
def test_what_is_taken_is_what_the_verdict_says(values, margin, changes):
    # Catches a second opinion beside the report's.
    judged = judge(panel_of(*runs_of(values, **changes)), margin, ())
    text = answer(judged)
    assert (f"**Take `{judged.taken}`**" in text) == ("**Take" in text)
    if judged.taken is None:
        assert "Cannot tell" in text
    provisional = judge(judged.panel, margin, ["thaw-9"])
    assert provisional.champion is None or provisional.taken is None


def test_equivalent_arms_give_the_cheapest(tmp_path):
    study_of(tmp_path, NEAR, margin=0.02)
    found = chosen(tmp_path)
    assert (found.arm.name, found.run.result.seed, found.decided) == ("frozen", 2, True)


def test_where_nothing_is_decided_it_refuses_and_anyway_takes_what_stands_first(tmp_path):
    study_of(tmp_path, WIDE)
    with pytest.raises(FrostlineError, match=r"cannot tell: add seeds by `frostline study seeds s`, or take `thaw`"):
        chosen(tmp_path)
    found = chosen(tmp_path, anyway=True)
    assert (found.arm.name, found.run.result.seed, found.decided) == ("thaw", 0, False)
    assert "Cannot tell" in found.verdict


def test_a_planned_run_without_result_is_named_whatever_is_asked(tmp_path):
    study_of(tmp_path, CLEAR)
    (tmp_path / "runs/s/results/frozen-1-classification/result.json").unlink()
    for anyway in (False, True):
        with pytest.raises(FrostlineError, match=r"have no result yet \(frozen-1-classification\)"):
            chosen(tmp_path, anyway)


def test_rounds_of_seeds_decide_where_they_were_planned(tmp_path):
    # Catches the verdict of one look, which does not pay for looking more than once.
    barely = {"thaw": (0.90, 0.92, 0.94), "frozen": (0.88, 0.89, 0.895)}
    study_of(tmp_path, barely)
    assert chosen(tmp_path).arm.name == "thaw"
    with (tmp_path / "experiments/s/study.yaml").open("a") as file:
        file.write("looks: [3, 4]\n")
    with pytest.raises(FrostlineError, match="cannot tell"):
        chosen(tmp_path)
    clear = replace_results(tmp_path, CLEAR)
    assert chosen(clear).arm.name == "thaw" and "By rounds of seeds" in chosen(clear).verdict


def replace_results(root, values):
    shutil.rmtree(root / "runs")
    for run in runs_of(values):
        write_run(root, run)
    return root


def test_a_task_that_the_study_lacks_is_told_with_those_it_has(tmp_path):
    study_of(tmp_path, CLEAR)
    results = read_results(tmp_path / "experiments/s", tmp_path / "runs/s")
    with pytest.raises(FrostlineError, match="has no results of detection; it has those of classification on meadow"):
        panels_named(results, "detection", None)


@pytest.fixture
def real(here):
    """A study whose runs are a real one's, of boxes."""
    study_of(here, CLEAR, "detection")
    for folder in (here / "runs/s/results").iterdir():
        for name in ("config.yaml", "model.safetensors"):
            shutil.copy(OLD / "detection" / name, folder)
    return here


def test_the_folder_says_what_the_run_says_and_has_a_card(real, capsys):
    assert main(["champion", "s"]) == 0
    folder = real / "models/s"
    assert capsys.readouterr().out == "detection on meadow: thaw, seed 2  -> models/s\n"
    assert {path.name for path in folder.iterdir()} == {"model.json", "weights.safetensors", "README.md"}
    picture = np.full((40, 60, 3), 90, np.uint8)
    one, other = (load(path).predict([picture])[0] for path in (OLD / "detection", folder))
    assert one.to_json() == other.to_json()
    assert load(folder).info.origin["seed"] == 2
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["pipeline_tag"] == "object-detection" and front["metrics"] == ["map"]
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "map", "value": 0.91}]
    for words in (
        "Does thawing help?",
        "**Take `thaw`**",
        "median run of the arm `thaw`, seed 2",
        "| this model (seed 2) | 0.9100 | — | — |",
        "| its arm, mean ± s of 3 seeds | 0.9133 ± 0.0153 | [0.8754, 0.9513] | — |",
        "`frostline train`",
        "models/s picture.jpg",
        "`d41d8`",
        "abc1234",
    ):
        assert words in text, words
    assert main(["champion", "s", "--out", "models/s"]) == 0  # written anew


def test_a_folder_with_something_else_is_left_alone(real, capsys):
    (real / "mine").mkdir()
    (real / "mine/thesis.tex").write_text("all of it")
    assert main(["champion", "s", "--out", "mine"]) == 2
    assert "is there and is no model" in capsys.readouterr().err and (real / "mine/thesis.tex").exists()


def test_the_card_tells_weak_and_absent_classes_and_what_is_not_decided(real):
    for path in (real / "runs/s/results").iterdir():
        shutil.rmtree(path)
    runs = runs_of(WIDE, "detection", by_class={"map": {"rose": 0.2, "tulip": 0.9, "daisy": -1.0}})
    for run in runs:
        folder = write_run(real, replace(run, result=replace(run.result, scenes={"train": 20, "val": 5, "test": 7})))
        for name in ("config.yaml", "model.safetensors"):
            shutil.copy(OLD / "detection" / name, folder)
    assert main(["champion", "experiments/s", "--anyway", "--out", "here"]) == 0
    text = Path("here/README.md").read_text()
    assert "**The study does not name it**" in text and "first on the validation split" in text
    assert "at `rose` (0.2000) and `tulip` (0.9000)." in text and "nothing is known: `daisy`" in text
    assert "20 train, 5 val and 7 test" in text


def test_it_is_registered_where_the_runs_were_tracked_and_a_store_that_is_away_costs_the_folder_nothing(
    real,
    store,  # noqa: F811
    capsys,  # noqa: F811
):
    from mlflow import MlflowClient

    tracking = {"_target_": "frostline.tracking.mlflow.MlflowTracker", "uri": store}
    plan = next((real / "runs/s/plan").iterdir())
    plan.write_text(yaml.safe_dump({"tracking": tracking}))
    assert main(["champion", "s"]) == 0
    assert "registered: models:/s@champion (version 1) in sqlite:///" in capsys.readouterr().out
    version = MlflowClient(store).get_model_version_by_alias("s", "champion")
    for words in ("**map 0.9100**", "data `d41d8`", "over seeds [0.8754, 0.9513]", "Study s, run `thaw-2-", "**Take"):
        assert words in version.description, words
    assert version.tags["seed"] == "2" and version.tags["decided"] == "yes"
    shutil.rmtree("models")
    plan.write_text(yaml.safe_dump({"tracking": tracking | {"uri": "http://127.0.0.1:9"}}))
    assert main(["champion", "s"]) == 1
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err
    assert load("models/s").info.origin["seed"] == 2
