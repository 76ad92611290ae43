"""Parts of a lecture: those that there are, and small ones made up."""

import textwrap

import pytest

from frostline.lecture import material, order

FEW = tuple(f"dataset.source.{name}" for name in ("train=8", "val=8", "test=8", "size=64"))  # drawn in no time
GOOD = """
# %% [markdown]
# ## {number}. {title}
#
# There are {{count}} pictures.

# %%
from matplotlib.figure import Figure

from frostline.lecture.page import Page, begin

page = begin("{name}")
count = len(page.material.pictures(1))
page.claim("pictures", count, 1)
page.picture(Figure(figsize=(1, 1)), "one", "Nothing.")
{more}
"""


@pytest.fixture
def few(monkeypatch):
    """Also where a part is run by itself, few scenes are drawn."""
    monkeypatch.setattr(material, "DRAWN", [*material.DRAWN, *FEW])


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Writes small parts in place of the lecture's: code that stands at the end of each, by names."""
    folder = tmp_path / "parts"
    folder.mkdir()
    monkeypatch.setattr(order, "PARTS", folder)

    def write(**parts):
        for name, more in parts.items():
            facts = {"name": name, "title": name.title(), "number": order.ORDER.index(name) + 1}
            (folder / f"{name}.py").write_text(GOOD.format(**facts, more=textwrap.dedent(more)).lstrip())
        return list(parts)

    return write
