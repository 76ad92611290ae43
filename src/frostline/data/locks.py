"""What every lock on a file or folder needs in the end."""

import fcntl
from contextlib import suppress
from typing import IO


def let_go(lock: int | IO[str]) -> None:
    """Unlock a descriptor or file; nothing where its file system has no locks.

    Closing is not enough: a process that was forked meanwhile, such as one that makes batches, has the descriptor, too.
    """
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
