"""The parts as they are: what they say holds, and would be told if it did not."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.lecture import FEW
from PIL import Image

from frostline.cli import _parsed, main
from frostline.config import compose, conf_dir
from frostline.lecture import order
from frostline.lecture.cells import cells_of, run, text_of, title_of
from frostline.lecture.errors import NotSo
from frostline.lecture.material import material
from frostline.lecture.page import Page, plain
from frostline.lecture.readme import anchor

QUICK = ("convolution", "filters", "pooling")
CODE, FILLED = re.compile(r"`[^`]*`|^ {4}.*$", re.MULTILINE), re.compile(r"\{[^{}]*\}")
# Numbers that no run finds: in names, in a heading, years, sizes of fields in general, neighbours in a row.
STANDING = re.compile(
    r"^## \d\.|[A-Za-z]+[-_]?\d[\w.-]*|\b(19|20)\d\d\b|\b\d+ [x×] \d+\b|[-+] 1\b|-1 to 1\b", re.MULTILINE
)
CITED = re.compile(r"\barXiv\b|\bdoi:")  # a paragraph may tell what a paper has found, and says which


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    """The folder of the quick parts, on few drawn scenes."""
    return made(tmp_path_factory.mktemp("lecture"), *QUICK, *FEW)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of all parts, as the command makes it."""
    return made(tmp_path_factory.mktemp("whole"))


def made(folder, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["lecture", *words]) == 0
    return folder / "runs" / "lecture"


def claims_of(folder):
    return json.loads((folder / "claims.json").read_text())["parts"]


def holds(folder, parts):
    """That a page has these parts, with their pictures, links and commands."""
    text, told = (folder / "README.md").read_text(), claims_of(folder)
    assert [part["name"] for part in told] == list(parts)
    for part in told:
        assert part["state"] == "done" and len(part["claims"]) >= 4, part
        assert f"{len(part['claims'])} claims, each checked by this run" in text
    assert f"| claims | {sum(len(part['claims']) for part in told)}, of which each was checked |" in text
    assert not FILLED.search(CODE.sub("", text)), "a name that was not filled"

    shown = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text)
    assert {path for _, path in shown} == {f"pictures/{path.name}" for path in (folder / "pictures").iterdir()}
    assert {path.split("/")[1].split("-")[0] for _, path in shown} >= set(parts) - {"pretrained"}
    for alt, path in shown:
        assert len(alt.split()) >= 12 and alt.endswith("."), f"{path}: says not what is seen"
        pixels = np.asarray(Image.open(folder / path).convert("RGB")).reshape(-1, 3)
        assert len(np.unique(pixels, axis=0)) > 4 and pixels.std() > 8, f"{path} is blank"

    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    targets = re.findall(r"\]\(#([^)]*)\)", text)
    assert targets == [anchor(heading) for heading in headings[:-2]] and len(set(targets)) == len(parts)
    for command in {
        one or other for one, other in re.findall(r"`frostline ([^`]*)`|^ {4}frostline ([^#\n]*)", text, re.M)
    }:
        words = shlex.split(command.replace("\n", " "))
        if len(words) == 1 and words != ["lecture"]:  # named, and not as it is to be typed
            with pytest.raises(SystemExit) as stop:
                _parsed([*words, "--help"])
            assert stop.value.code == 0, command
            continue
        args = _parsed(words)
        overrides = [word for word in words if "=" in word and not word.startswith(("-", "dataset"))]
        if words[0] in ("train", "preview"):
            compose(overrides)
        assert args.command, command


def test_the_quick_parts_hold(lecture):
    holds(lecture, QUICK)


def test_the_same_again_alone(lecture, tmp_path):
    """Catches a draw without a seed, and one that hangs on the parts before."""
    again = made(tmp_path, "pooling", *FEW)
    before, now = ({part["name"]: part for part in claims_of(folder)} for folder in (lecture, again))
    assert now["pooling"]["claims"] == before["pooling"]["claims"] and list(now) == ["pooling"]
    for picture in (again / "pictures").iterdir():
        assert picture.read_bytes() == (lecture / "pictures" / picture.name).read_bytes()


@pytest.mark.slow
def test_all_parts_hold_in_four_minutes(whole):
    holds(whole, order.ORDER)
    told = json.loads((whole / "claims.json").read_text())
    assert sum(len(part["claims"]) for part in told["parts"]) >= 60
    assert told["seconds"] <= 240 or os.environ.get("OMP_NUM_THREADS") == "1", "two cores were meant"


@pytest.mark.parametrize("name", order.ORDER)
def test_each_part_begins_with_its_number_and_is_what_it_is_called(name):
    file = order.PARTS / f"{name}.py"
    assert re.match(rf"{order.ORDER.index(name) + 1}\. [A-Z]", title_of(file))
    assert f'begin("{name}")' in file.read_text()
    texts = [text_of(cell.source) for cell in cells_of(file) if cell.is_text]
    assert any("frostline " in text for text in texts[-2:]), "it ends with what to do next"


@pytest.mark.parametrize("name", order.ORDER)
def test_a_number_in_a_text_is_filled_from_the_run(name):
    texts = [text_of(cell.source) for cell in cells_of(order.PARTS / f"{name}.py") if cell.is_text]
    assert [told for text in texts for told in unfilled(text)] == []


def unfilled(text):
    """Numbers that somebody wrote, with what stands around them."""
    paragraphs = [part for part in text.split("\n\n") if not CITED.search(part)]
    bare = [STANDING.sub("", FILLED.sub("", CODE.sub("", part))) for part in paragraphs]
    return [told for part in bare for told in re.findall(r".{0,30}\d.{0,30}", part)]


def test_what_counts_as_a_number():
    """The rule above, on what it has to find and on what it has to let be."""
    wrong = ["about 80 %", "the 5 classes", "(7 %)", "a stride of 2", "3.6 % top-5", "one\n\n2 (x)\n\ndoi:3"]
    right = ["## 3. Pooling", "LeNet-5 of 1998", "7 % (arXiv:1512.03385)", "3 x 3", "top-3", "row *i* - 1", "{x:.2f}"]
    assert all(unfilled(text) for text in wrong) and not any(unfilled(text) for text in right)


class Spoiled(Page):
    """Of which one claim says something else."""

    which = 0

    def claim(self, text, found, said, within=0.0):
        super().claim(text, found, otherwise(said, within) if len(self.claims) == self.which else said, within)


def otherwise(said, within):
    opposite = {"<=": ">", ">=": "<", "<": ">=", ">": "<="}
    if isinstance(said, str):
        sign, _, bound = said.partition(" ")
        return f"{opposite[sign]} {bound}" if sign in opposite else f"{said}?"
    if isinstance(said, bool):
        return not said
    said = plain(said)
    return (otherwise(said[0], within), *said[1:]) if isinstance(said, tuple) else said + 1 + 2 * within


@pytest.mark.parametrize("name", ["convolution", "pooling"])
def test_each_claim_can_fail(name, here, tmp_path):
    pictures, file = material(FEW), order.PARTS / f"{name}.py"
    run(file, page := Page(name, pictures, tmp_path / "pictures"))
    assert len(page.claims) >= 10
    for which, claim in enumerate(page.claims):
        spoiled = Spoiled(name, pictures, tmp_path / "pictures")
        spoiled.which = which
        with pytest.raises(NotSo) as error:
            run(file, spoiled)
        assert str(error.value).startswith(f"{name}: {claim.text}: said is ")


@pytest.mark.parametrize(
    ("name", "number", "other", "said"),
    [
        ("convolution", "few, 448", "few, 449", "parameters of the convolution: 16 x 3 x 3 x 3 + 16: said is 449,"),
        ("convolution", "out = 16", "out = 15", "maps, rows and columns of the layer's output: said is 16,"),
        ("pooling", "k, before = 2, 96", "k, before = 3, 96", "height and width of 96 px after it: said is 48,"),
        ("pooling", "half, 0.5", "half, 0.51", "bright cells of A that are bright in C, as a share: said is 0.51,"),
    ],
)  # fmt: skip
def test_a_spoiled_number_fails_the_lecture(name, number, other, said, here, tmp_path, monkeypatch, capsys):
    parts = shutil.copytree(order.PARTS, tmp_path / "parts")
    text = (parts / f"{name}.py").read_text()
    assert text.count(number) == 1
    (parts / f"{name}.py").write_text(text.replace(number, other))
    monkeypatch.setattr(order, "PARTS", parts)
    assert main(["lecture", "convolution", "pooling", *FEW]) == 1
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith(f"frostline: {name}: {said}") and "1 of 2 parts" in told.out


@pytest.mark.parametrize("name", QUICK)
def test_a_part_runs_by_itself(name, here, few, capsys):
    """As a script, and so as a notebook's cells: nobody keeps its pictures, and its claims are printed."""
    known = runpy.run_path(str(order.PARTS / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert len(known["page"].claims) >= 10 and len(printed) >= len(known["page"].claims)
    assert not list(here.rglob("*.png.png")) and not (here / "pictures").exists()


def test_a_part_is_a_script(here):
    conf = shutil.copytree(conf_dir(), here / "conf")
    drawn = (conf / "dataset" / "meadow.yaml").read_text()
    few = re.sub(r"  (train|val|test): \d+", r"  \1: 8", drawn)
    (conf / "dataset" / "meadow.yaml").write_text(few)
    environment = {**os.environ, "PYTHONPATH": str(order.PARTS.parents[2])}
    command = [sys.executable, str(order.PARTS / "pooling.py")]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "bright cells of A that are bright in C, as a share: 0.5" in done.stdout


def test_the_story_is_drawn_with_the_readers_pictures(here, real_data):
    root = here / "flowers"
    for kind in ("daisy", "rose"):
        (root / kind).mkdir(parents=True)
        for file in sorted((real_data / "flowers5" / kind).glob("*.jpg"))[:12]:
            (root / kind / file.name).symlink_to(file)
    words = ["dataset=folder", f"dataset.root={root}"]
    assert main(["lecture", *QUICK, *words, "--out", "theirs"]) == 0
    assert main(["lecture", *QUICK, *FEW, "--out", "drawn"]) == 0
    theirs, drawn = ((here / folder / "README.md").read_text() for folder in ("theirs", "drawn"))
    assert f"`frostline train backbone=small_cnn schedule=full {' '.join(words)}`" in theirs
    headings = [re.findall(r"^## .*|^!\[|^\*\*[^*]*\*\*", text, re.MULTILINE) for text in (theirs, drawn)]
    assert headings[0] == headings[1] and "| data | folder `" in theirs
    ours, made_of_theirs = ((here / folder / "pictures" / "pooling-pooled.png") for folder in ("drawn", "theirs"))
    assert ours.read_bytes() != made_of_theirs.read_bytes()


@pytest.mark.slow
def test_all_parts_hold_on_photographs(here, real_data):
    """Catches claims of drawn pictures that are made of others. These have labels and masks, and some of them boxes."""
    pets = ["dataset=pets", f"dataset.root={real_data / 'pets3'}", "dataset.on_fault=skip"]
    assert main(["lecture", *pets, "--out", "theirs"]) == 0
    assert [part["state"] for part in claims_of(here / "theirs")] == ["done"] * len(order.ORDER)


@pytest.mark.parametrize("name", order.ORDER)
def test_notebooks_read_the_same_cells(name):
    """jupytext is the second implementation."""
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed")
    file = order.PARTS / f"{name}.py"
    notebook = jupytext.read(file)
    cells = cells_of(file)
    assert [cell.cell_type == "markdown" for cell in notebook.cells] == [cell.is_text for cell in cells]
    for theirs, ours in zip(notebook.cells, cells, strict=True):
        assert theirs.source.strip("\n") == (text_of(ours.source) if ours.is_text else ours.source)
    assert jupytext.writes(notebook, "py:percent").endswith(file.read_text().partition("# %%")[2])


def test_a_wheel_would_carry_the_parts():
    """Hatch takes what git does not ignore."""
    root = Path(__file__).parents[2]
    listed = subprocess.run(
        ["git", "-C", root, "check-ignore", *order.PARTS.glob("*.py")], capture_output=True, text=True
    )
    assert order.PARTS.is_relative_to(root / "src" / "frostline") and listed.stdout == ""
