"""Which of many hashes of 64 bits differ in few bits, without comparing each with each.

Of 12 blocks of bits, two hashes that differ in at most 8 bits have 4 or more in common. So for each choice of 4 blocks
(495 of them) the hashes are sorted by these, and only those that agree there are compared: a million takes a minute or
two, and no pair is missed but where very many agree, see `alike_pairs`. (Norouzi, Punjani, Fleet, *Fast Search in
Hamming Space with Multi-Index Hashing*, 2012.)
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np

BITS, BLOCKS = 8, 12  # differing at most, and blocks
MANY = 64  # hashes that agree in 4 blocks: with more, as of a fixed camera, not each is compared with each
NEAREST = 64  # of those, how many of the most alike one is judged with

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def alike_pairs(hashes: np.ndarray, judge: Judge) -> np.ndarray:
    """Pairs (k, 2) of positions, the smaller first, sorted: near in bits, and the same by `judge`.

    hashes: (n, 2) uint64, see `picture_hashes`; two are near where the first of one and either of the other differ in
    at most BITS bits. judge: takes two arrays of positions and says of each pair, as (k,) bool, whether it counts; it
    is asked of each pair at most once or twice.

    Among more than MANY that agree, pairs are found until all that belong together are linked, not all there are.
    """
    count = len(hashes)
    joined = _Joined(count)
    points = np.concatenate([hashes[:, 0], hashes[:, 1]])
    judged = np.zeros(0, np.int64)
    asked = np.zeros(count, np.int64)  # how often, among many that agree
    done: set[int] = set()
    found: list[np.ndarray] = []
    for blocks in combinations(range(BLOCKS), BLOCKS - BITS):
        order, ends = _runs(points, blocks)
        pairs = _small(order, ends, points, count)
        codes = np.unique(pairs[:, 0] * count + pairs[:, 1])
        codes = codes[~_within(codes, judged) & ~joined.many(codes // count, codes % count)]
        if len(codes):
            judged = np.union1d(judged, codes)
            one, other = codes // count, codes % count
            right = judge(one, other)
            found.append(np.stack([one[right], other[right]], axis=1))
            joined.add(found[-1])
        for first, last in ends[ends[:, 1] - ends[:, 0] > MANY]:
            members = np.unique(order[first:last] % count)
            if (known := hash(members.tobytes())) not in done:
                done.add(known)
                pairs, codes = _big(members, hashes, joined, judge, judged, asked)
                found.append(pairs)
                judged = np.union1d(judged, codes)
    if not found:
        return np.zeros((0, 2), np.int64)
    unique: np.ndarray = np.unique(np.concatenate(found), axis=0)
    return unique


class _Joined:
    """Which positions belong together: a forest, in which each points to one of its set, and the least to itself."""

    def __init__(self, count: int) -> None:
        self._to, self._sizes = np.arange(count), np.ones(count, np.int64)

    def many(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Whether both belong to one set of more than MANY, (n,) bool: what is linked well enough."""
        sets = self.of(one)
        linked: np.ndarray = (sets == self.of(other)) & (self._sizes[sets] > MANY)
        return linked

    def of(self, positions: np.ndarray) -> np.ndarray:
        """One number for each set, (n,)."""
        found: np.ndarray = self._to[positions]
        while True:
            further = self._to[found]
            if (further == found).all():
                break
            found = further
        self._to[positions] = found
        return found

    def add(self, pairs: np.ndarray) -> None:
        if not len(pairs):
            return
        from scipy.sparse import coo_array  # takes a while to load
        from scipy.sparse.csgraph import connected_components

        sets, flat = np.unique(self.of(pairs.ravel()), return_inverse=True)
        one, other = flat.reshape(-1, 2).T
        graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(sets), len(sets)))
        _, label = connected_components(graph, directed=False)
        least = np.full(label.max() + 1, len(self._to))
        np.minimum.at(least, label, sets)
        sizes = np.bincount(label, self._sizes[sets]).astype(np.int64)
        self._to[sets] = least[label]
        self._sizes[least] = sizes


def _runs(points: np.ndarray, blocks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Positions sorted by these blocks, and (k, 2) where each run of more than one that agree begins and ends."""
    edges = [round(64 * block / BLOCKS) for block in range(BLOCKS + 1)]
    mask = 0
    for block in blocks:
        mask |= ((1 << edges[block + 1]) - 1) ^ ((1 << edges[block]) - 1)
    keys = points & np.uint64(mask)
    order = np.argsort(keys)
    keys = keys[order]
    same = np.concatenate([[False], keys[1:] == keys[:-1], [False]])
    starts = np.flatnonzero(~same[:-1] & same[1:])
    stops = np.flatnonzero(same[:-1] & ~same[1:]) + 1
    return order, np.stack([starts, stops], axis=1)


def _small(order: np.ndarray, ends: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """Pairs (k, 2), the smaller first, within runs of at most MANY, that differ in at most BITS."""
    sizes = ends[:, 1] - ends[:, 0]
    few = ends[sizes <= MANY]
    starts, left = few[:, 0], few[:, 1] - few[:, 0]
    positions = np.repeat(starts - np.concatenate([[0], np.cumsum(left)[:-1]]), left) + np.arange(left.sum())
    stops = np.repeat(few[:, 1], left)
    found = [np.zeros((0, 2), np.int64)]
    for step in range(1, int(left.max(initial=1))):
        positions, stops = positions[positions + step < stops], stops[positions + step < stops]
        one, other = order[positions], order[positions + step]
        near = (np.bitwise_count(points[one] ^ points[other]) <= BITS) & ((one < count) | (other < count))
        pairs = np.stack([one[near] % count, other[near] % count], axis=1)
        pairs.sort(axis=1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def _big(
    members: np.ndarray, hashes: np.ndarray, joined: _Joined, judge: Judge, judged: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that link what belongs together of many that agree, and the codes of all that were judged.

    Only what is not linked yet is compared. judged: codes of pairs before. asked: of each, how often; counted on.
    """
    found, codes = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
    sets = joined.of(members)
    if (sets == sets[0]).all():
        return found[0], codes[0]
    own, inner = hashes[members].T
    passed = np.zeros(len(members), bool)  # compared with the others already
    linked = np.zeros(len(members), bool)
    for place, pivot in enumerate(members):
        left = NEAREST - asked[pivot]
        if linked[place] or left <= 0:
            continue
        bits = np.bitwise_count(own ^ own[place])
        bits = np.minimum(bits, np.minimum(np.bitwise_count(inner ^ own[place]), np.bitwise_count(own ^ inner[place])))
        near = np.flatnonzero((bits <= BITS) & (sets != sets[place]) & ~passed)
        passed[place] = True
        low, high = np.minimum(pivot, members[near]), np.maximum(pivot, members[near])
        fresh = ~_within(low * len(hashes) + high, judged)
        near = near[fresh]
        near = near[np.argsort(bits[near], kind="stable")[:left]]
        if not len(near):
            continue
        asked[pivot] += len(near)
        one, other = np.minimum(pivot, members[near]), np.maximum(pivot, members[near])
        codes.append(one * len(hashes) + other)
        right = judge(one, other)
        found.append(np.stack([one, other], axis=1)[right])
        linked[near[right]] = True
        for old in np.unique(sets[near[right]]):
            sets[sets == old] = sets[place]
    pairs = np.concatenate(found)
    joined.add(pairs)
    return pairs, np.unique(np.concatenate(codes))


def _within(values: np.ndarray, sorted_: np.ndarray) -> np.ndarray:
    """Which of these are among those, (n,) bool."""
    if not len(sorted_):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(sorted_, values), len(sorted_) - 1)
    found: np.ndarray = sorted_[at] == values
    return found
