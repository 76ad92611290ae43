"""Which of many belong together, as pairs of them become known."""

import numpy as np

MANY = 64  # what is more, as the pictures of a fixed camera, is a crowd: linked, but not each paired with each


class Joined:
    """A forest, in which each points to one of its set, and the least to itself."""

    def __init__(self, count: int) -> None:
        self._to, self._sizes = np.arange(count, dtype=np.int32), np.ones(count, np.int32)
        self.state = 0  # counts the changes of what `labels` says

    def labels(self, positions: np.ndarray) -> np.ndarray:
        """One number for each crowd, and each one's own where it is in none, (n,)."""
        if not self.state:
            return positions
        sets = self._to[positions]
        while not ((further := self._to[sets]) == sets).all():
            sets = further
        self._to[positions] = sets
        return np.where(self._sizes[sets] > MANY, sets, positions)

    def add(self, pairs: np.ndarray) -> None:
        """Join the two of each pair, (k, 2)."""
        to, sizes = self._to, self._sizes
        for one, other in pairs.tolist():
            low, high = sorted((self._of(one), self._of(other)))
            if low != high:
                to[high] = low
                sizes[low] += sizes[high]
                self.state += int(sizes[low]) > MANY

    def _of(self, one: int) -> int:
        to = self._to
        while (further := int(to[one])) != one:
            to[one] = to[further]
            one = further
        return one
