"""Tables in a terminal: numbers and names are whole in any width."""

import pytest
from rich.table import Table

from frostline.cli import main
from frostline.cli.common import show

PROSE = "what it is for, in a few words that may be wrapped wherever there is a blank between two of them"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_nothing_is_cut(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    table = Table("name", "what", *(f"epoch {number}" for number in range(9)))
    table.add_row("efficientnet_lite0", PROSE, *["3.14e-04"] * 9)
    table.add_row("short", "none", *["1,234.5 M"] * 9)
    show(table)
    text = capsys.readouterr().out
    assert "…" not in text and text.count("3.14e-04") == text.count("1,234.5 M") == 9
    assert "efficientnet_lite0" in text and set(PROSE.split()) <= set(text.split())
    assert len({len(line) for line in text.splitlines()}) == 1, "a line was broken"


def test_a_table_that_fits_is_as_wide_as_the_terminal_at_most(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    table = Table("name", "what")
    table.add_row("a", PROSE)
    show(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_learning_rates_are_whole_where_the_output_is_no_terminal(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["schedule", "show", "gradual", "trainer.epochs=30"]) == 0
    text = capsys.readouterr().out
    assert "…" not in text and "e-" in text
