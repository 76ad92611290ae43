"""What a page takes for so, and how it is written."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from frostline.lecture.errors import NotSo
from frostline.lecture.page import Claim, Page, plain, show
from frostline.lecture.readme import anchor


@pytest.mark.parametrize(
    ("found", "said", "within", "holds"),
    [
        (3, 3, 0, True),
        (3, 4, 0, False),
        (3.0, 3, 0, True),
        (3.0, 3.0000001, 0, False),
        (0.5, 0.515, 0.02, True),
        (0.5, 0.53, 0.02, False),
        (np.float32(0.5), 0.5, 0, True),
        (torch.tensor(3), 3, 0, True),
        (torch.Size([2, 3]), (2, 3), 0, True),
        ([2, 3], (2, 3), 0, True),
        ((2, 3), [2, 3], 0, True),
        ((2, 3), (3, 2), 0, False),
        ((2, 3), (2, 3, 4), 0, False),
        ([0.5, 1.0], [0.51, 0.99], 0.02, True),
        ([0.5, 1.0], [0.51, 0.97], 0.02, False),
        ([0.5, 1.0], [0.5], 0.02, False),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), 0, True),
        (0.9, ">= 0.9", 0, True),
        (0.89, ">= 0.9", 0, False),
        (0.9, "> 0.9", 0, False),
        (4, "<= 4", 0, True),
        (4, "< 4", 0, False),
        (1e-9, "<= 1e-6", 0, True),
        (float("nan"), "<= 1", 0, False),
        (float("nan"), ">= 1", 0, False),
        (float("nan"), 1.0, 0.5, False),
        (True, True, 0, True),
        (np.bool_(False), True, 0, False),
        ("12 to 14", "12 to 14", 0, True),
        ("12 to 15", "12 to 14", 0, False),
        ({"a": 1}, {"a": 1}, 0, True),
    ],
)
def test_a_claim_holds_or_not(found, said, within, holds):
    assert Claim("x", said, plain(found), within).holds is holds
    page = Page("part", folder=None)
    if holds:
        page.claim("x", found, said, within)
        assert len(page.claims) == 1
    else:
        with pytest.raises(NotSo, match=r"^part: x: said is .*, and found was .*\.$"):
            page.claim("x", found, said, within)
        assert not page.claims


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50_348_032, "50,348,032"), (0.123456, "0.1235"), (1e-9, "1e-09"), (True, "yes"), ((3, 32, 32), "3 x 32 x 32"),
        ((0.5, 2.0), "0.5, 2"), (("a", 1), "a, 1"), ({"a": 0.5, "b": 2000}, "a 0.5, b 2,000"), ("so", "so"),
    ],
)  # fmt: skip
def test_numbers_as_they_are_read(value, text):
    assert show(value) == text


def test_what_stands_in_a_table_cannot_break_it(tmp_path):
    page = Page("part", folder=tmp_path / "pictures")
    page.claim("|a| is\nless", 0.5, 0.52, within=0.1)
    page.table(["a", "b"], [["x|y", 1000]])
    assert page.lines == ["| a | b |\n| --- | --- |\n| x\\|y | 1,000 |"]
    assert "\n| \\|a\\| is less | 0.52 ± 0.1 | 0.5 |\n" in page.checked()
    assert page.checked().startswith("<details><summary>1 claims, each checked by this run</summary>\n\n|")


def test_a_picture_is_a_file_beside_the_page_or_shows_itself_in_a_notebook(tmp_path, monkeypatch, capsys):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().set_title("$2 and $3")  # no formula
    page = Page("part", folder=tmp_path / "pictures")
    assert page.picture(figure, "one", "A line.") is figure
    assert page.lines == ["![A line.](pictures/part-one.png)"]
    assert Image.open(tmp_path / "pictures" / "part-one.png").size == (300, 150)
    page.claim("x", 1, 1)
    assert capsys.readouterr().out == ""

    notebook, shown = ModuleType("IPython"), []
    notebook.display = ModuleType("IPython.display")
    notebook.display.Image = lambda content, alt: (content, alt)
    notebook.display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    alone = Page("part")
    alone.picture(figure, "one", "A line.")
    alone.claim("x", 1, 1)
    alone.table(["a"], [[1]])
    assert shown == [((tmp_path / "pictures" / "part-one.png").read_bytes(), "A line.")]
    assert capsys.readouterr().out == "x: 1\n| a |\n| --- |\n| 1 |\n"


def test_a_heading_is_linked_to_as_github_names_it():
    assert anchor("3. Pooling") == "3-pooling"
    assert anchor("4. Architectures, in their order") == "4-architectures-in-their-order"
    assert anchor("Where the numbers come from") == "where-the-numbers-come-from"
