"""Which state of this package's own code made a result: what of it decides what, and its hash.

Folders are cut by what changes together, so each set here is a list of rooms, or of some files of one. What reads
layouts, draws, tracks, reports, plans or launches is in none: editing it makes nothing anew. A source's code is in none
either, as all that it says of a scene is hashed with the scene; nor is the painter's, whose fingerprint is.
"""

import ast
import json
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from frostline.files import write_whole

PACKAGE = Path(__file__).resolve().parent
# What is known of files, by their content: to parse all of them takes longer than to hand a finished run over. It lies
# where Python keeps its own.
KNOWN, MOST_KNOWN = PACKAGE / "__pycache__" / "meanings.json", 1000

# A prepared dataset: which scenes come into it, as what, into which split.
DATASET = (
    *("scenes/scene.py", "scenes/faults.py", "scenes/splits.py"),
    *("scenes/layout.py", "scenes/listing.py", "scenes/columns.py"),
    *("pictures/reading.py", "pictures/masks.py", "pictures/writing.py", "checking"),
)
# A decoded square.
SQUARES = (
    *("pictures/reading.py", "pictures/masks.py", "pictures/stored.py", "pictures/fit.py"),
    *("pictures/preprocessing.py", "loading/decoded.py", "loading/encoded.py"),
)
# A scene as a network sees it.
_ITEMS = (
    *("scenes/scene.py", "scenes/layout.py", "scenes/listing.py", "scenes/columns.py", "scenes/dataset.py"),
    "scenes/needs.py",
    *("pictures", "-pictures/writing.py", "loading"),
)
# An activation below the frost line: the square, augmented and mixed, and the network up to there.
ACTIVATIONS = (
    *(*_ITEMS, "models", "-models/heads"),
    *("freezing/frosted.py", "freezing/below.py", "freezing/activations.py"),
)
# A result: what is trained on what, how, and how it is measured.
RESULTS = (
    *(*_ITEMS, "models", "freezing", "-freezing/tables.py", "metrics", "-metrics/resampled.py", "tasks"),
    *("predict/kinds.py", "predict/answers.py", "predict/boxes.py", "shares.py"),
    *("runs/build.py", "runs/fit.py", "runs/process.py", "runs/sharded.py"),
)
# A report: what it says, and what it draws.
REPORT = (
    *("report", "statistics", "draw", "words.py", "runs/result.py", "studies/study.py", "studies/axes.py"),
    *("studies/stated.py", "studies/vary.py", "studies/seeds.py", "studies/kept.py", "metrics/resampled.py"),
)


@cache
def code_hash(*parts: str) -> str:
    """One sha256 over what the code in these parts does, see `files_of`.

    Hashed is the syntax tree without docstrings: comments, line breaks and documentation change no result, and no hash.
    """
    read, digest = known(), sha256()
    before = len(read)
    reader = sys.version.encode() + Path(__file__).read_bytes()
    for file in files_of(*parts):
        content = file.read_bytes()
        key = sha256(content + reader).hexdigest()
        if key not in read:
            read[key] = sha256(meaning(content.decode()).encode()).hexdigest()
        digest.update(file.relative_to(PACKAGE).as_posix().encode())
        digest.update(bytes.fromhex(read[key]))
    if len(read) > before:
        with suppress(OSError):  # installed where nobody may write
            write_whole(KNOWN, json.dumps(read))
    return digest.hexdigest()


@cache
def known() -> dict[str, str]:
    """The hash of what a file does, by a hash of its content and of all that reads it here; other processes left it."""
    with suppress(OSError, ValueError):
        read = json.loads(KNOWN.read_text())
        if isinstance(read, dict) and len(read) < MOST_KNOWN:
            return read
    return {}


def files_of(*parts: str) -> list[Path]:
    """The files of these parts, such as `models` or `runs/build.py`, less those of parts that begin with a -."""
    found: set[Path] = set()
    for part in sorted(parts, key=lambda part: part.startswith("-")):
        path = PACKAGE / part.removeprefix("-")
        files = set(path.rglob("*.py")) if path.is_dir() else {path}
        found = found - files if part.startswith("-") else found | files
    return sorted(found)


def meaning(source: str) -> str:
    """A Python file's syntax tree as text, without its docstrings, and without where anything stands."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
