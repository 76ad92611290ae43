"""Rounds of seeds: who gets some, what is written for them, and when they end. Training is stubbed."""

import json
import shutil
import subprocess
from random import Random

import pytest
from helpers.study import made_run

from frostline.cli import main
from frostline.config import to_yaml
from frostline.errors import FrostlineError
from frostline.launch.rounds import add, look, until_verdict
from frostline.studies.kept import kept
from frostline.studies.pipeline import difference
from frostline.studies.plan import compose_runs, write_plan
from frostline.studies.study import read_study

STUDY = """\
# of mine
question: which?  # schedule
margin: 0.02
grid:
  schedule: [frozen, thaw, full]
  seed: [0, 1, 2]
overrides: [trainer.threads=1, trainer.accelerator=cpu]  # one run per core
"""
CLOSE = {"frozen": 0.5, "thaw": 0.81, "full": 0.8}  # frozen is beaten at once
CLEAR = {"frozen": 0.5, "thaw": 0.9, "full": 0.8}
SPREAD = 0.01


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of nine runs; DVC is asked for what changed, and knows of nothing."""
    monkeypatch.chdir(tmp_path)
    nothing = subprocess.CompletedProcess([], 0, "{}", "")
    monkeypatch.setattr("frostline.studies.stale.subprocess.run", lambda *_, **__: nothing)
    monkeypatch.setattr("frostline.launch.local.cores", lambda: 2)  # wherever this runs: times are reckoned by it
    folder = tmp_path / "experiments/s"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    write_plan(read_study(folder))
    return folder


class Training:
    """In place of training: a result for each planned run that has none, by the mean of its schedule."""

    def __init__(self, means, stop_after=None, **changes):
        self.means, self.stop_after, self.changes, self.trained = means, stop_after, changes, []

    def __call__(self, study):
        for name, config in compose_runs(study).items():
            folder = study.runs / "results" / name
            if folder.exists():
                continue
            if self.stop_after is not None and len(self.trained) >= self.stop_after:
                raise KeyboardInterrupt
            schedule, seed = config["schedule"]["name"], config["seed"]
            value = self.means[schedule] + Random(f"{schedule}{seed}").gauss(0, SPREAD)
            run = made_run(schedule=schedule, seed=seed, value=value, axes={"schedule": schedule}, **self.changes)
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(run.result.to_json()))
            (folder / "config.yaml").write_text(to_yaml(config))
            self.trained.append(name)


def test_the_next_looks_seeds_go_to_the_arms_that_compete_and_nothing_else_changes(study):
    """Catches seeds for arms that are beaten, comments that are lost, and a pipeline that is left as it was."""
    Training(CLOSE)(read_study(study))
    said = []
    found = look(study, said.append)
    assert found.wanted == {"thaw": [3], "full": [3]}
    assert "looks from now on, at 3, 4, 5, 6, 8 and 10 seeds" in said[0] and "are not paid for" in said[0]
    assert "`thaw` and `full` still compete at 3 seeds; the next look is at 4." in said[1]
    assert "Beaten: `frozen` (at 3 seeds)" in said[1] and "about 1 more seed would decide" in said[1]
    add(found)
    written = (study / "study.yaml").read_text()
    assert written.startswith(STUDY)
    assert written.endswith("looks: [3, 4, 5, 6, 8, 10]\nseeds_for:\n  thaw: [3]\n  full: [3]\n")
    changed = read_study(study)
    assert list(changed.cells())[-2:] == ["thaw-3", "full-3"] and len(changed.cells()) == 11
    assert compose_runs(changed)["thaw-3"]["arm"] == {"schedule": "thaw"}
    assert difference(changed) is None and '"thaw-3", "full-3"]' in (study / "dvc.yaml").read_text()
    assert kept(changed)["looks"] == [3, 4, 5, 6, 8, 10]
    with pytest.raises(FrostlineError, match=r"2 of 11 planned runs are still to be trained, .*: `make repro STUDY=s`"):
        look(study)


def test_a_look_that_was_changed_afterwards_is_told(study):
    Training(CLOSE)(read_study(study))
    look(study, lambda _: None)
    path = study / "study.yaml"
    path.write_text(path.read_text().replace("[3, 4, 5, 6, 8, 10]", "[3, 8]"))
    said = []
    assert look(study, said.append).wanted["thaw"] == [3, 4, 5, 6, 7]
    assert "`looks` was [3, 4, 5, 6, 8, 10] before the first of them, and is [3, 8] now." in said[0]


def test_it_goes_on_until_the_champion_is_clear(study):
    training, said = Training(CLEAR), []
    training(read_study(study))
    assert until_verdict(study, 3600, training, said.append) is True
    assert len(training.trained) == 9  # those of the grid
    assert (
        said[-1]
        == "classification on meadow: `thaw` is clear at 3 seeds: better than each other arm."
        + said[-1][said[-1].index(" Beaten") :]
    )


def test_it_goes_on_through_the_planned_looks_and_ends_with_what_is_as_good(study):
    """Catches arms that get more than the looks planned, and an end that is missed."""
    training, said = Training({"frozen": 0.5, "thaw": 0.8, "full": 0.8}), []
    training(read_study(study))
    assert until_verdict(study, 36000, training, said.append)
    assert "are equivalent within the margin at" in said[-1]
    more = read_study(study).seeds_for
    assert set(more) == {"thaw", "full"} and more["thaw"] == more["full"] == list(range(3, 3 + len(more["thaw"])))
    assert sorted(training.trained) == sorted(read_study(study).cells())


def test_one_that_was_killed_goes_on_to_the_same_end(study):
    whole = Training(CLOSE)
    whole(read_study(study))
    until_verdict(study, 36000, whole, lambda _: None)
    ended = (study / "study.yaml").read_text()
    assert "seeds_for" in ended
    shutil.rmtree("runs")
    for name in ("stated.yaml", "dvc.yaml"):
        (study / name).unlink()
    (study / "study.yaml").write_text(STUDY)
    Training(CLOSE)(read_study(study))
    with pytest.raises(KeyboardInterrupt):  # in its first round of seeds, of which one run was finished
        until_verdict(study, 36000, Training(CLOSE, stop_after=1), lambda _: None)
    (study / "dvc.yaml").write_text("# frostline, as it was before the seeds were added")
    rest = Training(CLOSE)
    assert until_verdict(study, 36000, rest, lambda _: None)
    assert (study / "study.yaml").read_text() == ended
    assert len(rest.trained) == len(whole.trained) - 10


def test_a_round_that_the_budget_does_not_hold_is_not_begun(study):
    """Catches seeds that are written down before it is known whether they can be trained."""
    Training(CLOSE, train_seconds=600.0)(read_study(study))
    training, said = Training(CLOSE), []
    assert until_verdict(study, 300, training, said.append) is False
    assert "Not begun: the next round has 2 runs and takes about 10 min, and of 5 min 5 min are left" in said[-1]
    assert not training.trained and not read_study(study).seeds_for
    Training(CLOSE, train_seconds=600.0)(add(look(study, lambda _: None)))  # what was spent counts in a later call
    assert until_verdict(study, 1000, training, said.append) is False
    assert "of 17 min 6 min are left" in said[-1]


def test_runs_of_one_seed_that_are_no_pair_are_named(study):
    Training(CLOSE)(read_study(study))
    path = study.parents[1] / "runs/s/results/full-1/result.json"
    told = json.loads(path.read_text()) | {"data_hash": "other", "versions": {"torch": "9"}}
    path.write_text(json.dumps(told))
    with pytest.raises(FrostlineError, match="frozen-1 and full-1 have one seed and differ in their data and versions"):
        look(study)


def test_a_training_that_leaves_a_run_out_ends(study):
    Training(CLOSE)(read_study(study))
    with pytest.raises(FrostlineError, match="full-3 was trained and is still to be trained"):
        until_verdict(study, 36000, lambda _: None, lambda _: None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--until", "verdict"], "How long may it take? Give --budget, such as 2h"),
        (["--until", "verdict", "--budget", "soon"], "--budget is 'soon'; it is a time such as 2h"),
        (["--budget", "2h"], "--budget is for --until verdict"),
        ([], "9 of 9 planned runs are still to be trained"),
    ],
)
def test_what_the_command_lacks_is_told(study, capsys, options, words):
    assert main(["study", "seeds", "s", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_study_without_seeds_or_with_one_arm_has_nothing_to_add(study, capsys):
    (study / "study.yaml").write_text("grid: {schedule: [thaw, full]}")
    assert main(["study", "seeds", "s"]) == 2 and "has no axis seed" in capsys.readouterr().err
    (study / "study.yaml").write_text(STUDY.replace("[frozen, thaw, full]", "[thaw]"))
    Training(CLOSE)(read_study(study))
    assert main(["study", "seeds", "s"]) == 2 and "has one arm alone" in capsys.readouterr().err
