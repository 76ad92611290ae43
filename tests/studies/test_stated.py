"""What a study states beforehand, and that what it states afterwards is noticed."""

import pytest

from frostline.cli import main
from frostline.config import conf_dir
from frostline.errors import FrostlineError
from frostline.studies.kept import KEPT, changes
from frostline.studies.pipeline import new_study
from frostline.studies.plan import compose_runs, write_plan
from frostline.studies.stated import Expected
from frostline.studies.study import read_study

GRID = "grid: {task: [classification, detection], schedule.name: [thaw, full], seed: [0, 1]}\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "conf").symlink_to(conf_dir())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(folder, text):
    (folder / "study.yaml").write_text(GRID + text)
    return read_study(folder)


def test_what_is_stated_is_stated_for_every_task_or_by_task(tmp_path):
    one = study(
        tmp_path, "metric: map\nmargin: 0.01\nexpected: {text: so, best: {schedule.name: thaw}, range: [0.5, 1]}"
    )
    told = one.stated
    assert told.metric_of("detection") == told.metric_of("classification") == "map"
    assert told.margin_of("detection") == 0.01
    assert told.expected_of("detection") == Expected("so", {"schedule": "thaw"}, (0.5, 1.0))
    assert one.expected == "so (best schedule=thaw, between 0.5 and 1)"
    several = study(
        tmp_path, "margin: {detection: 0.02}\nexpected: {detection: low, classification: {best: {schedule: full}}}"
    )
    told = several.stated
    assert told.margin_of("detection") == 0.02 and told.margin_of("classification") is None
    assert told.expected_of("classification") == Expected("", {"schedule": "full"})
    assert several.expected == "detection: low; classification: best schedule=full"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metric: 3", "study.yaml, line 2: 'metric' is 3; it is the name"),
        ("margin: 0", "line 2: 'margin' is 0; it is the smallest difference"),
        ("margin: .nan", "'margin' is nan"),
        ("margin: true", "'margin' is True"),
        ("margin: {detection: -1}", "'margin' is -1"),
        ("question: x\nexpected: 3", "line 3: 'expected' is 3; it is a text, or text, best"),
        ("expected: {text: x, bets: {}}", "line 2: 'expected' has the key 'bets'"),
        ("expected: {detection: {bets: {}}}", "'expected' has the key 'bets'"),
        ("expected: {best: thaw}", "'best' is 'thaw'; it is axis: value"),
        ("expected: {best: {schedule: frozen}}", "names schedule=frozen, and the grid has thaw and full"),
        ("expected: {best: {seed: 0}}", "names seed=0, and the grid has the axes task and schedule"),
        ("expected: {range: [1, 0.5]}", "'range' is .* the lower first"),
        ("expected: {range: 0.5}", "'range' is 0.5"),
        ("budget: 2 hours", "line 2: 'budget' is '2 hours'; it is a time such as 2h"),
        ("budget: 0min", "'budget' is '0min', in which nothing can be trained"),
        ("vary: split", "line 2: 'vary' is 'split'; it is a list"),
        ("vary: [weights, order, pictures]", "'vary' has 'pictures'"),
        ("vary: [weights]", "'vary' lacks order: one seed draws weights and order together"),
        ("vary: [split]", "'vary' lacks weights"),
        ("vary: {folds: 2}", "line 2: 'folds' is 2; it is a whole number from 3"),
        ("vary: [weights, order, split, folds: 5]", "'vary' has split and folds"),
        ("looks: [3, 3]", r"'looks' is \[3, 3\]; each has more seeds"),
        ("looks: [1, 3]", "it is numbers of seeds, 2 or more"),
        ("seeds_for: [2]", "'seeds_for' is .*such as classification-full: "),
        ("seeds_for: {full: [2]}", "names 'full', and the grid has classification-full"),
        ("seeds_for: {detection-full: 2}", "has 2 for detection-full; it is whole numbers"),
        ("seeds_for: {detection-full: [1]}", "detection-full has seed 1 already"),
        ("seeds_for: {detection-full: [2, 2]}", "detection-full has seed 2 already"),
        ("vary: {folds: 3}\nseeds_for: {detection-full: [3]}", "there are 3 folds, so seeds are 0 to 2, and 3 is none"),
    ],
)
def test_a_statement_that_says_nothing_is_refused(tmp_path, text, words):
    with pytest.raises(FrostlineError, match=words):
        study(tmp_path, text)


def test_a_budget_is_a_time(tmp_path):
    assert study(tmp_path, "budget: 1h30min").budget == 5400
    assert study(tmp_path, "budget: 90s").budget == 90


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metric: accuracy", "line 2: 'metric' is accuracy, and task=detection is decided by map"),
        ("metric: {detection: miou}", "'metric' is miou, and task=detection"),
        ("margin: {segmentation: 0.1}", "line 2: 'margin' names task 'segmentation'; the study has classification and"),
        ("vary: [weights, order, split]", "run classification-thaw-0: 'vary' draws .* dataset.split.given is true"),
    ],
)
def test_what_does_not_fit_the_runs_is_told_when_they_are_planned(tmp_path, text, words):
    with pytest.raises(FrostlineError, match=words):
        compose_runs(study(tmp_path, text))


def test_a_margin_changed_after_a_result_is_named(checkout, capsys):
    """Catches a statement kept anew by each plan, and one that may be changed as long as nothing is looked at."""
    path = new_study("mine").folder / "study.yaml"
    write_plan(read_study(path.parent))
    assert (path.parent / KEPT).is_file()
    path.write_text(path.read_text().replace("margin: 0.02", "margin: 0.05"))
    write_plan(read_study(path.parent))  # nothing was seen yet
    result = checkout / "runs/mine/results/classification-efficientnet_lite0-full-0/result.json"
    result.parent.mkdir(parents=True)
    result.write_text("{}")
    assert changes(read_study(path.parent)) == []
    text = path.read_text()
    path.write_text(text.replace("margin: 0.05", "margin: 0.01").replace("[0.7, 1]", "[0.9, 1]"))
    write_plan(read_study(path.parent))
    margin, expected = changes(read_study(path.parent))
    assert margin == "`margin` was 0.05 before the first result, and is 0.01 now."
    assert expected == "`expected.range` was [0.7, 1.0] before the first result, and is [0.9, 1.0] now."
    path.write_text(text.replace("margin: 0.05\n", ""))
    assert changes(read_study(path.parent)) == ["`margin` was 0.05 before the first result, and is not stated now."]
    (path.parent / KEPT).write_text("margin: 3")
    with pytest.raises(FrostlineError, match="stated.yaml is not what `frostline plan` wrote: take it back"):
        changes(read_study(path.parent))


def test_what_is_stated_only_after_a_result_is_named(checkout):
    folder = new_study("mine").folder
    (folder / "results.csv").write_text("")  # as in a fresh clone, whose runs are elsewhere
    write_plan(read_study(folder))
    assert not (folder / KEPT).exists()
    assert [told.partition(" ")[0] for told in changes(read_study(folder))] == ["`metric`", "`margin`", "`expected`"]
    assert main(["plan", str(folder)]) == 0
