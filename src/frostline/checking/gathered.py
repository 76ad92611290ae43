"""What deciding about all scenes together needs to know of each: some dozens of bytes, in columns."""

import json
from array import array
from hashlib import blake2b

import numpy as np

from frostline.checking.record import Record
from frostline.scenes.scene import SPLITS

KINDS = ("label", "boxes", "mask")  # of annotations, a bit each


class Gathered:
    """Columns that grow by a record at a time."""

    def __init__(self) -> None:
        self._ids, self._ends = bytearray(), array("q", [0])
        self._folded = array("Q")
        self._pictures = bytearray()
        self._sides, self._labels, self._groups = array("i"), array("i"), array("i")
        self._kinds, self._given, self._faulty = array("B"), array("b"), array("b")
        self._group_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._sides)

    def add(self, record: Record) -> None:
        self._ids += record.id.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._ids))
        folded = blake2b(record.id.casefold().encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._folded.append(int.from_bytes(folded, "little"))
        self._pictures += bytes.fromhex(record.picture_hash) or bytes(32)
        self._sides.append(min(record.size))
        self._labels.append(-1 if record.label is None else record.label)
        self._groups.append(
            -1 if record.group is None else self._group_numbers.setdefault(record.group, len(self._group_numbers))
        )
        self._kinds.append(sum(1 << n for n, kind in enumerate(KINDS) if kind in record.annotations))
        self._given.append(-1 if record.given is None else SPLITS.index(record.given))
        self._faulty.append(bool(record.faults))

    @property
    def pictures(self) -> np.ndarray:
        """(n,) bytes of 32: what each picture's hash is; zeros where there is none."""
        return np.frombuffer(self._pictures, "S32")

    @property
    def sides(self) -> np.ndarray:
        """(n,) the shorter side of each picture, in pixels."""
        return np.frombuffer(self._sides, np.int32)

    @property
    def labels(self) -> np.ndarray:
        """(n,) -1 where there is none."""
        return np.frombuffer(self._labels, np.int32)

    @property
    def groups(self) -> np.ndarray:
        """(n,) a number for each group; -1 where there is none."""
        return np.frombuffer(self._groups, np.int32)

    @property
    def kinds(self) -> np.ndarray:
        """(n,) which of KINDS are annotated, as bits."""
        return np.frombuffer(self._kinds, np.uint8)

    @property
    def given(self) -> np.ndarray:
        """(n,) the number of the split that the source puts it into, of SPLITS; -1 where it does not."""
        return np.frombuffer(self._given, np.int8)

    @property
    def faulty(self) -> np.ndarray:
        """(n,) bool: whether anything is wrong with it."""
        return np.frombuffer(self._faulty, np.bool_)

    def picture(self, position: int) -> str:
        """The hash of one picture, in hexadecimal."""
        return self._pictures[32 * position : 32 * (position + 1)].hex()

    def id(self, position: int) -> str:
        return self._ids[self._ends[position] : self._ends[position + 1]].decode("utf-8", "surrogatepass")

    def group(self, number: int) -> str:
        """The name of a group."""
        return next(name for name, known in self._group_numbers.items() if known == number)

    def order(self) -> np.ndarray:
        """(n,) positions in the order of their ids: that of code points, which is that of UTF-8."""
        return np.argsort(_fixed(self._ids, self._ends), kind="stable")

    def order_as_json(self, positions: np.ndarray) -> np.ndarray:
        """(n,) places of some positions in the order of their ids as JSON writes them, quoted."""
        blob, ends = bytearray(), array("q", [0])
        for position in positions.tolist():
            blob += json.dumps(self.id(position)).encode()
            ends.append(len(blob))
        return np.argsort(_fixed(blob, ends), kind="stable")

    def repeated(self) -> str | None:
        """An id that is there twice, be it in capitals or not; None where there is none."""
        folded = np.frombuffer(self._folded, np.uint64)
        order = np.argsort(folded, kind="stable")
        twice = np.flatnonzero(folded[order][1:] == folded[order][:-1])
        return self.id(int(order[twice].min())) if len(twice) else None


def _fixed(blob: bytes | bytearray, ends: "array[int]") -> np.ndarray:
    """Texts one behind the other as an array of bytes of one length."""
    stops = np.frombuffer(ends, np.int64)
    sizes = np.diff(stops)
    if not len(sizes):
        return np.zeros(0, "S1")
    longest = max(1, int(sizes.max()))
    texts = np.zeros((len(sizes), longest), np.uint8)
    texts[np.arange(longest) < sizes[:, None]] = np.frombuffer(blob, np.uint8)
    return texts.view(f"S{longest}")[:, 0]
