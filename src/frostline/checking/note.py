"""The note beside a prepared dataset: what it was made of, so that it is opened where nothing has changed.

It has two hashes. One is of all contents, wherever they lie: a source that was moved or touched is the same by it. The
other is of each file's place on disk, its size and its times, which takes a fraction of the time: where it is the same,
no file is read. It is not trusted for a file that was as fresh as the clock is coarse when it was read.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from frostline.checking import fingerprint
from frostline.files import write_whole
from frostline.parallel import in_threads
from frostline.sources.base import Source

_MODULUS = 1 << 256


@dataclass
class MadeOf:
    """All scenes together: the sum of the hashes of their contents, and of those of their files' state.

    So it does not depend on their order, and takes no memory. own: the source's own fingerprint, which stands for both.
    settled: whether the files' state tells their contents, of all of them.
    """

    own: str | None
    content: int = 0
    status: int = 0
    settled: bool = True

    def add(self, content: str, status: int, settled: bool) -> None:
        self.content = (self.content + int(content, 16)) % _MODULUS
        self.add_status(status, settled)

    def add_status(self, status: int, settled: bool) -> None:
        self.status = (self.status + status) % _MODULUS
        self.settled &= settled

    def contents(self) -> str:
        return self.own or f"{self.content:064x}"

    def state(self) -> str | None:
        """None where it cannot be trusted."""
        return f"{self.status:064x}" if self.own is None and self.settled else None


@dataclass(frozen=True)
class Note:
    """A file beside a dataset."""

    path: Path

    def write(self, how: str, made_of: MadeOf) -> None:
        """how: a hash of how it was made."""
        content = {"how": how, "contents": made_of.contents(), "state": made_of.state()}
        write_whole(self.path, json.dumps(content) + "\n")

    def tells_same(
        self, hows: Collection[str], source: Source, workers: int | None, where: fingerprint.Where | None = None
    ) -> bool:
        """Whether the source says now what the dataset was made of, in one of these ways. where: see `of_scene`."""
        try:
            noted = json.loads(self.path.read_text())
            was, contents, state = noted["how"], noted["contents"], noted["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if was not in hows:
            return False
        now = MadeOf(source.fingerprint)
        if now.own is not None:
            return bool(contents == now.own)
        for scene in source.scenes():
            now.add_status(*fingerprint.by_status(scene, where=where))
        if state is not None and state == now.state():
            return True
        contents_now = in_threads(lambda scene: fingerprint.of_scene(scene, None, where), source.scenes(), workers)
        for content in contents_now:
            now.content = (now.content + int(content, 16)) % _MODULUS
        if contents != now.contents():
            return False
        self.write(was, now)  # it was moved or touched: next time, its new state tells
        return True
