"""Files: written aside and renamed, and locked."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, renamed to it in the end: a reader sees the old file or the new, never half.

    The place ends as `path` does, so that what chooses a format by the suffix chooses the same. Where the block raises,
    `path` stays as it was.
    """
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Text (as UTF-8) or bytes into a file, by `replacing`."""
    with replacing(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_new(path: Path, content: bytes) -> None:
    """As Path.write_bytes, in as few calls of the system as can be: they are what writing many small files costs."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str | None:
    """Of a file's content, in hex; None where it cannot be read."""
    try:
        status = path.stat()
        return _sha256(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _sha256(path: Path, *state: int) -> str:
    """state: by which a file is known to be unchanged, as a study asks for the same one for each of its runs."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def let_go(lock: int | IO[str]) -> None:
    """Unlock a descriptor or file; nothing where its file system has no locks.

    Closing is not enough: a process that was forked meanwhile, such as one that makes batches, has the descriptor, too.
    """
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)


def hint_above(path: Path) -> str:
    """The end of a sentence on a relative path that is not there: the folder above the working one that has it."""
    here = Path.cwd()
    found = next((folder for folder in here.parents if (folder / path).exists()), None)
    return "" if path.is_absolute() or found is None else f" ({found} has one: run the command there)"
