"""Which pictures show the same: identical ones, and near-identical ones, such as one saved again or made smaller."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

BANDS = 4  # of the 56 bits of a hash; two that differ in fewer bits than there are bands agree in one band at least
DIFFERENCE = 0.08  # rms difference of two thumbnails, as a share of their contrast, up to which they show the same


def alike(hashes: Sequence[str], thumbnails: Sequence[np.ndarray]) -> list[int]:
    """For each picture, the position of the first one that shows the same; its own where there is none before it.

    hashes: of what a picture shows; equal for identical ones. thumbnails: (16, 16) uint8, grey.
    Near-identical are pictures whose difference hashes (Krawetz 2013, "Kind of like that") agree in one band of four,
    and whose thumbnails, their mean brightness apart, differ by at most DIFFERENCE of their contrast.
    """
    same = Joined(len(hashes))
    same.join_equal(hashes)
    if hashes:
        stack = np.stack(thumbnails).astype(np.float32)
        bits = _difference_bits(stack)
        flat = stack.reshape(len(stack), -1)
        flat -= flat.mean(1, keepdims=True)
        contrast = np.sqrt((flat**2).mean(1))
        for band in np.split(bits, BANDS, axis=1):
            for members in _buckets(band):
                for i, first in enumerate(members[:-1]):
                    rest = members[i + 1 :]
                    rms = np.sqrt(((flat[rest] - flat[first]) ** 2).mean(1))
                    for other in rest[rms <= DIFFERENCE * np.minimum(contrast[rest], contrast[first])]:
                        same.join(first, int(other))
    return [same.first(position) for position in range(len(hashes))]


class Joined:
    """Sets of positions that grow together (union-find); each is named by its smallest member."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def first(self, position: int) -> int:
        while self._parent[position] != position:
            self._parent[position] = self._parent[self._parent[position]]
            position = self._parent[position]
        return position

    def join(self, one: int, other: int) -> None:
        one, other = sorted((self.first(one), self.first(other)))
        self._parent[other] = one

    def join_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Join all positions with the same key; None is no key."""
        seen: dict[Hashable, int] = {}
        for position, key in enumerate(keys):
            if key is not None:
                self.join(seen.setdefault(key, position), position)


def _difference_bits(thumbnails: np.ndarray) -> np.ndarray:
    """(n, 56) bool: is each cell of an 8 x 8 grid darker than the one to its right?"""
    n, height, width = thumbnails.shape
    grid = thumbnails.reshape(n, 8, height // 8, 8, width // 8).mean((2, 4))
    return (grid[:, :, :-1] < grid[:, :, 1:]).reshape(n, -1)


def _buckets(band: np.ndarray) -> list[np.ndarray]:
    """Positions that agree in all bits of a band, where there are at least two."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(np.packbits(band, axis=1)):
        found[key.tobytes()].append(position)
    return [np.array(members) for members in found.values() if len(members) > 1]
