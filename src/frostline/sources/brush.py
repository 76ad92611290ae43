"""The pixels of Label Studio's brush: RGBA values packed by https://github.com/thi-ng/umbrella, package rle-pack.

A stream of bits: 32 for the number of values, 5 for the bits of a value less one, four times 4 for the bits of a
length less one; then runs: 1 bit (repeated or not), 2 bits (which of the four), the length less one, and the one value
that is repeated or each of those that are not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from frostline.pictures.reading import MAX_PIXELS

_CHANNELS = 4
_BITS = 8  # of a value


def brushed(packed: Sequence[Any], width: int, height: int) -> np.ndarray:
    """(height, width) uint8: how opaque the brush is on each pixel. Raises ValueError for anything else."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"has {width} x {height} pixels, more than the {MAX_PIXELS} allowed")
    if not all(type(byte) is int and 0 <= byte < 256 for byte in packed):
        raise ValueError("has values that are no bytes")
    bits = np.unpackbits(np.array(packed, np.uint8))
    text = (bits + ord("0")).tobytes().decode()
    at = 0

    def read(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("ends before its last pixel")
        value = int(text[at : at + count], 2)
        at += count
        return value

    size = read(32)
    if size != width * height * _CHANNELS:
        raise ValueError(f"is of another size than {width} x {height}")
    if read(5) + 1 != _BITS:
        raise ValueError("has values that are no bytes")
    lengths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(size, np.uint8)
    done = 0
    while done < size:
        repeated = read(1)
        end = done + 1 + read(lengths[read(2)])
        if end > size:
            raise ValueError("has more pixels than its picture")
        if repeated:
            values[done:end] = read(_BITS)
        else:
            many = (end - done) * _BITS
            if at + many > len(bits):
                raise ValueError("ends before its last pixel")
            values[done:end] = np.packbits(bits[at : at + many])
            at += many
        done = end
    return values.reshape(height, width, _CHANNELS)[..., _CHANNELS - 1]
