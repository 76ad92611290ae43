"""What a part of the lecture puts on its page: sentences, pictures, and claims that are checked."""

import operator
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from frostline.lecture.errors import Lacking as Lacking  # which parts raise, too
from frostline.lecture.errors import NotSo
from frostline.words import cell, one_line

SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
DPI = 150


@dataclass(frozen=True)
class Claim:
    """said: a value, or a bound such as `>= 0.9`. found: what the run has."""

    text: str
    said: Any
    found: Any
    within: float = 0.0

    @property
    def holds(self) -> bool:
        if isinstance(self.said, str) and self.said.split(" ")[0] in SIGNS:
            sign, bound = self.said.split(" ")
            return bool(SIGNS[sign](self.found, float(bound)))
        if self.within or isinstance(self.said, float | np.ndarray):
            said, found = np.asarray(self.said, float), np.asarray(self.found, float)
            return said.shape == found.shape and bool((abs(said - found) <= self.within).all())
        return bool(plain(self.said) == self.found)

    @property
    def found_in_words(self) -> str:
        return show(self.found, ", ")

    @property
    def in_words(self) -> str:
        """What was said, as it stands in a table."""
        return show(plain(self.said), ", ") + (f" ± {self.within:.2g}" if self.within else "")


@dataclass
class Page:
    """The page of one part. folder: where its pictures are put; None where nobody keeps them: a notebook then shows
    them, and what was found is printed."""

    name: str
    material: Any = None
    folder: Path | None = None
    lines: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def claim(self, text: str, found: Any, said: Any, within: float = 0.0) -> None:
        """That what was found is what is said, or lies within so much of it, or keeps a bound such as `<= 4`.

        Raises NotSo where it is not.
        """
        claim = Claim(text, said, plain(found), within)
        if not claim.holds:
            raise NotSo(f"{self.name}: {text}: said is {claim.in_words}, and found was {claim.found_in_words}.")
        self.claims.append(claim)
        self._tell(f"{text}: {claim.found_in_words}")

    def say(self, text: str) -> None:
        """A paragraph of Markdown."""
        self.lines.append(text)

    def picture(self, figure: Figure, name: str, alt: str) -> Figure:
        """A picture below what was said, and in words what it shows."""
        from frostline.draw.png import png_of
        from frostline.files import write_whole

        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / f"{self.name}-{name}.png", png_of(figure, DPI))
            words = one_line(alt).translate({ord("["): "(", ord("]"): ")"})  # of a reader's classes, say
            self.lines.append(f"![{words}]({self.folder.name}/{self.name}-{name}.png)")
        elif "IPython" in sys.modules:  # a figure that pyplot does not know shows itself nowhere
            from IPython.display import Image, display  # type: ignore[import-not-found]

            display(Image(png_of(figure, DPI), alt=alt))
        return figure

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
        lines += ["| " + " | ".join(cell(show(each)) for each in row) + " |" for row in rows]
        self.lines.append("\n".join(lines))
        self._tell("\n".join(lines))

    def checked(self) -> str:
        """The claims, as a part of the page that is folded in."""
        rows = "\n".join(
            f"| {cell(one.text)} | {cell(one.in_words)} | {cell(one.found_in_words)} |" for one in self.claims
        )
        title = f"<details><summary>{len(self.claims)} claims, each checked by this run</summary>"
        return f"{title}\n\n| claim | said | found |\n| --- | --- | --- |\n{rows}\n\n</details>"

    def _tell(self, text: str) -> None:
        if self.folder is None:
            print(text)


@dataclass(frozen=True)
class Told:
    """How a part went. state: one of `done`; `lacking`, where the pictures or this machine have not what it needs, and
    `why` says what; `not so`, where a claim does not hold, which is `why`."""

    page: Page
    state: str
    seconds: float
    why: str = ""


_OPEN: ContextVar[Page | None] = ContextVar("_OPEN", default=None)


def begin(name: str) -> Page:
    """The page that is being made; in a notebook, one of drawn pictures that nobody keeps.

    Whatever a part draws at random is the same from here on, alone or after others.
    """
    import torch

    from frostline.parallel import threads

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)  # a run of a part before has set both
    torch.set_num_threads(threads())
    if (page := _OPEN.get()) is not None:
        return page
    from frostline.lecture.material import material

    return Page(name, material([]))


@contextmanager
def opened(page: Page) -> Iterator[None]:
    before = _OPEN.set(page)
    try:
        yield
    finally:
        _OPEN.reset(before)


def plain(value: Any) -> Any:
    """As numbers and tuples of Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def show(value: Any, between: str = " x ") -> str:
    """As it stands in a table. between: the numbers of several, which in a part's own tables are sides."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple | list):
        whole = all(isinstance(each, int) for each in value)
        return (between if whole else ", ").join(map(show, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {show(each)}" for key, each in value.items())
    return str(value)
