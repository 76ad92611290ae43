"""A planned run that is finished is handed over, which DVC has done in a process for each."""

import subprocess
import sys
from contextlib import nullcontext

import pytest

from frostline.config import compose, to_yaml
from frostline.errors import FrostlineError
from frostline.launch.planned import Job, train_ahead_of_dvc
from frostline.runs.workplace import Workplace

HAND_OVER = """
import sys
from frostline.cli import main
status = main(["train", "--plan", "runs/mine/plan/a.yaml"])
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def planned(here, small, dataset):
    """A planned run on a prepared dataset: its plan file and its workplace's folder."""
    runs = here / "runs" / "mine"
    for folder in ("plan", "data"):
        (runs / folder).mkdir(parents=True)
    (runs / "data" / "meadow").symlink_to(dataset.path)
    (runs / "plan" / "a.yaml").write_text(to_yaml(compose(small)))
    return runs / "plan" / "a.yaml", runs / "work" / "a"


@pytest.mark.parametrize("fails", [False, True])
def test_a_process_that_goes_on_to_other_runs_lets_go_of_those_that_ended(
    here, small, small_meadow, monkeypatch, fails
):
    """Catches a run that no other process can have until the one that trained it is gone, as whatever still points at
    it keeps its lock."""
    kept = []

    def train(config, dataset, name, workplace, command):
        kept.append(workplace)
        if fails:
            raise FrostlineError("no room")

    monkeypatch.setattr("frostline.runs.finish._train", train)
    monkeypatch.setattr("frostline.launch.planned._told", lambda job, finished: "trained")
    plan, work = planned(here, small, small_meadow)
    with pytest.raises(FrostlineError, match="no room") if fails else nullcontext():
        assert train_ahead_of_dvc(Job(plan, compose(small))) == "trained"
    assert kept and Workplace(work, compose(small), small_meadow.data_hash)


def test_a_finished_run_is_handed_over_without_the_libraries_that_train(here, small, small_meadow):
    """Catches a second or more in each cell of a study, for imports alone."""
    _, work = planned(here, small, small_meadow)
    workplace = Workplace(work, compose(small), small_meadow.data_hash)
    workplace.results.mkdir()
    (workplace.results / "result.json").write_text("{}")
    del workplace  # which holds the lock
    done = subprocess.run([sys.executable, "-c", HAND_OVER], capture_output=True, text=True, check=True)
    line, told = done.stdout.splitlines()
    assert line == "a: finished before" and (here / "runs/mine/results/a/result.json").is_file()
    status, *modules = told.split()
    assert status == "0" and not {"torch", "hydra", "omegaconf", "mlflow", "pandas", "matplotlib"} & set(modules)
