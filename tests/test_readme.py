"""Every `frostline` command of the README is run, with a smaller budget."""

import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
from helpers.models import untrained
from PIL import Image

from frostline.cli import _parsed, main

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = re.findall(r"^ {4}frostline ([^#\n]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
SMALL = ["trainer.epochs=2", "trainer.batch_size=8", "image_size=64", "tracking.system_metrics=false"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the checkout's conf/, and a folder of pictures."""
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    rng = np.random.default_rng(0)
    for kind in ("apples", "pears"):
        folder = tmp_path / "path/to/pictures" / kind
        folder.mkdir(parents=True)
        for i in range(16):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{i}.png")
    _cells(tmp_path / "path/to/cells", rng)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A model's folder, of a small network that nobody trained."""
    return untrained("classification", tmp_path_factory.mktemp("models") / "mine", ("apples", "pears"))


def _cells(folder, rng):
    """Sixteen pictures with a box each, in Pascal VOC's layout."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    (folder / "ImageSets/Main/train.txt").write_text("".join(f"{i}\n" for i in range(16)))
    for i in range(16):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / "JPEGImages" / f"{i}.jpg")
        corners = "".join(
            f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), (5, 5, 20 + i, 30), strict=True)
        )
        (folder / "Annotations" / f"{i}.xml").write_text(
            f"<annotation><filename>{i}.jpg</filename><size><width>40</width><height>40</height><depth>3</depth></size>"
            f"<object><name>{('red', 'white')[i % 2]}</name><bndbox>{corners}</bndbox></object></annotation>"
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_readme_says_works(command, here, mine, capsys):
    words = shlex.split(command)
    if words[0] == "plan":  # the study that the command before it makes
        assert main(["study", "new", "mine"]) == 0
    pets = ROOT.parent / "shared" / "data" / "pets3"
    if "pets" in command:
        if not pets.is_dir():
            pytest.skip("no pictures of pets beside the project (../shared/data/pets3)")
        (here / "path/to/pets").symlink_to(pets)
    if words[0] in ("champion", "serve"):  # run by tests/deliver and tests/serve, on studies and servers of their own
        assert _parsed(words).command
        return
    if "models/mine" in words:
        (here / "models").mkdir()
        (here / "models/mine").symlink_to(mine)
        (here / "path/to/more").symlink_to(here / "path/to/pictures")
        words += ["--pictures", "path/to/pictures"] if words[0] == "export" else []
    if words[0] == "lecture":
        words += ["convolution", "pooling"]  # tests/lecture has all of it
    if words[0] == "train":
        words = [*(w for w in words if not w.startswith("image_size")), *SMALL]
    if words[0] == "screen":
        words += [*SMALL, "backbones=[efficientnet_lite0]", "--seeds", "1"]  # tests/screen has more of them
    assert main(words) == 0
    assert capsys.readouterr().out


def test_what_the_readme_says_of_python_works(here, capsys, monkeypatch):
    import frostline

    block = re.search(
        r"(?:^ {4}.*\n)*^ {4}import frostline\n(?:^ {4}.*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    train, small = frostline.train, [*SMALL, *(f"dataset.source.{split}=8" for split in ("train", "val", "test"))]
    monkeypatch.setattr(frostline, "train", lambda *overrides: train(*overrides, *small), raising=False)
    (here / "path/to/cell.jpg").write_bytes((here / "path/to/cells/JPEGImages/0.jpg").read_bytes())
    exec(compile(textwrap.dedent(block[0]), "README.md", "exec"), {})
    assert "'objects'" in capsys.readouterr().out


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 5
