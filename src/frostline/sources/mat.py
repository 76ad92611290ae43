"""Arrays of numbers from MATLAB's files of version 5, in plain Python: scipy's reader can crash on damaged ones."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_HEADER = 128
_MOST = 1 << 24  # bytes that one compressed element may grow to


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The file's arrays of numbers by name, flat, column by column. Raises ValueError for what is no such file."""
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("no MATLAB file of version 5")
    found = {}
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_unpacked(content), order), (0, b""))
        if kind != _MATRIX:
            continue
        # flags, sizes, name, numbers; whatever has other parts is no array of numbers
        parts = list(_elements(content, order))
        if len(parts) == 4 and parts[3][0] in _NUMBERS:
            name = parts[2][1].decode("ascii", "replace")
            numbers = np.dtype(order + _NUMBERS[parts[3][0]])
            found[name] = np.frombuffer(parts[3][1], numbers, len(parts[3][1]) // numbers.itemsize)
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each data element."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, at)
        start, end = at + 8, at + 8 + size
        if kind >> 16:  # a small one: kind and size share four bytes, the content follows at once
            kind, start, end = kind & 0xFFFF, at + 4, at + 4 + (kind >> 16)
        if end > len(data):
            raise ValueError("an element of a MATLAB file is cut off")
        yield kind, data[start:end]
        at = end if kind == _COMPRESSED else -(-end // 8) * 8


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _MOST)
    except zlib.error as error:
        raise ValueError(f"an element of a MATLAB file is damaged ({error})") from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"an element of a MATLAB file has more than {_MOST} bytes")
    return content
