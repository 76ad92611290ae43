"""Which pictures are meant: by files, folders, patterns, or a list on standard input."""

import os
import sys
from collections.abc import Iterator, Sequence
from glob import has_magic, iglob
from itertools import takewhile
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.pictures.reading import PICTURE_SUFFIXES

LIST = "-"  # a path a line, on standard input


def gathered(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each picture's path, and what to call it where something is written for it: its path within the folder named.

    A folder gives all files within that have a picture's suffix, in the order of their names. What is named by itself
    is given whatever it is, also where it is not there: whoever reads it says so. Nothing is held but one folder's
    names. Raises FrostlineError where a folder or a pattern holds no picture.
    """
    for word in words:
        if word == LIST:
            for line in sys.stdin:
                if path := line.rstrip("\r\n"):
                    yield path, os.path.basename(path)
        elif os.path.isdir(word):
            yield from _some(word, _within(word))
        elif has_magic(word) and not os.path.exists(word):
            fixed = _fixed(word)
            yield from _some(word, ((path, os.path.relpath(path, fixed)) for path in _matching(word)))
        else:
            yield word, os.path.basename(word)


def count_of(words: Sequence[str]) -> int | None:
    """How many pictures are meant; None where nobody can know before they come."""
    return None if LIST in words else sum(1 for _ in gathered(words))


def _some(word: str, found: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    first = next(found, None)
    if first is None:
        raise FrostlineError(f"{word} holds no pictures; their files end with .jpg, .png and the like.")
    yield first
    yield from found


def _within(folder: str) -> Iterator[tuple[str, str]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                path = os.path.join(place, name)
                yield path, os.path.relpath(path, folder)


def _fixed(pattern: str) -> str:
    """The folder that all files of a pattern lie in."""
    parts = Path(pattern).parts
    return str(Path(*takewhile(lambda part: not has_magic(part), parts[:-1]))) or "."


def _matching(pattern: str) -> Iterator[str]:
    """A pattern's files; where a suffix is left open, those that are pictures."""
    for path in sorted(iglob(pattern, recursive=True)):
        if os.path.isfile(path) and (Path(path).suffix.lower() in PICTURE_SUFFIXES or not pattern.endswith("*")):
            yield path
