"""A part of the lecture is a file of Python in percent format, which notebooks open: text and code in turn."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.lecture.page import Page, opened

MARK = re.compile(r"^# %%(?P<text> \[markdown\])?.*$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """line: where its source begins in its file, from 0."""

    is_text: bool
    source: str
    line: int


def cells_of(file: Path) -> list[Cell]:
    """In their order; what stands before the first mark is none."""
    whole = file.read_text(encoding="utf-8")
    marks = list(MARK.finditer(whole))
    ends = [mark.start() for mark in marks[1:]] + [len(whole)]
    cells = []
    for mark, end in zip(marks, ends, strict=True):
        source = whole[mark.end() : end]
        blank = len(source) - len(source.lstrip("\n"))
        cells.append(Cell(mark["text"] is not None, source.strip("\n"), whole.count("\n", 0, mark.end()) + blank))
    return cells


def title_of(file: Path) -> str:
    """Of a part: the heading of its first text."""
    return text_of(cells_of(file)[0].source).splitlines()[0].removeprefix("## ")


def run(file: Path, page: Page) -> None:
    """Run a part's code, and put its text on the page, where {name} stands for what the code has found by its end.

    Raises NotSo where a claim does not hold, and Lacking where the pictures have not what the part needs.
    """
    known: dict[str, Any] = {"__name__": f"frostline.lecture.parts.{file.stem}", "__file__": str(file)}
    texts = []
    with opened(page):
        for cell in cells_of(file):
            if cell.is_text:
                texts.append(len(page.lines))
                page.say(text_of(cell.source))
            else:  # with as many lines before it as in the file, so that an error names its line there
                exec(compile("\n" * cell.line + cell.source, str(file), "exec"), known)
    for number in texts:
        page.lines[number] = page.lines[number].format_map(known)


def text_of(source: str) -> str:
    """Without the signs of a comment."""
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.splitlines())
