"""What a part of the lecture puts on its page: sentences, pictures, and claims that are checked."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from frostline.errors import FrostlineError

SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Lacking(FrostlineError):
    """What a part needs and the pictures do not have: what, and what would help."""


class NotSo(FrostlineError):
    """A claim that does not hold: where, what was said, and what was found."""


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
        return bool(self.said == self.found)


@dataclass
class Page:
    """The page of one part. folder: where its pictures are put; None where nobody keeps them, as in a notebook."""

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
            raise NotSo(f"{self.name}: {text}: said is {show(said)}, and found was {show(claim.found)}.")
        self.claims.append(claim)

    def say(self, text: str) -> None:
        """A paragraph of Markdown."""
        self.lines.append(text)

    def picture(self, figure: Figure, name: str, alt: str) -> Figure:
        """A picture below what was said, and in words what it shows."""
        if self.folder is not None:
            from frostline.draw.png import save

            self.folder.mkdir(parents=True, exist_ok=True)
            save(figure, self.folder / f"{self.name}-{name}.png")
            self.lines.append(f"![{alt}]({self.folder.name}/{self.name}-{name}.png)")
        return figure

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
        lines += ["| " + " | ".join(show(cell) for cell in row) + " |" for row in rows]
        self.lines.append("\n".join(lines))

    def checked(self) -> str:
        """The claims, as a part of the page that is folded in."""
        rows = "\n".join(f"| {one.text} | {show(one.said)} | {show(one.found)} |" for one in self.claims)
        title = f"<details><summary>{len(self.claims)} claims, each checked by this run</summary>"
        return f"{title}\n\n| claim | said | found |\n| --- | --- | --- |\n{rows}\n\n</details>"


_OPEN: ContextVar[Page | None] = ContextVar("_OPEN", default=None)


def begin(name: str) -> Page:
    """The page that is being made; in a notebook, one of drawn pictures that nobody keeps."""
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


def show(value: Any) -> str:
    """As it stands in a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple | list):
        return " x ".join(map(show, value)) if all(isinstance(each, int) for each in value) else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {show(each)}" for key, each in value.items())
    return str(value)
