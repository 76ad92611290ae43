"""Files: written aside and renamed, and locked."""

import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from frostline.errors import FrostlineError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def room_wanted(folder: Path) -> Iterator[None]:
    """Within, a disk that is full, or a quota, is told in one sentence. Raises FrostlineError.

    folder: where mostly is written, for what does not say where.
    """
    try:
        yield
    except FrostlineError:
        raise
    except Exception as error:
        if (lack := _lack_of_room(error)) is None:
            raise
        where = lack.filename or folder
        raise FrostlineError(
            f"{where} could not be written ({lack.strerror}): make room on its disk, and the same command goes on from "
            "what there is."
        ) from error


def _lack_of_room(error: BaseException | None) -> OSError | None:
    """By which an exception came about: torch raises its own after it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


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


@contextmanager
def replacing_folder(path: Path, own: Collection[str], mark: str, what: str) -> Iterator[Path]:
    """A new folder beside `path`, renamed to it in the end: it is there whole or not at all.

    What lies there already is replaced where it holds `mark` and nothing but files called as in `own`, which are all
    that are ever written there. Raises FrostlineError where it is anything else. what: it should be, in words.
    """
    check_replaceable(path, own, mark, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield aside
        aside.chmod(0o755)
        check_replaceable(path, own, mark, what)
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(path: Path, own: Collection[str], mark: str, what: str) -> None:
    """Raise FrostlineError where `replacing_folder` would replace what is not its own."""
    if not path.exists() and not path.is_symlink():
        return
    there = {one.name for one in path.iterdir()} if path.is_dir() and not path.is_symlink() else None
    if there is None or (there and mark not in there):
        raise FrostlineError(f"{path} is there and is no {what}: give another folder.")
    if foreign := sorted(there - set(own)):
        raise FrostlineError(f"{path} holds {foreign[0]} beside the {what} that would be replaced: move it elsewhere.")


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
