"""A SLURM of its own for all tests of this folder, and a study that it trains."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers.slurm import cluster, missing

from frostline.launch import slurm as commands
from frostline.studies.study import read_study

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
def slurm():
    """The cluster, for the whole session."""
    if reason := missing():
        pytest.skip(reason)
    # Not in pytest's folder, whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # munge asks for that
        with cluster(Path(folder) / "slurm") as made:
            yield made


@pytest.fixture
def place(slurm, tmp_path, monkeypatch):
    """A working directory whose study `experiments/mine` can be sent; commands of SLURM's ask the cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    yield Place(tmp_path, slurm)
    slurm.clear()


class Place:
    """What tests do there."""

    def __init__(self, folder: Path, slurm) -> None:
        self.folder, self.slurm = folder, slurm

    def study(self, seeds=1, epochs=3, *more):
        """A study of so many cells, planned and prepared."""
        folder = self.folder / "experiments" / "mine"
        folder.mkdir(parents=True)
        text = STUDY.format(seeds=list(range(seeds)), epochs=epochs)
        (folder / "study.yaml").write_text(text + "".join(f"  - {each}\n" for each in more))
        self.run("plan", "experiments/mine")
        self.run("prepare", "--study", "experiments/mine")
        return read_study(Path("experiments/mine"))

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
        """Run -> its state, and what else is told."""
        lines = self.call("status", "mine").stdout.splitlines()[:-1]
        return {run: (state, " ".join(told)) for run, state, *told in (line.split() for line in lines)}

    def journal(self, run):
        path = self.folder / "runs/mine/work" / run / "epochs.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def queue(self):
        return [element for element in commands.queue() if element.alive]
