"""A SLURM of its own for all tests of this folder, and a study that it trains."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.slurm import cluster, missing

from frostline.checking.prepare import prepare_from_config
from frostline.config import compose
from frostline.launch import slurm as commands
from frostline.launch.standing import current_plans_of, sent_of, standings
from frostline.studies.plan import write_plan
from frostline.studies.study import read_study

NAME = 'it\'s $(touch pwned); 100 %a "folder"'  # a working directory that a shell, or SLURM, could take for more
ROOT = Path(__file__).resolve().parents[2]
STUDY = """
question: does it hold together?
grid:
  task: [classification]
  seed: {seeds}
overrides:
  - backbone=small_cnn
  - schedule=full
  - dataset.source.train=20
  - dataset.source.val=10
  - dataset.source.test=10
  - dataset.source.size=64
  - image_size=64
  - trainer.epochs={epochs}
  - trainer.batch_size=8
  - trainer.threads=1
  - trainer.accelerator=cpu
  - tracking=none
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def root():
    """This checkout."""
    return ROOT


@pytest.fixture(scope="session")
def slurm():
    """The cluster, for the whole session."""
    if reason := missing():
        pytest.skip(reason)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is torn down then, too
    # Not in pytest's folder, whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # munge asks for that
        with cluster(Path(folder) / "slurm") as made:
            yield made


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """The study's dataset, prepared once."""
    overrides = [line.strip(" -") for line in STUDY.splitlines() if "dataset." in line]
    return prepare_from_config(compose(overrides)["dataset"], tmp_path_factory.mktemp("data") / "meadow").path


@pytest.fixture
def place(slurm, scenes, tmp_path, monkeypatch):
    """A working directory whose study `experiments/mine` can be sent; commands of SLURM's ask the cluster."""
    tmp_path = tmp_path / NAME
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    yield Place(tmp_path, slurm, scenes)
    slurm.clear()


class Place:
    """What tests do there."""

    def __init__(self, folder: Path, slurm, scenes: Path) -> None:
        self.folder, self.slurm, self.scenes = folder, slurm, scenes

    def study(self, seeds=1, epochs=3, *more):
        """A study of so many cells, planned and prepared."""
        folder = self.folder / "experiments" / "mine"
        folder.mkdir(parents=True)
        text = STUDY.format(seeds=list(range(seeds)), epochs=epochs)
        (folder / "study.yaml").write_text(text + "".join(f"  - {each}\n" for each in more))
        study = read_study(Path("experiments/mine"))
        one = replace(study, grid={**study.grid, "seed": [0]})
        write_plan(one)
        plan = study.runs / "plan" / "classification-0.yaml"
        for seed in range(1, seeds):  # to compose a thousand takes half a minute
            text = re.sub(r"^seed: 0$", f"seed: {seed}", plan.read_text(), flags=re.MULTILINE)
            plan.with_name(f"classification-{seed}.yaml").write_text(text)
        shutil.copytree(self.scenes, study.runs / "data" / "meadow")
        return study

    def call(self, *command, **environment):
        """A command of Frostline's, as it ended."""
        return subprocess.run(
            [sys.executable, "-m", "frostline", *command],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def run(self, *command, **environment):
        """What it prints, if it works."""
        done = self.call(*command, **environment)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def submit(self, *launcher, **environment):
        return self.run("submit", "mine", "launcher.cpus_per_task=1", *launcher, **environment)

    def status(self):
        """Run -> its state, and what else is told, as `frostline status` has it; which takes a second to begin."""
        study = read_study(Path("experiments/mine"))
        return {each.run: (each.state, each.told) for each in standings(study, current_plans_of(study), sent_of(study))}

    def journal(self, run):
        path = self.folder / "runs/mine/work" / run / "epochs.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def queue(self):
        return [element for element in commands.queue() if element.alive]
