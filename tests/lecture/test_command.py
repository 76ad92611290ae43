"""`frostline lecture`: what it writes, says and returns, whatever becomes of a part."""

import json
import re

import numpy as np
import pytest
from helpers.lecture import FEW
from PIL import Image

from frostline.cli import main
from frostline.lecture import order

MASKS = "page.material.scenes(needs='mask', least=2)"
SPOILED = 'page.claim("pictures once more", count, 2)'


def parts_of(folder):
    return {part["name"]: part for part in json.loads((folder / "claims.json").read_text())["parts"]}


def pictures(root, **classes):
    """A folder per class, with so many pictures."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(root / name / f"{number}.png")
    return f"dataset.root={root}"


def test_parts_are_asked_for_by_name_or_number_and_come_in_their_order(here, made_up, capsys):
    made_up(convolution="", filters="", pooling="")
    assert main(["lecture", "pooling", "1", *FEW, "--out", "out"]) == 0
    first, second, total, page = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1 convolution +1 claims hold +\d+\.\d s", first)
    assert re.fullmatch(r"3 pooling +1 claims hold +\d+\.\d s", second)
    assert re.fullmatch(r"2 of 2 parts, 2 claims hold, \d+ s", total) and page == "out/README.md"
    assert list(parts_of(here / "out")) == ["convolution", "pooling"]
    text = (here / "out" / "README.md").read_text()
    assert "There are 1 pictures." in text and "here 2 of 9 parts" in text
    assert f"`frostline lecture pooling 1 {' '.join(FEW)} --out out`" in text
    assert {path.name for path in (here / "out" / "pictures").iterdir()} == {"convolution-one.png", "pooling-one.png"}


def test_the_command_that_makes_it_again_names_no_folder_of_this_machine(here, made_up):
    made_up(pooling="")
    assert main(["lecture", "pooling", *FEW, "--out", str(here / "out")]) == 0
    told = json.loads((here / "out" / "claims.json").read_text())
    assert told["run it again"] == f"`frostline lecture pooling {' '.join(FEW)} --out out`"


def test_a_page_is_of_what_was_asked_for_last_and_lies_in_runs(here, made_up):
    made_up(convolution="", pooling="")
    assert main(["lecture", "convolution", *FEW]) == 0 and main(["lecture", "pooling", *FEW]) == 0
    folder = here / "runs" / "lecture"
    assert [path.name for path in (folder / "pictures").iterdir()] == ["pooling-one.png"]
    assert list(parts_of(folder)) == ["pooling"]
    assert not [path for path in (here / "runs").iterdir() if path.name.startswith(".lecture")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["poling"], "The lecture has no part 'poling': there are 1 convolution, 2 filters"),
        (["10"], "The lecture has no part '10'"),
        (["image_size=32"], "image_size=32: the lecture has its own; only dataset=… and dataset.… can be given"),
        (["dataset.root=nowhere"], "nowhere"),
        (["dataset=folder", "dataset.root=nowhere"], "nowhere"),
        (["dataset=meadows"], "'meadows' is no dataset"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(words, said, here, made_up, capsys):
    made_up(convolution="raise AssertionError")
    assert main(["lecture", "convolution", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("frostline: ") and said in error and error.count("\n") == 1
    assert not (here / "runs").exists()


def test_what_is_no_lecture_is_not_replaced(here, made_up, capsys):
    made_up(convolution="raise AssertionError")
    (here / "mine" / "pictures").mkdir(parents=True)
    (here / "mine" / "README.md").write_text("mine")
    assert main(["lecture", "convolution", *FEW, "--out", "mine"]) == 2
    assert capsys.readouterr().err == "frostline: mine is there and is no lecture: give another folder.\n"
    assert (here / "mine" / "README.md").read_text() == "mine"


def test_a_claim_that_does_not_hold_is_status_1_and_the_other_parts_come(here, made_up, capsys):
    made_up(convolution="page.claim('no number', type(page), Page)", filters=SPOILED, pooling="")
    assert main(["lecture", "1", "2", "3", *FEW, "--out", "out"]) == 1
    told = capsys.readouterr()
    sentence = "filters: pictures once more: said is 2, and found was 1."
    assert told.err.splitlines()[-1] == f"frostline: {sentence}"
    assert "2 of 3 parts, 3 claims hold" in told.out
    assert {name: part["state"] for name, part in parts_of(here / "out").items()} == {
        "convolution": "done", "filters": "not so", "pooling": "done",
    }  # fmt: skip
    text = (here / "out" / "README.md").read_text()
    assert f"## 2. Filters\n\n**A claim does not hold.** {sentence}\n" in text
    assert "## 3. Pooling\n\nThere are 1 pictures." in text and "1 more do not hold" in text
    assert re.search(r"^\| \[2\. Filters\]\(#2-filters\) \| \*\*not so\*\* \| \d", text, re.MULTILINE)
    assert re.search(r"^\| together \| 3 \| \d+\.\d \|$", text, re.MULTILINE)
    assert not list((here / "out" / "pictures").glob("filters*")), "a picture of a part that is not on the page"


def test_pictures_without_masks_leave_that_part_out_alone(here, made_up, capsys):
    made_up(convolution="", filters=MASKS, pooling="")
    assert main(["lecture", "1", "2", "3", pictures(here / "root", a=10, b=10), "--out", "out"]) == 0
    sentence = "This part needs 2 test pictures with masks, and folder has 0: annotate some, or run it with "
    sentence += "dataset=meadow."
    assert f"2 filters       left out: {sentence}\n" in capsys.readouterr().out
    assert f"## 2. Filters\n\nLeft out: {sentence}\n" in (here / "out" / "README.md").read_text()
    assert main(["lecture", "1", "2", "3", *FEW, "--out", "out"]) == 0
    assert "left out" not in capsys.readouterr().out, "the meadow has masks"


def test_where_nothing_can_be_made_the_status_is_2(here, made_up, capsys):
    made_up(filters=MASKS)
    assert main(["lecture", "filters", pictures(here / "root", a=10, b=10)]) == 2
    assert "left out: This part needs" in capsys.readouterr().out


@pytest.mark.parametrize("classes", [{"a": 3}, {"a": 2, "b": 1}, {"a": 1, "b": 1, "c": 1}])
def test_three_pictures_are_enough_for_what_needs_one(classes, here, made_up, capsys):
    """Those of the second kind are too few to be split: no dataset is made of them."""
    made_up(convolution="", filters="page.material.scenes(least=2)")
    root = pictures(here / "root", **classes)
    assert main(["lecture", "1", "2", "dataset=folder", root, "--out", "out"]) == 0, capsys.readouterr()
    told = capsys.readouterr().out.splitlines()
    assert re.match(r"1 convolution +1 claims hold", told[0]) and told[1].startswith("2 filters       left out: ")
    assert "There are 1 pictures." in (here / "out" / "README.md").read_text()


def test_who_interrupts_finds_the_page_of_before(here, made_up, capsys):
    made_up(convolution="", filters="")
    assert main(["lecture", "1", *FEW]) == 0
    folder = here / "runs" / "lecture"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made_up(filters="raise KeyboardInterrupt")
    assert main(["lecture", "1", "2", *FEW]) == 130
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in (here / "runs").glob("*lecture*")] == ["lecture"]


def test_an_error_of_a_part_is_told_with_its_line_and_the_others_come(here, made_up, capsys):
    made_up(convolution="1 / 0", filters="")
    line = (order.PARTS / "convolution.py").read_text().splitlines().index("1 / 0") + 1
    assert main(["lecture", "1", "2", *FEW]) == 1
    told = capsys.readouterr()
    assert f"convolution: line {line} ended with ZeroDivisionError: division by zero" in told.err
    assert re.search(r"^2 filters +1 claims hold", told.out, re.MULTILINE)


def test_a_part_alone_draws_what_it_draws_after_others(here, made_up):
    """Catches what is drawn at random by how much was drawn before."""
    drawn = "import torch; page.claim('x', torch.rand(1).item(), '>= 0')"
    made_up(convolution=drawn, filters=drawn)
    assert main(["lecture", "1", "2", *FEW, "--out", "both"]) == 0 and main(["lecture", "2", *FEW, "--out", "one"]) == 0
    both, one = parts_of(here / "both"), parts_of(here / "one")
    assert both["filters"]["claims"] == one["filters"]["claims"]


def test_the_page_says_where_its_numbers_come_from(here, made_up):
    made_up(convolution="", filters="")
    assert main(["lecture", "1", "2", *FEW, "--out", "out"]) == 0
    text, told = (here / "out" / "README.md").read_text(), json.loads((here / "out" / "claims.json").read_text())
    for key in ("run it again", "commit", "data", "machine", "versions"):
        assert f"| {key} | {told[key]} |" in text
    assert re.search(r"^meadow `[0-9a-f]{64}`$", told["data"]) and re.match(r"`[0-9a-f]{40}`|`unknown`", told["commit"])
    assert "| claims | 2, of which each was checked |" in text
    assert re.search(r"\| \[2\. Filters\]\(#2-filters\) \| 1 \| \d+\.\d \|", text)
