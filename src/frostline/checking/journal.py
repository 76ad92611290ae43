"""What is known of all scenes, on disk: a line and a thumbnail each, so that memory holds a few numbers of a scene.

In the folder of a dataset half made, it also lets a killed `prepare` go on.
"""

import json
import os
import shutil
import tempfile
from array import array
from pathlib import Path
from typing import Any, Self

import numpy as np

from frostline.checking.gathered import Gathered
from frostline.checking.hashes import THUMBNAIL
from frostline.checking.record import Record

NAME = "journal.jsonl"
THUMBNAILS = "thumbnails.bin"
_PIXELS = THUMBNAIL * THUMBNAIL


class Journal:
    """Records by the number of their row, in the order in which they came.

    The folder is there once it is opened: with what a killed process wrote, or empty. decisive: what else must be as it
    was, in terms of JSON. known: the rows of what is written already, by the scene's id; `keep` takes one over.
    rows: those that count; gathered: what has to be known of all of these at once, in the same order. amended: what
    holds of some rows in place of what was written.
    """

    def __init__(self, folder: Path, decisive: Any = None) -> None:
        self.folder = folder
        self._path, self._grey_path = folder / NAME, folder / THUMBNAILS
        self._starts, self.rows = array("q"), array("q")
        self.known: dict[str, int] = {}
        self.gathered = Gathered()
        self.amended: dict[int, Record] = {}
        head = json.dumps(decisive).encode() + b"\n"
        self._end = self._read(head)
        if not self.known:
            shutil.rmtree(folder, ignore_errors=True)
            self._starts, self._end = array("q"), len(head)
        for files in ("images", "masks"):
            (folder / files).mkdir(parents=True, exist_ok=True)
        if self.known:  # what follows the last whole line is a line half written
            os.truncate(self._path, self._end)
            os.truncate(self._grey_path, len(self._starts) * _PIXELS)
        else:
            self._path.write_bytes(head)
            self._grey_path.touch()
        self._file, self._greys = self._path.open("ab"), self._grey_path.open("ab")
        self._reading, self._looking = self._path.open("rb"), self._grey_path.open("rb")

    @classmethod
    def aside(cls) -> Self:
        """One in a temporary folder, which goes with it."""
        folder = tempfile.TemporaryDirectory(prefix="frostline-")
        journal = cls(Path(folder.name) / "journal")
        journal._temporary = folder  # type: ignore[attr-defined]  # removed when nobody has it any more
        return journal

    def _read(self, head: bytes) -> int:
        """Take up what is there; returns where it ends."""
        try:
            greys = self._grey_path.stat().st_size // _PIXELS
            with self._path.open("rb") as file:
                if file.readline() != head:
                    return 0
                start = file.tell()
                for line in file:
                    if not line.endswith(b"\n") or len(self._starts) == greys:
                        break
                    record = Record.from_json(line)
                    self._starts.append(start)
                    start += len(line)
                    if all((self.folder / file).is_file() for file in record.files):
                        self.known[record.id] = len(self._starts) - 1
                return start
        except (OSError, ValueError, KeyError, TypeError):
            self.known = {}
            return 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, record: Record) -> None:
        """Write a record down."""
        line = record.to_json().encode() + b"\n"
        self._greys.write(bytes(_PIXELS) if record.grey is None else record.grey.tobytes())
        self._file.write(line)
        self._starts.append(self._end)
        self._end += len(line)
        self.rows.append(len(self._starts) - 1)
        self.gathered.add(record)

    def keep(self, record: Record) -> None:
        """What is known of a scene is as it was."""
        self.rows.append(self.known[record.id])
        self.gathered.add(record)

    def written(self) -> None:
        """What was added can be read from now on."""
        self._file.flush()
        self._greys.flush()

    def record(self, row: int) -> Record:
        """One of them; without its thumbnail."""
        if row in self.amended:
            return self.amended[row]
        start = self._starts[row]
        end = self._starts[row + 1] if row + 1 < len(self._starts) else self._end
        return Record.from_json(os.pread(self._reading.fileno(), end - start, start))

    def order_as_json(self, rows: np.ndarray) -> np.ndarray:
        """(n,) places of these rows in the order of their ids as JSON writes them, with the quotation mark behind."""
        every = np.array(self.rows, np.int64)
        order = np.argsort(every)
        at = order[np.searchsorted(every[order], rows)]
        return self.gathered.order_as_json(at)

    def greys(self, rows: np.ndarray) -> np.ndarray:
        """(n, 32, 32) uint8: the thumbnails of some rows."""
        at = self._looking.fileno()
        if len(rows) and (np.diff(rows) == 1).all():
            content = os.pread(at, len(rows) * _PIXELS, int(rows[0]) * _PIXELS)
        else:
            content = b"".join(os.pread(at, _PIXELS, row * _PIXELS) for row in rows.tolist())
        return np.frombuffer(content, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in (self._file, self._greys, self._reading, self._looking):
            file.close()

    def remove(self) -> None:
        """The dataset is whole."""
        self.close()
        self._path.unlink()
        self._grey_path.unlink()
