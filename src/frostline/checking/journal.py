"""A dataset half made: its folder, and a line for each scene written there, so that a killed `prepare` goes on."""

import json
import shutil
from pathlib import Path
from typing import Any, Self

from frostline.checking.record import Record
from frostline.files import write_whole

NAME = "journal.jsonl"


class Journal:
    """The folder is there once it is opened: with what a killed process wrote, or empty.

    decisive: what else must be as it was, in terms of JSON. known: by the scene's id, what is written already.
    """

    def __init__(self, folder: Path, decisive: Any) -> None:
        self._path = folder / NAME
        head = json.dumps(decisive)
        self.known = self._read(head)
        if not self.known:
            shutil.rmtree(folder, ignore_errors=True)
        for files in ("images", "masks"):
            (folder / files).mkdir(parents=True, exist_ok=True)
        write_whole(self._path, "".join(f"{line}\n" for line in (head, *map(Record.to_json, self.known.values()))))

    def _read(self, head: str) -> dict[str, Record]:
        known: dict[str, Record] = {}
        try:
            first, *lines = self._path.read_text(encoding="utf-8").split("\n")
            for line in lines[:-1] if first == head else []:  # what follows the last line break is a line half written
                record = Record.from_json(line)
                if all((self._path.parent / file).is_file() for file in record.files):
                    known[record.id] = record
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return known

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def add(self, record: Record) -> None:
        if record is not self.known.get(record.id):
            self._file.write(record.to_json() + "\n")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def remove(self) -> None:
        """The dataset is whole."""
        self._path.unlink()
