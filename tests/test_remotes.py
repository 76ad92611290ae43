"""A study that one clone has trained and another takes over, by real DVC: over a folder, and over a real S3 server.

The commands are those of docs/cluster.md.
"""

import csv
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import s3
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DATA = (ROOT / "docs/cluster.md").read_text().split("\n## Data\n")[1].split("\n## ")[0]
COMMANDS = [shlex.split(line) for line in re.findall(r"^ {4}(dvc [^#\n]+)", DATA, re.MULTILINE)]
STUDY = """
question: does it hold together elsewhere?
grid:
  task: [classification]
  schedule: [full]
  seed: [0, 1]
overrides:
  - dataset=folder
  - dataset.root=path/to/pictures
  - backbone=small_cnn
  - image_size=64
  - trainer.epochs=1
  - trainer.batch_size=8
  - trainer.threads=1
  - tracking.system_metrics=false
"""
PLANTED = "planted-7f3a9c"  # a secret in the environment of what is trained


def run(folder, *command, fails=False, **environment):
    """What a command says there."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settled = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    settled |= {
        "PATH": path,
        "PYTHONPATH": f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    settled |= {"GIT_CONFIG_GLOBAL": "/dev/null", "DVC_NO_ANALYTICS": "1", "HOME": str(folder.parent)}
    done = subprocess.run(command, cwd=folder, env=settled | environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(folder):
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=x", "-c", "user.email=x@y.z", "commit", "-qm", "x")


def told(*beginning):
    """The one command of the page that begins so."""
    (found,) = (one for one in COMMANDS if one[: len(beginning)] == list(beginning))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A clone in which a study of one's own pictures was trained and compared."""
    folder = tmp_path_factory.mktemp("team") / "a"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/plots.html", ".dvc/.gitignore", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("src", "conf"):
        (folder / name).symlink_to(ROOT / name)
    for number in range(32):
        path = folder / "path/to/pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    (folder / "experiments/mine").mkdir(parents=True)
    (folder / "experiments/mine/study.yaml").write_text(STUDY)
    run(folder, "git", "init", "-q")
    run(folder, "frostline", "study", "check", "experiments/mine", "--write")
    run(folder, *told("dvc", "add"))
    run(folder, "dvc", "repro", "-q", "experiments/mine/dvc.yaml", AWS_SECRET_ACCESS_KEY=PLANTED)
    commit(folder)
    return folder


def report(folder):
    """What `compare` says, without the milliseconds of a prediction, which it measures where it runs."""
    with (folder / "experiments/mine/results.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "predict_ms"} for row in csv.DictReader(file)]
    lines = (folder / "experiments/mine/report.md").read_text().splitlines()
    return rows, [re.sub(r"[\d.]+(?= \|[^|]*\|$)", "…", line) if "| **full** |" in line else line for line in lines]


def takes_over(trained, clone, local=()):
    """Clone, pull, and have nothing to train; the comparison is the same when it is made anew."""
    commit(trained)
    run(trained.parent, "git", "clone", "-q", str(trained), str(clone))
    for words in local:
        run(clone, *words)
    run(clone, *told("dvc", "pull"))
    said = run(clone, *told("dvc", "repro"))
    assert re.findall(r"Running stage '.*:(.*)'", said) == ["plan"] and said.count("didn't change") == 5
    assert not (clone / "runs/mine/work").exists()
    assert run(clone, "git", "status", "--porcelain") == ""
    assert "0 of 2 runs to train" in run(clone, "frostline", "plan", "experiments/mine", "--dry-run")
    run(clone, "frostline", "compare", "experiments/mine")
    assert report(clone) == report(trained)


@pytest.mark.slow
def test_over_a_folder_that_all_see(trained, tmp_path):
    remote = tmp_path / "it's a folder"
    *add, place = told("dvc", "remote", "add", "--default", "shared")
    assert place.startswith("/")
    run(trained, *add, str(remote))
    run(trained, *told("dvc", "push"))
    assert sum(path.is_file() for path in remote.rglob("*")) > 32
    takes_over(trained, trained.parent / "b")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="no S3 server (make setup installs moto)")
def test_over_s3_with_keys_that_nobody_finds(trained):
    with s3.served() as bucket:
        *add, place = told("dvc", "remote", "add", "--default", "team")
        assert place == "s3://bucket/folder"
        run(trained, *add, f"{bucket.uri}/of the team")
        *modify, _ = told("dvc", "remote", "modify", "team")
        run(trained, *modify, bucket.url)
        push = told("dvc", "push")
        assert "credentials" in run(trained, *push, fails=True)
        wrong = {**bucket.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
        run(trained, *push, fails=True, **wrong)
        assert not bucket.contents()
        run(trained, *push, **bucket.environment)
        local = told("dvc", "remote", "modify", "--local")
        keys = {"access_key_id": bucket.key, "secret_access_key": bucket.secret}
        assert local[-2] in keys
        clone = trained.parent / "c"
        takes_over(trained, clone, local=[[*local[:-2], name, value] for name, value in keys.items()])

        held = [path for path in clone.rglob("*") if path.is_file() and bucket.secret.encode() in path.read_bytes()]
        assert held == [clone / ".dvc/config.local"]
        for path in [*trained.rglob("*"), *trained.parent.glob(".*/**/*")]:
            content = path.read_bytes() if path.is_file() else b""
            assert bucket.secret.encode() not in content and PLANTED.encode() not in content, path
        assert bucket.secret not in run(clone, "git", "log", "--all", "-p", "--binary")
        assert not any(bucket.secret.encode() in content for content in bucket.contents().values())
