"""Tables as text: CSV with any usual separator, as programs and spreadsheets write it."""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.pictures.reading import MAX_BYTES

SEPARATORS = (",", ";", "\t", "|")
_SAID = re.compile(r"sep=(.)\s*")  # a first line with which spreadsheets tell their separator
_HEAD = 1 << 16  # characters; a header of more is none
_WITH_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+")


@dataclass(frozen=True)
class Table:
    """A file with its header, stripped. separator: between cells. first: the line after the header, from 0."""

    path: Path
    header: list[str]
    separator: str
    encoding: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank with the line where it begins, from 1. Raises FrostlineError for no CSV."""
        end = 0
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self.separator, strict=True)
                for cells in reader:
                    line, end = end + 1, reader.line_num
                    if any(cells) and not (line == 1 and _is_said(cells, self.separator)):
                        yield line, cells
        except (csv.Error, UnicodeError, OSError) as error:
            raise FrostlineError(f"{self.path}:{end + 1} is no CSV in UTF-8 ({error}): save it as such.") from error

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header."""
        rows = self.rows()
        next(rows, None)
        return rows

    def number(self, text: str) -> float:
        """A cell as a number; its comma is a decimal one where cells are separated otherwise. Raises ValueError."""
        return float(text.replace(",", ".") if self.has_comma(text) else text)

    def has_comma(self, text: str) -> bool:
        """Whether a number has a decimal comma."""
        return self.separator != "," and _WITH_COMMA.fullmatch(text) is not None


def read_table(path: Path, separator: str | None = None) -> Table:
    """The header of a file. separator: None finds the one that makes most cells of it.

    Raises FrostlineError for a file that is too large, no text, or no CSV in its first line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FrostlineError(f"{path} has more than {MAX_BYTES} bytes, which is no table of pictures.")
        with path.open("rb") as file:
            marked = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        encoding = "utf-16" if marked else "utf-8-sig"
        with path.open(encoding=encoding, newline="") as file:
            start = file.readline(_HEAD)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise FrostlineError(f"{path}:1 is no CSV in UTF-8 ({why}): save it as such.") from error
    if separator is None:
        said = _SAID.fullmatch(start)
        separator = said[1] if said else _found(start)
    table = Table(path, [], separator, encoding)
    header = next(table.rows(), (0, []))[1]
    return Table(path, [cell.strip() for cell in header], separator, encoding)


def _found(line: str) -> str:
    """The separator of most cells in a line; of several the first of SEPARATORS."""
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([line], delimiter=separator), [])))


def _is_said(cells: list[str], separator: str) -> bool:
    """Whether a first row is `sep=;`."""
    return _SAID.fullmatch(separator.join(cells)) is not None
